// A list of pieces of guest memory that a bus master moves data to or from: what a PRD table, an AHCI command table or an
// NVMe PRP list comes to. Neighbouring pieces are joined, so that a drive gets few, large buffers.
import type { DmaMemory } from '../ports/dma.ts';
import { copyRam, setRamByte } from './dma-access.ts';

export class ScatterList {
  readonly #memory: DmaMemory;
  readonly #addresses: number[] = [];
  readonly #sizes: number[] = [];
  /** Bytes in all pieces. */
  bytes = 0;

  constructor(memory: DmaMemory) {
    this.#memory = memory;
  }

  clear(): void {
    this.#addresses.length = this.#sizes.length = this.bytes = 0;
  }

  add(address: number, size: number): void {
    if (size === 0) return;
    const last = this.#sizes.length - 1;
    if (last >= 0 && this.#addresses[last]! + this.#sizes[last]! === address) this.#sizes[last]! += size;
    else {
      this.#addresses.push(address);
      this.#sizes.push(size);
    }
    this.bytes += size;
  }

  /** Live views of `count` bytes from `start`; undefined when any of them is no RAM. */
  views(start = 0, count = this.bytes - start): Uint8Array[] | undefined {
    const views: Uint8Array[] = [];
    let skip = start;
    let left = count;
    for (let index = 0; index < this.#sizes.length && left > 0; index++) {
      const size = this.#sizes[index]!;
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const part = Math.min(size - skip, left);
      const view = this.#memory.view(this.#addresses[index]! + skip, part);
      if (view === undefined) return undefined;
      views.push(view);
      left -= part;
      skip = 0;
    }
    return left === 0 ? views : undefined;
  }

  /** Every piece in turn. */
  eachPiece(visit: (address: number, size: number) => void): void {
    for (let index = 0; index < this.#sizes.length; index++) visit(this.#addresses[index]!, this.#sizes[index]!);
  }

  /** To be called after the first `count` bytes were changed. */
  written(count = this.bytes): void {
    let left = count;
    for (let index = 0; index < this.#sizes.length && left > 0; index++) {
      const part = Math.min(this.#sizes[index]!, left);
      this.#memory.written(this.#addresses[index]!, part);
      left -= part;
    }
  }

  /** Writes `source` from `start` on. False, and nothing written, when it does not fit or is no RAM. */
  fill(source: Uint8Array, start = 0): boolean {
    const views = start + source.length > this.bytes ? undefined : this.views(start, source.length);
    if (views === undefined) return false;
    let at = 0;
    for (const view of views) {
      view.set(source.subarray(at, at + view.length));
      at += view.length;
    }
    this.written(start + source.length);
    return true;
  }

  /** One byte; nothing happens where it is no RAM. */
  setByte(at: number, value: number): void {
    let skip = at;
    for (let index = 0; index < this.#sizes.length; index++) {
      const size = this.#sizes[index]!;
      if (skip < size) {
        setRamByte(this.#memory, this.#addresses[index]! + skip, value);
        return;
      }
      skip -= size;
    }
  }

  /** The first `count` bytes into `target`; false when they are not all there. Allocates nothing where they lie in one piece. */
  copyFirst(count: number, target: Uint8Array): boolean {
    if (count > this.bytes) return false;
    if (count <= this.#sizes[0]!) return copyRam(this.#memory, this.#addresses[0]!, count, target);
    const gathered = this.gather(count);
    if (gathered !== undefined) target.set(gathered);
    return gathered !== undefined;
  }

  /** `count` bytes from `start` as a copy. */
  gather(count = this.bytes, start = 0): Uint8Array | undefined {
    const views = start + count > this.bytes ? undefined : this.views(start, count);
    if (views === undefined) return undefined;
    const target = new Uint8Array(count);
    let at = 0;
    for (const view of views) {
      target.set(view, at);
      at += view.length;
    }
    return target;
  }
}
