// Two byte streams that are each other's peer, in memory: for tests and fuzzing of protocols without a network. A writer waits
// while the reader has too much before it, as with a socket.
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { ByteStream } from '../../ports/stream.ts';

const WINDOW_BYTES = 256 << 10;

/** One direction. */
class Pipe {
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #closed = false;
  #wake: (() => void)[] = [];
  bytesTotal = 0;

  get closed(): boolean {
    return this.#closed;
  }

  async write(source: Uint8Array): Promise<void> {
    if (this.#closed) throw new ErrnoFailure('EPIPE', 'Unable to write to socket: Broken pipe');
    this.#chunks.push(source.slice());
    this.#bytes += source.length;
    this.bytesTotal += source.length;
    this.#notify();
    while (this.#bytes > WINDOW_BYTES && !this.#closed) await this.#changed();
    if (this.#closed && this.#bytes > WINDOW_BYTES) throw new ErrnoFailure('EPIPE', 'Unable to write to socket: Broken pipe');
  }

  async read(target: Uint8Array): Promise<void> {
    for (let at = 0; at < target.length; ) {
      while (this.#bytes === 0) {
        if (this.#closed) throw new ErrnoFailure('EPIPE', 'Unexpected end-of-file before all data were read');
        await this.#changed();
      }
      const first = this.#chunks[0]!;
      const count = Math.min(first.length, target.length - at);
      target.set(first.subarray(0, count), at);
      at += count;
      this.#bytes -= count;
      if (count === first.length) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(count);
      this.#notify();
    }
  }

  close(): void {
    this.#closed = true;
    this.#notify();
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

export class MemoryStream implements ByteStream {
  readonly #incoming: Pipe;
  readonly #outgoing: Pipe;

  constructor(incoming: Pipe, outgoing: Pipe) {
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  get closed(): boolean {
    return this.#incoming.closed;
  }

  /** How much was ever written. */
  get bytesWritten(): number {
    return this.#outgoing.bytesTotal;
  }

  readExactly(target: Uint8Array): Promise<void> {
    return this.#incoming.read(target);
  }

  write(source: Uint8Array): Promise<void> {
    return this.#outgoing.write(source);
  }

  cork(): void {}

  uncork(): void {}

  startTls(): Promise<ByteStream> {
    return Promise.reject(new Failure('unsupported', 'no TLS here'));
  }

  /** No more is written; what is on its way arrives. */
  end(): void {
    this.#outgoing.close();
  }

  close(): void {
    this.#incoming.close();
    this.#outgoing.close();
  }
}

export function memoryStreamPair(): [MemoryStream, MemoryStream] {
  const [there, back] = [new Pipe(), new Pipe()];
  return [new MemoryStream(there, back), new MemoryStream(back, there)];
}
