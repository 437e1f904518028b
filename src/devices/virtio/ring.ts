// What the two kinds of virtqueue have in common: a chain of buffers that the driver made available, and a ring as a queue uses
// it. Virtio 1.2, 2.6. The rings are in split-ring.ts and packed-ring.ts.
import { copyRam } from '../../bus/dma-access.ts';
import { ScatterList } from '../../bus/scatter-list.ts';
import type { DmaMemory } from '../../ports/dma.ts';

export const DESCRIPTOR_BYTES = 16;
export const DESCRIPTOR = { NEXT: 1, WRITE: 2, INDIRECT: 4 } as const;
/** Descriptors of one request at most, in an indirect table too. */
const CHAIN_MAX = 1024;

/** Where a ring lies and how far device and driver have come; the part of it that is saved. */
export interface QueuePosition {
  size: number;
  /** Guest-physical addresses: descriptors; the driver's part (available ring); the device's (used ring). */
  descriptorsLow: number;
  descriptorsHigh: number;
  driverLow: number;
  driverHigh: number;
  deviceLow: number;
  deviceHigh: number;
  nextAvailable: number;
  nextUsed: number;
  /** The wrap counters of a packed ring. */
  availableWrap: boolean;
  usedWrap: boolean;
}

export interface RingFeatures {
  readonly indirect: boolean;
  readonly eventIndex: boolean;
}

/** One request: what the device may read, and what it is to write. Pieces are copied from the ring before they are looked at. */
export class Chain {
  /** The head's index, or the buffer id of a packed ring. */
  id = 0;
  /** Its number in trace events. */
  request = 0;
  /** Descriptors that it takes in the ring. */
  slots = 0;
  /** The ring that it is from: nothing is given back to another one. */
  ring: Ring | undefined;
  readonly readable: ScatterList;
  readonly writable: ScatterList;

  constructor(memory: DmaMemory) {
    this.readable = new ScatterList(memory);
    this.writable = new ScatterList(memory);
  }

  /** One more piece. False when a readable one comes behind a writable one, which no driver may do. */
  add(addressLow: number, addressHigh: number, size: number, flags: number): boolean {
    const address = addressHigh * 2 ** 32 + addressLow;
    if ((flags & DESCRIPTOR.WRITE) !== 0) this.writable.add(address, size);
    else if (this.writable.bytes > 0) return false;
    else this.readable.add(address, size);
    return true;
  }

  clear(): void {
    this.readable.clear();
    this.writable.clear();
    this.slots = 0;
  }
}

/** `pop` has found that the driver broke the rules of the ring; nothing more can be made of it before a reset. */
export class RingError extends Error {}

export interface Ring {
  /** Whether `pop` would find something. */
  readonly hasAvailable: boolean;
  /** The next chain; undefined when there is none. RingError when the ring is nonsense. */
  pop(): Chain | undefined;
  /** Gives a chain back with the number of bytes that were written. The driver sees it after `publish`. */
  push(chain: Chain, bytes: number): void;
  /** Shows the driver what was pushed; whether it wants an interrupt for that. */
  publish(): boolean;
  /** Asks for a notification when something becomes available. */
  arm(): void;
}

/** Chains that are not in use, so that requests allocate none. */
export class ChainPool {
  readonly #memory: DmaMemory;
  readonly #free: Chain[] = [];

  constructor(memory: DmaMemory) {
    this.#memory = memory;
  }

  take(ring: Ring): Chain {
    const chain = this.#free.pop() ?? new Chain(this.#memory);
    chain.clear();
    chain.ring = ring;
    return chain;
  }

  give(chain: Chain): void {
    chain.ring = undefined;
    this.#free.push(chain);
  }
}

/** A part of guest memory as a view of numbers; RingError when it is no RAM. */
export function dmaView(memory: DmaMemory, low: number, high: number, size: number): DataView {
  const bytes = memory.view(high * 2 ** 32 + low, size);
  if (bytes === undefined) throw new RingError('a ring that is not in RAM');
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Copies of tables that indirect descriptors point to, one at a time. */
export class IndirectTables {
  readonly #memory: DmaMemory;
  readonly #bytes = new Uint8Array(CHAIN_MAX * DESCRIPTOR_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);

  constructor(memory: DmaMemory) {
    this.#memory = memory;
  }

  /** The first `size` bytes are the table. */
  read(low: number, high: number, size: number): DataView {
    const isTable = size > 0 && size % DESCRIPTOR_BYTES === 0 && size <= this.#bytes.length;
    if (!isTable) throw new RingError('an indirect table of wrong size');
    if (!copyRam(this.#memory, high * 2 ** 32 + low, size, this.#bytes)) throw new RingError('an indirect table that is not in RAM');
    return this.#view;
  }
}

/** Whether an event index has been passed between `old` and `now`, all modulo 2**16. */
export const eventPassed = (event: number, now: number, old: number): boolean => ((now - event - 1) & 0xffff) < ((now - old) & 0xffff);
