// A back end that keeps the last bytes the guest wrote, for whoever asks later.
import type { CharBackend, CharFrontEnd } from '../ports/char-backend.ts';
import { ByteQueue } from './byte-queue.ts';

export class RingBackend implements CharBackend {
  readonly #queue: ByteQueue;
  #frontEnd: CharFrontEnd | undefined;

  constructor(sizeBytes: number) {
    this.#queue = new ByteQueue(sizeBytes);
  }

  connect(frontEnd: CharFrontEnd | undefined): void {
    this.#frontEnd = frontEnd;
    frontEnd?.event?.('opened');
  }

  write(bytes: Uint8Array): number {
    const capacity = this.#queue.count + this.#queue.room;
    const kept = bytes.subarray(Math.max(0, bytes.length - capacity));
    this.#queue.drop(kept.length - this.#queue.room);
    this.#queue.push(kept);
    return bytes.length;
  }

  /** The oldest bytes; they are gone from the ring then. */
  read(countMax: number): Uint8Array {
    return this.#queue.shift(countMax);
  }

  /** As if a peer had sent them. The number of bytes the device took. */
  send(bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, this.#frontEnd?.canReceive() ?? 0);
    if (taken > 0) this.#frontEnd!.receive(bytes.subarray(0, taken));
    return taken;
  }

  acceptInput(): void {}

  async close(): Promise<void> {}
}
