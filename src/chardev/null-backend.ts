// A back end that nobody listens to: takes everything, sends nothing.
import type { CharBackend } from '../ports/char-backend.ts';

export function nullBackend(): CharBackend {
  return {
    connect(frontEnd) {
      frontEnd?.event?.('opened');
    },
    write: (bytes) => bytes.length,
    acceptInput() {},
    async close() {},
  };
}
