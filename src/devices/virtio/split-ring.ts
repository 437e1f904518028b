// The split virtqueue, from the device's side. Virtio 1.2, 2.7.
import type { DmaMemory } from '../../ports/dma.ts';
import {
  ChainPool, DESCRIPTOR, DESCRIPTOR_BYTES, dmaView, eventPassed, IndirectTables, RingError,
  type Chain, type QueuePosition, type Ring, type RingFeatures,
} from './ring.ts';

const INDEX = 2;
const ENTRIES = 4;
const AVAILABLE_ENTRY_BYTES = 2;
const USED_ENTRY_BYTES = 8;
const NO_INTERRUPT = 1;

export class SplitRing implements Ring {
  readonly #memory: DmaMemory;
  readonly #position: QueuePosition;
  readonly #features: RingFeatures;
  readonly #chains: ChainPool;
  readonly #tables: IndirectTables;
  readonly #descriptors: DataView;
  readonly #available: DataView;
  readonly #used: DataView;
  readonly #usedAddress: number;
  readonly #mask: number;
  /** Index up to which the driver was told. */
  #published: number;

  /** RingError when the parts are no RAM or the size is none that a split ring has. */
  constructor(memory: DmaMemory, position: QueuePosition, features: RingFeatures) {
    const { size } = position;
    if (size === 0 || size > 32768 || (size & (size - 1)) !== 0) throw new RingError('a split ring of no power of two');
    this.#memory = memory;
    this.#position = position;
    this.#features = features;
    this.#chains = new ChainPool(memory);
    this.#tables = new IndirectTables(memory);
    this.#mask = size - 1;
    this.#descriptors = dmaView(memory, position.descriptorsLow, position.descriptorsHigh, size * DESCRIPTOR_BYTES);
    this.#available = dmaView(memory, position.driverLow, position.driverHigh, ENTRIES + size * AVAILABLE_ENTRY_BYTES + 2);
    this.#used = dmaView(memory, position.deviceLow, position.deviceHigh, ENTRIES + size * USED_ENTRY_BYTES + 2);
    this.#usedAddress = position.deviceHigh * 2 ** 32 + position.deviceLow;
    this.#published = position.nextUsed;
  }

  get hasAvailable(): boolean {
    return this.#available.getUint16(INDEX, true) !== this.#position.nextAvailable;
  }

  pop(): Chain | undefined {
    const position = this.#position;
    const waiting = (this.#available.getUint16(INDEX, true) - position.nextAvailable) & 0xffff;
    if (waiting === 0) return undefined;
    if (waiting > position.size) throw new RingError('more available than the ring has entries');
    const entry = ENTRIES + (position.nextAvailable & this.#mask) * AVAILABLE_ENTRY_BYTES;
    const head = this.#available.getUint16(entry, true);
    position.nextAvailable = (position.nextAvailable + 1) & 0xffff;
    const chain = this.#chains.take(this);
    chain.id = head;
    chain.slots = 1;
    this.#walk(chain, head);
    return chain;
  }

  #walk(chain: Chain, head: number): void {
    let table = this.#descriptors;
    let count = this.#position.size;
    let isIndirect = false;
    let index = head;
    for (let steps = 0; ; steps++) {
      if (index >= count || steps >= count) throw new RingError('a descriptor that there is not, or a loop of them');
      const at = index * DESCRIPTOR_BYTES;
      const low = table.getUint32(at, true);
      const high = table.getUint32(at + 4, true);
      const size = table.getUint32(at + 8, true);
      const flags = table.getUint16(at + 12, true);
      const next = table.getUint16(at + 14, true);
      if ((flags & DESCRIPTOR.INDIRECT) !== 0) {
        const isMisplaced = isIndirect || !this.#features.indirect || (flags & DESCRIPTOR.NEXT) !== 0;
        if (isMisplaced) throw new RingError('an indirect table in the wrong place');
        table = this.#tables.read(low, high, size);
        count = size / DESCRIPTOR_BYTES;
        isIndirect = true;
        index = 0;
        steps = -1;
        continue;
      }
      if (!chain.add(low, high, size, flags)) throw new RingError('a readable buffer behind a writable one');
      if ((flags & DESCRIPTOR.NEXT) === 0) return;
      index = next;
    }
  }

  push(chain: Chain, bytes: number): void {
    const position = this.#position;
    const entry = ENTRIES + (position.nextUsed & this.#mask) * USED_ENTRY_BYTES;
    this.#used.setUint32(entry, chain.id, true);
    this.#used.setUint32(entry + 4, bytes, true);
    position.nextUsed = (position.nextUsed + 1) & 0xffff;
    this.#chains.give(chain);
  }

  publish(): boolean {
    const { nextUsed, size } = this.#position;
    const old = this.#published;
    if (nextUsed === old) return false;
    this.#published = nextUsed;
    this.#used.setUint16(INDEX, nextUsed, true);
    this.#memory.written(this.#usedAddress, this.#used.byteLength);
    if (!this.#features.eventIndex) return (this.#available.getUint16(0, true) & NO_INTERRUPT) === 0;
    const usedEvent = this.#available.getUint16(ENTRIES + size * AVAILABLE_ENTRY_BYTES, true);
    return eventPassed(usedEvent, nextUsed, old);
  }

  arm(): void {
    if (!this.#features.eventIndex) return; // `flags` never asks the driver to be silent
    const { nextAvailable, size } = this.#position;
    this.#used.setUint16(ENTRIES + size * USED_ENTRY_BYTES, nextAvailable, true);
  }
}
