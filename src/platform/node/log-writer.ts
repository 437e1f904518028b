// Writes a log of many short lines: collected, written in large pieces, synchronously, so that nothing is lost in a crash
// that still runs the exit handlers.
import { writeSync } from 'node:fs';
import { isErrorCode } from './system-error.ts';

const PIECE_CHARACTERS = 64 * 1024;

export class LogWriter {
  readonly #descriptor: number;
  #text = '';

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  write(text: string): void {
    this.#text += text;
    if (this.#text.length >= PIECE_CHARACTERS) this.flush();
  }

  flush(): void {
    const bytes = Buffer.from(this.#text);
    this.#text = '';
    writeFully(this.#descriptor, bytes);
  }
}

/** Writes all of it unless there is an error: a log that cannot be written must not end the guest. */
export function writeFully(descriptor: number, bytes: Uint8Array): void {
  let left = bytes;
  while (left.length > 0) {
    try {
      left = left.subarray(writeSync(descriptor, left));
    } catch (error) {
      if (!isErrorCode(error, 'EAGAIN')) return;
    }
  }
}
