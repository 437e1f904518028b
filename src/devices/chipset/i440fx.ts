// The host bridge of the i440FX (82441FX, PMC): configuration space and the programmable attribute map, which says for
// thirteen parts of 0xc0000..0xfffff whether reads and writes go to RAM or to the bus. Not the SMRAM and DRAM timing.
import type { PciBus } from '../../bus/pci-bus.ts';
import type { PciFunction } from '../../bus/pci-function.ts';
import { trace } from './trace.ts';

const PAM0 = 0x59;
const PAM_COUNT = 7;
const SMRAM = 0x72;

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

export const i440fxHeader = {
  name: 'i440fx',
  vendorId: 0x8086,
  deviceId: 0x1237,
  revision: 2,
  classCode: 0x06_0000,
  subsystemVendorId: 0x1af4,
  subsystemId: 0x1100,
  initial: { [SMRAM]: 0x02 },
  writable: {
    ...Object.fromEntries(Array.from({ length: PAM_COUNT }, (_, index) => [PAM0 + index, index === 0 ? 0x30 : 0x33])),
    [SMRAM]: 0x78,
  },
} as const;

export interface I440fxWires {
  /** The attribute map changed, or was reset: every part, in the order of addresses. */
  readonly pamChanged: (regions: readonly PamRegion[]) => void;
}

/** The regions as the registers say now. */
export function pamRegions(bridge: PciFunction): PamRegion[] {
  return PARTS.map(({ start, bytes, register, shift }) => {
    const attributes = (bridge.byte(PAM0 + register) >> shift) & 3;
    return { start, bytes, readable: (attributes & 1) !== 0, writable: (attributes & 2) !== 0 };
  }).sort((a, b) => a.start - b.start);
}

/** Plugs the bridge in at 0.0. Its state is its configuration space. */
export function i440fx(pci: PciBus, { pamChanged }: I440fxWires): PciFunction {
  const bridge = pci.add(0, 0, i440fxHeader);
  bridge.onConfig = (at, size) => {
    if (at >= PAM0 + PAM_COUNT || at + size <= PAM0) return;
    const regions = pamRegions(bridge);
    for (const { start, readable, writable } of regions) trace.pam?.({ start, readable, writable });
    pamChanged(regions);
  };
  return bridge;
}
