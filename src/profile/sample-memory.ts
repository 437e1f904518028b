// A guest's memory made by hand, for tests: RAM, page tables, and a vCPU in long mode. It has no code and nothing runs.
import { cpuOffset } from '../cpu/x86/state.ts';
import { GUEST_RAM } from '../memory/memory-map.ts';
import { GuestMemory } from './guest-memory.ts';

export const RAM_BYTES = 1 << 20;
export const SAMPLE_AREA = 4096;
/** The kernel's half: 2 MiB from here on are the RAM. */
export const KERNEL = -0x8000_0000;

/** Page tables that map RAM at KERNEL by one large page, and identically by pages of 4 KiB. */
export class SampleMemory {
  readonly #buffer = new ArrayBuffer(GUEST_RAM + RAM_BYTES);
  readonly view = new DataView(this.#buffer);
  readonly guest = new GuestMemory(new Uint32Array(this.#buffer), SAMPLE_AREA, RAM_BYTES);

  /** Stacks as they are in memory. */
  readonly stack = { word: (linear: number): number => this.guest.word(linear, 8) };

  constructor() {
    this.#field('cr0', 0x8000_0001);
    this.#field('cr4', 1 << 5);
    this.#field('efer', 1 << 10);
    this.#field('cr3', 0x1000);
    const [present, large] = [3, 0x83];
    this.entry(0x1000, 0, 0x2000 | present);
    this.entry(0x1000, 511, 0x3000 | present);
    this.entry(0x2000, 0, 0x4000 | present);
    this.entry(0x3000, 510, 0x5000 | present);
    this.entry(0x4000, 0, 0x6000 | present);
    this.entry(0x5000, 0, 0 | large);
    for (let page = 0; page < RAM_BYTES / 4096; page++) this.entry(0x6000, page, (page * 4096) | present);
  }

  #field(name: string, value: number): void {
    this.view.setUint32(SAMPLE_AREA + cpuOffset(name), value, true);
  }

  entry(table: number, index: number, value: number): void {
    this.word(table + index * 8, value);
  }

  /** By physical address. */
  word(at: number, value: number): void {
    this.view.setBigInt64(GUEST_RAM + at, BigInt(value), true);
  }

  bytes(at: number, ...values: readonly number[]): void {
    values.forEach((value, n) => this.view.setUint8(GUEST_RAM + at + n, value));
  }

  number(at: number, value: number, bytes: 2 | 4): void {
    if (bytes === 2) this.view.setInt16(GUEST_RAM + at, value, true);
    else this.view.setInt32(GUEST_RAM + at, value, true);
  }
}
