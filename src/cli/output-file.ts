// A file that a command writes when it has done its work: whether it can be written is known before. Not the files of a machine.
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { Failure } from '../base/failure.ts';
import { systemErrorText } from '../platform/node/system-error.ts';

/** Throws Failure 'io' where `writeOutput` would; what the file has stays, and where there is none it is made. */
export function checkOutput(path: string): void {
  orFailure(path, () => closeSync(openSync(path, 'a')));
}

/** Throws Failure 'io'. */
export function writeOutput(path: string, contents: string | Uint8Array): void {
  orFailure(path, () => writeFileSync(path, contents));
}

function orFailure(path: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    throw new Failure('io', `Could not write '${path}': ${systemErrorText(error)}`, { cause: error });
  }
}
