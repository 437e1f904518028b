// A character back end that writes what the guest sends into a file. There is no input.
import { closeSync, openSync } from 'node:fs';
import { Failure } from '../../base/failure.ts';
import type { CharBackend, CharFrontEnd } from '../../ports/char-backend.ts';
import { DescriptorWriter } from './descriptor-writer.ts';
import { systemErrorText } from './system-error.ts';

export function openFileBackend(path: string, append: boolean): CharBackend {
  const descriptor = openForWriting(path, append);
  let frontEnd: CharFrontEnd | undefined;
  const output = new DescriptorWriter(descriptor, () => frontEnd?.writable?.());
  const flushAtExit = (): void => output.flushSync();
  process.on('exit', flushAtExit);
  return {
    connect(connected) {
      frontEnd = connected;
      frontEnd?.event?.('opened');
    },
    write: (bytes) => output.push(bytes),
    acceptInput() {},
    async close() {
      await output.flush();
      process.off('exit', flushAtExit);
      closeSync(descriptor);
    },
  };
}

function openForWriting(path: string, append: boolean): number {
  try {
    return openSync(path, append ? 'a' : 'w', 0o666);
  } catch (error) {
    throw new Failure('io', `Could not open '${path}': ${systemErrorText(error)}`, { cause: error });
  }
}
