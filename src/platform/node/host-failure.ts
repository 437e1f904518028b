// Errors of node:fs and of system calls as ErrnoFailures with the text of strerror().
import { ErrnoFailure, errnoOf, isErrno } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { systemErrorText } from './system-error.ts';

/** What `code` says, when it is an error of the system; other errors are the program's own and stay what they are. */
export function hostFailure(error: unknown): unknown {
  if (error instanceof Failure || !(error instanceof Error) || !('code' in error)) return error;
  const code = error.code;
  if (isErrno(code)) return new ErrnoFailure(code, undefined, { cause: error });
  if (code === 'ERR_FS_FILE_TOO_LARGE') return new ErrnoFailure('EFBIG', undefined, { cause: error });
  if ('syscall' in error) return new ErrnoFailure(errnoOf(error), systemErrorText(error), { cause: error });
  return error;
}
