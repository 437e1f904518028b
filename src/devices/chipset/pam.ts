// The programmable attribute map of Intel's host bridges (82441FX section 3.2.17, 82Q35 section 5.1.20): seven registers say for
// thirteen parts of 0xc0000..0xfffff whether reads and writes go to RAM or to the bus. Where the registers lie is the bridge's.
import type { PciFunction } from '../../bus/pci-function.ts';
import { trace } from './trace.ts';

export const PAM_COUNT = 7;

/** One part of the attribute map. */
export interface PamRegion {
  readonly start: number;
  readonly bytes: number;
  /** Reads come from RAM, else from the ROM or bus behind. */
  readonly readable: boolean;
  /** Writes go to RAM, else to the bus. */
  readonly writable: boolean;
}

/** Start, size, register and shift of each part. */
const PARTS = [
  { start: 0xf_0000, bytes: 0x1_0000, register: 0, shift: 4 },
  ...Array.from({ length: 12 }, (_, index) => ({
    start: 0xc_0000 + 0x4000 * index,
    bytes: 0x4000,
    register: 1 + (index >> 1),
    shift: (index & 1) * 4,
  })),
];

/** Bits that the guest can write, by offset, for a map that begins at `first`. */
export function pamWritable(first: number): Readonly<Record<number, number>> {
  return Object.fromEntries(Array.from({ length: PAM_COUNT }, (_, index) => [first + index, index === 0 ? 0x30 : 0x33]));
}

/** The regions as the registers from `first` on say now. */
export function pamRegions(bridge: PciFunction, first: number): PamRegion[] {
  return PARTS.map(({ start, bytes, register, shift }) => {
    const attributes = (bridge.byte(first + register) >> shift) & 3;
    return { start, bytes, readable: (attributes & 1) !== 0, writable: (attributes & 2) !== 0 };
  }).sort((a, b) => a.start - b.start);
}

/** Tells the board when a configuration write of `size` bytes at `at` was to the map. */
export function followPam(
  bridge: PciFunction, first: number, at: number, size: number, changed: (regions: readonly PamRegion[]) => void,
): void {
  if (at >= first + PAM_COUNT || at + size <= first) return;
  const regions = pamRegions(bridge, first);
  for (const { start, readable, writable } of regions) trace.pam?.({ start, readable, writable });
  changed(regions);
}
