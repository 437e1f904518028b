// Which guest-physical pages are plain memory, and where: keeps the PHYS_MAP table that the processor reads.
// Not the bus: pages that are no memory are answered by bus/address-space.ts. Changing a page that has been in use
// needs `invalidate`, which the owner wires to the vCPUs (TLBs and decoded code).
import { assert } from '../base/assert.ts';
import type { DmaMemory } from '../ports/dma.ts';
import { GUEST_RAM, PAGE_BYTES, PHYS, PHYS_MAP, ROM, ROM_BYTES } from './memory-map.ts';

export type PageAccess = 'read-write' | 'read-only' | 'none';

export class PhysicalMap implements DmaMemory {
  readonly bytes: Uint8Array;
  readonly #entries: Uint32Array;
  readonly #view: DataView;
  readonly ramBytes: number;
  #romUsed = 0;
  /** Called after pages have changed: [physical, physical + size). */
  invalidate: (physical: number, size: number) => void = () => {};
  /** Called after bytes of a page with decoded code were written by something else than a processor. */
  codeWritten: (physical: number, size: number) => void = () => {};

  constructor(buffer: SharedArrayBuffer, ramBytes: number) {
    assert(ramBytes % PAGE_BYTES === 0, 'RAM is whole pages');
    this.bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
    this.#entries = new Uint32Array(buffer, PHYS_MAP, 1 << 20);
    this.ramBytes = ramBytes;
  }

  /** Maps pages to host memory, or (access none) to the bus. */
  map(physical: number, size: number, host: number, access: PageAccess): void {
    assert((physical | size | host) % PAGE_BYTES === 0, 'pages');
    const flags = access === 'none' ? 0 : access === 'read-only' ? PHYS.READABLE : PHYS.READABLE | PHYS.WRITABLE;
    for (let offset = 0; offset < size; offset += PAGE_BYTES) {
      const page = (physical + offset) / PAGE_BYTES;
      const entry = access === 'none' ? 0 : (host + offset) | flags;
      // While the page still has the mark by which its decoded code is found.
      if (this.hasCode(page)) this.codeWritten(page * PAGE_BYTES, PAGE_BYTES);
      this.#entries[page] = entry >>> 0;
    }
    this.invalidate(physical, size);
  }

  mapRam(physical: number, size: number): void {
    this.map(physical, size, GUEST_RAM + physical, 'read-write');
  }

  /** Live view of a ROM image that was placed. */
  romView(host: number, size: number): Uint8Array {
    assert(host >= ROM && host + size <= ROM + this.#romUsed, 'a ROM image');
    return this.bytes.subarray(host, host + size);
  }

  /** Takes room for a ROM image and copies it there. Returns its host address. */
  placeRom(image: Uint8Array): number {
    const host = ROM + this.#romUsed;
    assert(this.#romUsed + image.length <= ROM_BYTES, 'ROM images fit');
    this.bytes.set(image, host);
    this.#romUsed += Math.ceil(image.length / PAGE_BYTES) * PAGE_BYTES;
    return host;
  }

  /** Writes into RAM whatever the page map says: loaders and DMA. The range must lie in RAM. */
  writeRam(physical: number, bytes: Uint8Array): void {
    assert(physical >= 0 && physical + bytes.length <= this.ramBytes, 'a range of RAM');
    this.bytes.set(bytes, GUEST_RAM + physical);
    this.invalidate(physical, bytes.length);
  }

  /** One write of 1, 2 or 4 bytes to RAM under a page that is mapped otherwise. */
  pokeRam(physical: number, size: number, value: number): void {
    if (physical + size > this.ramBytes) return;
    if (size === 1) this.#view.setUint8(GUEST_RAM + physical, value);
    else if (size === 2) this.#view.setUint16(GUEST_RAM + physical, value, true);
    else this.#view.setUint32(GUEST_RAM + physical, value, true);
  }

  /** Host address of a RAM page. */
  ramAddress(physical: number): number {
    return GUEST_RAM + physical;
  }

  clearRam(): void {
    this.bytes.fill(0, GUEST_RAM, GUEST_RAM + this.ramBytes);
    this.invalidate(0, this.ramBytes);
  }

  hasCode(page: number): boolean {
    return (this.#entries[page]! & PHYS.CODE) !== 0;
  }

  /** For devices that do DMA: RAM under whatever the page map says. */
  view(physical: number, size: number): Uint8Array | undefined {
    if (physical < 0 || physical + size > this.ramBytes) return undefined;
    return this.bytes.subarray(GUEST_RAM + physical, GUEST_RAM + physical + size);
  }

  copy(physical: number, count: number, target: Uint8Array): boolean {
    if (physical < 0 || physical + count > this.ramBytes) return false;
    const from = GUEST_RAM + physical;
    for (let at = 0; at < count; at++) target[at] = this.bytes[from + at]!;
    return true;
  }

  setByte(physical: number, value: number): void {
    if (physical < 0 || physical >= this.ramBytes) return;
    this.bytes[GUEST_RAM + physical] = value;
    this.written(physical, 1);
  }

  written(physical: number, size: number): void {
    for (let at = physical; at < physical + size; at = (at | (PAGE_BYTES - 1)) + 1) {
      if (this.hasCode(at >>> 12)) this.codeWritten(at, Math.min(physical + size, (at | (PAGE_BYTES - 1)) + 1) - at);
    }
  }
}
