// The host bridge of the i440FX (82441FX, PMC): configuration space and the programmable attribute map. Not the SMRAM and
// DRAM timing.
import type { PciBus } from '../../bus/pci-bus.ts';
import type { PciFunction } from '../../bus/pci-function.ts';
import { followPam, pamWritable, type PamRegion } from './pam.ts';

export const I440FX_PAM = 0x59;
const SMRAM = 0x72;

export const i440fxHeader = {
  name: 'i440fx',
  vendorId: 0x8086,
  deviceId: 0x1237,
  revision: 2,
  classCode: 0x06_0000,
  subsystemVendorId: 0x1af4,
  subsystemId: 0x1100,
  initial: { [SMRAM]: 0x02 },
  writable: { ...pamWritable(I440FX_PAM), [SMRAM]: 0x78 },
} as const;

export interface I440fxWires {
  /** The attribute map changed, or was reset: every part, in the order of addresses. */
  readonly pamChanged: (regions: readonly PamRegion[]) => void;
}

/** Plugs the bridge in at 0.0. Its state is its configuration space. */
export function i440fx(pci: PciBus, { pamChanged }: I440fxWires): PciFunction {
  const bridge = pci.add(0, 0, i440fxHeader);
  bridge.onConfig = (at, size) => followPam(bridge, I440FX_PAM, at, size, pamChanged);
  return bridge;
}
