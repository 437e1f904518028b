// The host bridge of the Q35 (82Q35 MCH, device 0): configuration space, the programmable attribute map, and PCIEXBAR, which maps
// the configuration spaces of all functions into memory (PCI Express 1.1 section 7.2.2). Not DRAM, SMRAM, or the graphics part.
import type { Claim } from '../../bus/address-space.ts';
import type { PciBus } from '../../bus/pci-bus.ts';
import type { PciFunction } from '../../bus/pci-function.ts';
import { followPam, pamWritable, type PamRegion } from './pam.ts';

export const MCH_PAM = 0x90;
export const PCIEXBAR = 0x60;
const SMRAM = 0x9d;
const PCIEXBAR_ENABLE = 1;
const FULL_BYTES = 0x1000_0000;
/** Bytes that the length field gives, and the address bits that are below a window of that size. */
const LENGTHS = [FULL_BYTES, FULL_BYTES / 2, FULL_BYTES / 4] as const;

export const mchHeader = {
  name: 'mch',
  vendorId: 0x8086,
  deviceId: 0x29c0,
  revision: 2,
  classCode: 0x06_0000,
  subsystemVendorId: 0x1af4,
  subsystemId: 0x1100,
  initial: { [SMRAM]: 0x02 },
  writable: {
    ...pamWritable(MCH_PAM),
    [SMRAM]: 0x78,
    [PCIEXBAR]: 0x07,
    [PCIEXBAR + 3]: 0xfc,
    [PCIEXBAR + 4]: 0x0f,
  },
} as const;

export interface EcamWindow {
  readonly start: number;
  readonly sizeBytes: number;
}

/** Where PCIEXBAR puts the window now; undefined when it is off, of a reserved length, or above 4 GiB. */
export function ecamWindow(bridge: PciFunction): EcamWindow | undefined {
  const low = bridge.u32(PCIEXBAR);
  const sizeBytes = LENGTHS[(low >> 1) & 3];
  if ((low & PCIEXBAR_ENABLE) === 0 || sizeBytes === undefined || bridge.u32(PCIEXBAR + 4) !== 0) return undefined;
  const start = (low & ~(sizeBytes - 1)) >>> 0;
  return start === 0 ? undefined : { start, sizeBytes };
}

export interface MchWires {
  /** The attribute map changed, or was reset: every part, in the order of addresses. */
  readonly pamChanged: (regions: readonly PamRegion[]) => void;
}

/** Plugs the bridge in at 0.0. Its state is its configuration space. */
export function mch(pci: PciBus, { pamChanged }: MchWires): PciFunction {
  const bridge = pci.add(0, 0, mchHeader);
  // One claim a length, because a claim's size is fixed; at most one of them is mapped.
  const claims = LENGTHS.map((size): Claim =>
    pci.bus.mmio.claimUnmapped({
      base: 0, size, name: 'ecam', widthMax: 4, priority: -2,
      read: (at, width) => pci.readConfig(at >>> 12, at & 0xfff, width),
      write: (at, width, value) => pci.writeConfig(at >>> 12, at & 0xfff, width, value),
    }),
  );
  bridge.onConfig = (at, size) => {
    followPam(bridge, MCH_PAM, at, size, pamChanged);
    if (at >= PCIEXBAR + 8 || at + size <= PCIEXBAR) return;
    const window = ecamWindow(bridge);
    for (const claim of claims) {
      if (window !== undefined && window.sizeBytes === claim.region.size) claim.map(window.start);
      else claim.unmap();
    }
  };
  return bridge;
}
