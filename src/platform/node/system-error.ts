// The operating system's errors in the C library's words, as every other program shows them.
import { getSystemErrorMap } from 'node:util';

const errnoOf = (error: unknown): NodeJS.ErrnoException | undefined =>
  error instanceof Error && 'code' in error ? (error as NodeJS.ErrnoException) : undefined;

// Where the words differ from libuv's.
const WORDS: Readonly<Record<string, string>> = {
  EISDIR: 'Is a directory',
  ENOTDIR: 'Not a directory',
  EPERM: 'Operation not permitted',
  EINVAL: 'Invalid argument',
  EMFILE: 'Too many open files',
  EFBIG: 'File too large',
  ENOTFOUND: 'Name or service not known',
  ERR_FS_FILE_TOO_LARGE: 'File too large',
};

/** "No such file or directory" for ENOENT, and so on; the error's own message when it is not the system's. */
export function systemErrorText(error: unknown): string {
  const code = errnoOf(error)?.code;
  if (code === undefined) return String(error instanceof Error ? error.message : error);
  const known = WORDS[code];
  if (known !== undefined) return known;
  const text = [...getSystemErrorMap().values()].find(([name]) => name === code)?.[1] ?? code;
  return text[0]!.toUpperCase() + text.slice(1);
}

export const isErrorCode = (error: unknown, ...codes: readonly string[]): boolean => codes.includes(errnoOf(error)?.code ?? '');

export const isSystemError = (error: unknown): boolean => errnoOf(error)?.syscall !== undefined;
