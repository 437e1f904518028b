// Guest memory as the services read and write it: RAM where there is RAM, the bus in the window of the display, nothing else.
// Any address may come from the guest: what lies outside reads as ones and takes no writes. Addresses are linear; real mode and
// a virtual-8086 monitor's identity mapping make them physical.
// QUIRK: the built-in BIOS takes linear addresses for physical ones, also under a virtual-8086 monitor that maps them otherwise.
import type { AddressSpace } from '../../bus/address-space.ts';
import type { DmaMemory } from '../../ports/dma.ts';

export const DISPLAY_WINDOW = { start: 0xa0000, end: 0xc0000 };
const ROM_AREA = { start: 0xf0000, end: 0x100000 };

export class GuestMemory {
  readonly #ram: DmaMemory;
  readonly #mmio: AddressSpace;

  constructor(ram: DmaMemory, mmio: AddressSpace) {
    this.#ram = ram;
    this.#mmio = mmio;
  }

  read8(address: number): number {
    if (address >= DISPLAY_WINDOW.start && address < DISPLAY_WINDOW.end) return this.#mmio.read(address, 1);
    return this.#ram.view(address, 1)?.[0] ?? 0xff;
  }
  read16(address: number): number {
    return this.read8(address) | (this.read8(address + 1) << 8);
  }
  read32(address: number): number {
    return (this.read16(address) | (this.read16(address + 2) << 16)) >>> 0;
  }

  write8(address: number, value: number): void {
    if (address >= DISPLAY_WINDOW.start && address < DISPLAY_WINDOW.end) return this.#mmio.write(address, 1, value & 0xff);
    if (address >= ROM_AREA.start && address < ROM_AREA.end) return;
    const view = this.#ram.view(address, 1);
    if (view === undefined) return;
    view[0] = value;
    this.#ram.written(address, 1);
  }
  write16(address: number, value: number): void {
    this.write8(address, value);
    this.write8(address + 1, value >>> 8);
  }
  write32(address: number, value: number): void {
    this.write16(address, value & 0xffff);
    this.write16(address + 2, value >>> 16);
  }

  /** RAM for a transfer without a copy; undefined where any of it is something else. */
  view(address: number, size: number): Uint8Array | undefined {
    if (address < ROM_AREA.end && address + size > DISPLAY_WINDOW.start) return undefined;
    return this.#ram.view(address, size);
  }
  written(address: number, size: number): void {
    this.#ram.written(address, size);
  }

  copyOut(address: number, target: Uint8Array): void {
    const view = this.view(address, target.length);
    if (view !== undefined) target.set(view);
    else for (let n = 0; n < target.length; n++) target[n] = this.read8(address + n);
  }

  copyIn(address: number, source: Uint8Array): void {
    const view = this.view(address, source.length);
    if (view !== undefined) {
      view.set(source);
      this.written(address, source.length);
    } else for (let n = 0; n < source.length; n++) this.write8(address + n, source[n]!);
  }
}
