// The virtio entropy device: virtio 1.2, 5.4. Fills what the driver offers from the host's source.
import type { VirtioHandler, VirtQueue } from './virtio-device.ts';

/** A driver asks for less; whoever asks for more gets this much. */
const BYTES_MAX = 65536;

export class VirtioRng implements VirtioHandler {
  readonly name = 'virtio-rng';
  readonly type = 4;
  readonly features: readonly number[] = [];
  readonly queueSizes = [8];
  readonly config = new Uint8Array(0);
  readonly #fill: (target: Uint8Array) => void;

  constructor(fill: (target: Uint8Array) => void) {
    this.#fill = fill;
  }

  notified(queue: VirtQueue): void {
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      const bytes = new Uint8Array(Math.min(BYTES_MAX, chain.writable.bytes));
      this.#fill(bytes);
      queue.push(chain, chain.writable.fill(bytes) ? bytes.length : 0);
    }
    queue.arm();
    queue.publish();
  }
}
