// The packed virtqueue, from the device's side. Virtio 1.2, 2.8.
import type { DmaMemory } from '../../ports/dma.ts';
import {
  ChainPool, DESCRIPTOR, DESCRIPTOR_BYTES, dmaView, eventPassed, IndirectTables, RingError,
  type Chain, type QueuePosition, type Ring, type RingFeatures,
} from './ring.ts';

const FLAG = { AVAILABLE: 1 << 7, USED: 1 << 15 } as const;
const EVENT = { ENABLE: 0, DISABLE: 1, DESCRIPTOR: 2 } as const;
const EVENT_BYTES = 4;
const WRAP = 0x8000;

export class PackedRing implements Ring {
  readonly #memory: DmaMemory;
  readonly #position: QueuePosition;
  readonly #features: RingFeatures;
  readonly #chains: ChainPool;
  readonly #tables: IndirectTables;
  readonly #descriptors: DataView;
  readonly #descriptorsAddress: number;
  readonly #driverEvent: DataView;
  readonly #deviceEvent: DataView;
  #pushedSince = 0;

  constructor(memory: DmaMemory, position: QueuePosition, features: RingFeatures) {
    const { size } = position;
    const isPossible = size > 0 && size <= 32768 && position.nextAvailable < size && position.nextUsed < size;
    if (!isPossible) throw new RingError('a packed ring of no possible size');
    this.#memory = memory;
    this.#position = position;
    this.#features = features;
    this.#chains = new ChainPool(memory);
    this.#tables = new IndirectTables(memory);
    this.#descriptors = dmaView(memory, position.descriptorsLow, position.descriptorsHigh, size * DESCRIPTOR_BYTES);
    this.#descriptorsAddress = position.descriptorsHigh * 2 ** 32 + position.descriptorsLow;
    this.#driverEvent = dmaView(memory, position.driverLow, position.driverHigh, EVENT_BYTES);
    this.#deviceEvent = dmaView(memory, position.deviceLow, position.deviceHigh, EVENT_BYTES);
  }

  get hasAvailable(): boolean {
    const { nextAvailable, availableWrap } = this.#position;
    const first = this.#descriptors.getUint16(nextAvailable * DESCRIPTOR_BYTES + 14, true);
    return ((first & FLAG.AVAILABLE) !== 0) === availableWrap && ((first & FLAG.USED) !== 0) !== availableWrap;
  }

  pop(): Chain | undefined {
    const position = this.#position;
    const { size } = position;
    let index = position.nextAvailable;
    if (!this.hasAvailable) return undefined;
    const chain = this.#chains.take(this);
    for (;;) {
      if (chain.slots === size) throw new RingError('a chain that is longer than the ring');
      const at = index * DESCRIPTOR_BYTES;
      const flags = this.#descriptors.getUint16(at + 14, true);
      chain.id = this.#descriptors.getUint16(at + 12, true);
      chain.slots++;
      this.#add(chain, this.#descriptors, at, flags);
      index++;
      if (index === size) index = 0;
      if ((flags & DESCRIPTOR.NEXT) === 0) break;
      if ((flags & DESCRIPTOR.INDIRECT) !== 0) throw new RingError('an indirect table in the wrong place');
    }
    if (index <= position.nextAvailable) position.availableWrap = !position.availableWrap;
    position.nextAvailable = index;
    return chain;
  }

  #add(chain: Chain, table: DataView, at: number, flags: number): void {
    const low = table.getUint32(at, true);
    const high = table.getUint32(at + 4, true);
    const size = table.getUint32(at + 8, true);
    if ((flags & DESCRIPTOR.INDIRECT) === 0) {
      if (!chain.add(low, high, size, flags)) throw new RingError('a readable buffer behind a writable one');
      return;
    }
    if (!this.#features.indirect || chain.slots > 1) throw new RingError('an indirect table in the wrong place');
    const inner = this.#tables.read(low, high, size);
    // All of its descriptors belong to the chain, in their order; only the flag WRITE means something.
    for (let offset = 0; offset < size; offset += DESCRIPTOR_BYTES) {
      this.#add(chain, inner, offset, inner.getUint16(offset + 14, true) & DESCRIPTOR.WRITE);
    }
  }

  push(chain: Chain, bytes: number): void {
    const position = this.#position;
    const at = position.nextUsed * DESCRIPTOR_BYTES;
    this.#descriptors.setUint32(at + 8, bytes, true);
    this.#descriptors.setUint16(at + 12, chain.id, true);
    const used = position.usedWrap ? FLAG.AVAILABLE | FLAG.USED : 0;
    this.#descriptors.setUint16(at + 14, used | (bytes > 0 ? DESCRIPTOR.WRITE : 0), true);
    this.#memory.written(this.#descriptorsAddress + at, DESCRIPTOR_BYTES);
    position.nextUsed += chain.slots;
    this.#pushedSince += chain.slots;
    if (position.nextUsed >= position.size) {
      position.nextUsed -= position.size;
      position.usedWrap = !position.usedWrap;
    }
    this.#chains.give(chain);
  }

  publish(): boolean {
    if (this.#pushedSince === 0) return false;
    const { nextUsed, usedWrap, size } = this.#position;
    const pushed = this.#pushedSince;
    this.#pushedSince = 0;
    const flags = this.#driverEvent.getUint16(2, true) & 3;
    if (flags !== EVENT.DESCRIPTOR || !this.#features.eventIndex) return flags !== EVENT.DISABLE;
    const offset = this.#driverEvent.getUint16(0, true);
    const event = (offset & (WRAP - 1)) - ((offset & WRAP) !== 0 === usedWrap ? 0 : size);
    return eventPassed(event, nextUsed, nextUsed - pushed);
  }

  arm(): void {
    this.#deviceEvent.setUint16(2, EVENT.ENABLE, true);
  }
}
