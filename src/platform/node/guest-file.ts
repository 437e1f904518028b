// Reads the files that a guest boots from, with the errors that users of QEMU know.
import { Failure } from '../../base/failure.ts';
import { isErrorCode, systemErrorText } from './system-error.ts';
import { readWholeFile } from './whole-file.ts';

export type GuestFileRole = 'kernel' | 'initrd' | 'bios';

const messages: Readonly<Record<GuestFileRole, (path: string, error: unknown) => string>> = {
  kernel: (path, error) =>
    isErrorCode(error, 'EISDIR')
      ? `could not load kernel '${path}': ${systemErrorText(error)}`
      : `could not open kernel file '${path}': ${systemErrorText(error)}`,
  initrd: (path, error) => `error reading initrd ${path}: Failed to open file “${path}”: open() failed: ${systemErrorText(error)}`,
  bios: (path) => `could not load PC BIOS '${path}'`,
};

export async function readGuestFile(role: GuestFileRole, path: string): Promise<{ readonly name: string; readonly bytes: Uint8Array }> {
  try {
    return { name: path, bytes: await readWholeFile(path) };
  } catch (error) {
    throw new Failure(isErrorCode(error, 'ENOENT') ? 'not-found' : 'io', messages[role](path, error), { cause: error });
  }
}
