// Opens the character back end that a description asks for.
import { Failure } from '../../base/failure.ts';
import { nullBackend } from '../../chardev/null-backend.ts';
import { RingBackend } from '../../chardev/ring-backend.ts';
import type { CharSpec } from '../../chardev/spec.ts';
import type { CharBackend } from '../../ports/char-backend.ts';
import { openFileBackend } from './file-backend.ts';
import { connectSocketBackend, listenSocketBackend } from './socket-backend.ts';
import { StdioBackend } from './stdio-backend.ts';

let stdioInUse = false;

export async function openChardev(spec: CharSpec, onWaiting: (where: string) => void): Promise<CharBackend> {
  switch (spec.kind) {
    case 'null':
      return nullBackend();
    case 'ringbuf':
      return new RingBackend(spec.sizeBytes);
    case 'file':
      return openFileBackend(spec.path, spec.append);
    case 'stdio':
      return openStdio(spec.signal);
    case 'socket': {
      const { address, server, wait } = spec;
      if (!server) return connectSocketBackend(address);
      const where = address.family === 'unix' ? `unix:${address.path}` : `tcp:${address.host}:${address.port}`;
      return listenSocketBackend(address, wait, () => onWaiting(`${where},server=on`));
    }
  }
}

function openStdio(signal: boolean): CharBackend {
  if (stdioInUse) throw new Failure('invalid-argument', 'cannot use stdio by multiple character devices');
  stdioInUse = true;
  const backend = new StdioBackend({ signal });
  return {
    connect: (frontEnd) => backend.connect(frontEnd),
    write: (bytes) => backend.write(bytes),
    acceptInput: () => backend.acceptInput(),
    async close() {
      stdioInUse = false;
      await backend.close();
    },
  };
}
