// The ISA bridge of the PIIX3 (82371SB, function 0): routes PIRQA..D to ISA interrupts, and the reset control register.
// The ELCR is with the 8259s (intc/isa-pic.ts). Not the DMA controllers or the X-bus decoding.
import type { PciBus } from '../../bus/pci-bus.ts';
import type { PciFunction } from '../../bus/pci-function.ts';
import type { PirqRouter } from './pirq-router.ts';

/** Where the route registers of PIRQA..D are. */
export const PIIX3_ROUTES = [0x60, 0x61, 0x62, 0x63] as const;

export const piix3Header = {
  name: 'piix3',
  vendorId: 0x8086,
  deviceId: 0x7000,
  revision: 0,
  classCode: 0x06_0100,
  subsystemVendorId: 0x1af4,
  subsystemId: 0x1100,
  multiFunction: true,
  initial: {
    0x04: 0x07,
    0x06: 0x00,
    0x07: 0x02,
    0x4c: 0x4d,
    0x4e: 0x03,
    0x60: 0x80,
    0x61: 0x80,
    0x62: 0x80,
    0x63: 0x80,
    0x69: 0x02,
    0x70: 0x80,
  },
  writable: {
    0x04: 0x08,
    0x4c: 0xff,
    0x4e: 0xff,
    0x4f: 0x01,
    0x60: 0x8f,
    0x61: 0x8f,
    0x62: 0x8f,
    0x63: 0x8f,
    0x69: 0xff,
    0x6a: 0xd7,
    0x70: 0xef,
  },
} as const;

/** Plugs the bridge in at 1.0. The PIRQs of the PCI bus must lead to the router. */
export function piix3(pci: PciBus, router: PirqRouter): PciFunction {
  const bridge = pci.add(1, 0, piix3Header);
  router.attach(bridge);
  bridge.onConfig = (at, size) => router.configChanged(at, size);
  return bridge;
}
