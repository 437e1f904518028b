// Guest memory below 1 MiB and the ROM: which pages are RAM, which the ROM's copy, as the programmable attribute map of the host
// bridge says. Not the registers of that map (devices/chipset), and not the ROM's contents (boot/rom.ts).
import type { SystemBus } from '../bus/address-space.ts';
import type { PamRegion } from '../devices/chipset/pam.ts';
import { PAGE_BYTES, ROM_BYTES } from '../memory/memory-map.ts';
import type { PhysicalMap } from '../memory/physical-map.ts';

const LEGACY_HOLE = { start: 0xa0000, bytes: 0x20000 };
/** What a host bridge maps; a board without one has RAM there. */
export const PAM_AREA = { start: 0xc0000, bytes: 0x40000 };
const HIGH_MEMORY = 0x100000;
const LOW_ROM_BYTES_MAX = 0x20000;

const ones = (size: number): number => [0, 0xff, 0xffff, 0, 0xffffffff][size]!;

export class ShadowMemory {
  readonly #memory: PhysicalMap;
  /** Host address of the ROM's copy below 1 MiB, by page of the PAM area; 0 where there is none. */
  readonly #lowRom = new Uint32Array(PAM_AREA.bytes / PAGE_BYTES);
  #pam: readonly PamRegion[] = [];

  /** Below 1 MiB: no video memory yet, and writes under read-only shadow that PAM sends to RAM. */
  constructor(memory: PhysicalMap, bus: SystemBus) {
    this.#memory = memory;
    bus.claimMmio({
      base: LEGACY_HOLE.start, size: LEGACY_HOLE.bytes, name: 'vga-hole', widthMax: 4,
      read: (_at, size) => ones(size), write: () => {},
    });
    bus.claimMmio({
      base: PAM_AREA.start, size: PAM_AREA.bytes, name: 'pam', widthMax: 4,
      read: (_at, size) => ones(size),
      write: (at, size, value) => {
        const region = this.#pam.find(({ start, bytes }) => at + PAM_AREA.start >= start && at + PAM_AREA.start < start + bytes);
        if (region?.writable === true) this.#memory.pokeRam(PAM_AREA.start + at, size, value);
      },
    });
  }

  /** RAM as the board has it at power-on; PAM decides about 0xc0000..0xfffff. */
  mapMemory(): void {
    const memory = this.#memory;
    memory.mapRam(0, LEGACY_HOLE.start);
    memory.mapRam(HIGH_MEMORY, memory.ramBytes - HIGH_MEMORY);
    this.applyPam(this.#pam);
  }

  /** A ROM image: the whole of it below 4 GiB, its end also below 1 MiB. Once; it stays over resets. */
  mapRom(regions: readonly { readonly physical: number; readonly bytes: Uint8Array }[]): void {
    for (const { physical, bytes } of regions) {
      const host = this.#memory.placeRom(bytes.subarray(0, ROM_BYTES));
      if (physical >= HIGH_MEMORY) this.#memory.map(physical, bytes.length, host, 'read-only');
      else this.#setLowRom(physical, host, bytes.length);
    }
    this.applyPam(this.#pam);
  }

  /** The end of firmware that lies at `host` appears below 1 MiB too. */
  showFirmwareEnd(host: number, sizeBytes: number): void {
    const lowBytes = Math.min(sizeBytes, LOW_ROM_BYTES_MAX);
    this.#setLowRom(HIGH_MEMORY - lowBytes, host + sizeBytes - lowBytes, lowBytes);
    this.applyPam(this.#pam);
  }

  #setLowRom(physical: number, host: number, sizeBytes: number): void {
    for (let at = 0; at < sizeBytes; at += PAGE_BYTES) this.#lowRom[(physical - PAM_AREA.start + at) / PAGE_BYTES] = host + at;
  }

  applyPam(regions: readonly PamRegion[]): void {
    this.#pam = regions;
    const memory = this.#memory;
    for (const { start, bytes, readable, writable } of regions) {
      for (let physical = start; physical < start + bytes; physical += PAGE_BYTES) {
        const rom = this.#lowRom[(physical - PAM_AREA.start) / PAGE_BYTES]!;
        if (readable) memory.map(physical, PAGE_BYTES, memory.ramAddress(physical), writable ? 'read-write' : 'read-only');
        else if (rom !== 0) memory.map(physical, PAGE_BYTES, rom, 'read-only');
        else memory.map(physical, PAGE_BYTES, 0, 'none');
      }
    }
  }
}
