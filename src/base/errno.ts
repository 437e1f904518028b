// POSIX error numbers of Linux by name, with the texts that strerror() gives for them, and the Failure that carries one.
// What a person reads of an I/O error is this text, in the words that every Unix tool uses.
import { Failure, type FailureKind } from './failure.ts';

// prettier-ignore
const ERRNO = {
  EPERM:      [1, 'Operation not permitted'],
  ENOENT:     [2, 'No such file or directory'],
  EINTR:      [4, 'Interrupted system call'],
  EIO:        [5, 'Input/output error'],
  ENXIO:      [6, 'No such device or address'],
  E2BIG:      [7, 'Argument list too long'],
  EBADF:      [9, 'Bad file descriptor'],
  EAGAIN:     [11, 'Resource temporarily unavailable'],
  ENOMEM:     [12, 'Cannot allocate memory'],
  EACCES:     [13, 'Permission denied'],
  EFAULT:     [14, 'Bad address'],
  EBUSY:      [16, 'Device or resource busy'],
  EEXIST:     [17, 'File exists'],
  EXDEV:      [18, 'Invalid cross-device link'],
  ENODEV:     [19, 'No such device'],
  ENOTDIR:    [20, 'Not a directory'],
  EISDIR:     [21, 'Is a directory'],
  EINVAL:     [22, 'Invalid argument'],
  ENFILE:     [23, 'Too many open files in system'],
  EMFILE:     [24, 'Too many open files'],
  ETXTBSY:    [26, 'Text file busy'],
  EFBIG:      [27, 'File too large'],
  ENOSPC:     [28, 'No space left on device'],
  ESPIPE:     [29, 'Illegal seek'],
  EROFS:      [30, 'Read-only file system'],
  EPIPE:      [32, 'Broken pipe'],
  EDOM:       [33, 'Numerical argument out of domain'],
  ERANGE:     [34, 'Numerical result out of range'],
  ENAMETOOLONG: [36, 'File name too long'],
  ENOSYS:     [38, 'Function not implemented'],
  ENOTEMPTY:  [39, 'Directory not empty'],
  ELOOP:      [40, 'Too many levels of symbolic links'],
  ENOMEDIUM:  [123, 'No medium found'],
  EMEDIUMTYPE: [124, 'Wrong medium type'],
  EPROTO:     [71, 'Protocol error'],
  EBADMSG:    [74, 'Bad message'],
  EOVERFLOW:  [75, 'Value too large for defined data type'],
  EILSEQ:     [84, 'Invalid or incomplete multibyte or wide character'],
  ENOTSUP:    [95, 'Operation not supported'],
  EADDRINUSE: [98, 'Address already in use'],
  ENETUNREACH: [101, 'Network is unreachable'],
  ECONNRESET: [104, 'Connection reset by peer'],
  ESHUTDOWN:  [108, 'Cannot send after transport endpoint shutdown'],
  ETIMEDOUT:  [110, 'Connection timed out'],
  ECONNREFUSED: [111, 'Connection refused'],
  EHOSTUNREACH: [113, 'No route to host'],
  EDQUOT:     [122, 'Disk quota exceeded'],
  ECANCELED:  [125, 'Operation canceled'],
  EKEYREJECTED: [129, 'Key was rejected by service'],
} as const satisfies Readonly<Record<string, readonly [number, string]>>;

export type Errno = keyof typeof ERRNO;

export const errnoNumber = (name: Errno): number => ERRNO[name][0];

/** The text of strerror(). */
export const errnoText = (name: Errno): string => ERRNO[name][1];

export const isErrno = (name: unknown): name is Errno => typeof name === 'string' && Object.hasOwn(ERRNO, name);

const byNumber = new Map<number, Errno>(Object.entries(ERRNO).map(([name, [number]]) => [number, name as Errno]));

/** The name of a number; EIO for one that is not in the table. */
export const errnoFromNumber = (number: number): Errno => byNumber.get(number) ?? 'EIO';

function kindOf(errno: Errno): FailureKind {
  switch (errno) {
    case 'ENOENT':
      return 'not-found';
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return 'no-space';
    case 'EINVAL':
      return 'invalid-argument';
    case 'ENOTSUP':
    case 'ENOSYS':
      return 'unsupported';
    default:
      return 'io';
  }
}

/** A failure that a system call, or something that behaves like one, ends with. */
export class ErrnoFailure extends Failure {
  readonly errno: Errno;

  constructor(errno: Errno, message: string = errnoText(errno), options?: { readonly cause?: unknown }) {
    super(kindOf(errno), message, options);
    this.errno = errno;
  }
}

/** The errno in an error: of an ErrnoFailure, of an error of the host (`code`), or of what caused it; EIO where there is none. */
export function errnoOf(error: unknown): Errno {
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    if (at instanceof ErrnoFailure) return at.errno;
    const code = (at as { code?: unknown }).code;
    if (isErrno(code)) return code;
    if (at instanceof Failure && at.cause === undefined) return errnoOfKind(at.kind);
  }
  return 'EIO';
}

function errnoOfKind(kind: FailureKind): Errno {
  switch (kind) {
    case 'invalid-argument':
    case 'invalid-format':
    case 'limit':
      return 'EINVAL';
    case 'not-found':
      return 'ENOENT';
    case 'unsupported':
      return 'ENOTSUP';
    case 'no-space':
      return 'ENOSPC';
    case 'corrupt':
    case 'io':
      return 'EIO';
  }
}

/** `context: what it said`, with kind and errno kept. */
export function prefixed(context: string, error: unknown): Failure {
  if (!(error instanceof Failure)) throw error;
  const message = `${context}: ${error.message}`;
  if (error instanceof ErrnoFailure) return new ErrnoFailure(error.errno, message, { cause: error });
  return new Failure(error.kind, message, { cause: error });
}
