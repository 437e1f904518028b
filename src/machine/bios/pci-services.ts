// INT 1Ah function B1h and its 32-bit entry: the PCI BIOS (PCI BIOS Specification 2.1), over configuration mechanism #1.
// QUIRK: the built-in BIOS has no PCI interrupt routing table; the ACPI tables carry the routing.
import type { AddressSpace } from '../../bus/address-space.ts';
import { pciFunctions, readPci, writePci } from '../boot/pci-setup.ts';
import type { RealModeRegisters } from './registers.ts';

const STATUS = { SUCCESS: 0, NOT_SUPPORTED: 0x81, BAD_VENDOR: 0x83, NOT_FOUND: 0x86, BAD_REGISTER: 0x87 } as const;
const SIGNATURE = 0x20494350; // "PCI "
const VERSION = 0x0210;
const MECHANISM_1 = 1;
const VENDOR_NONE = 0xffff;

/** True when it succeeded; AH says how it ended. */
export function pciService(r: RealModeRegisters, ports: AddressSpace): boolean {
  const status = FUNCTIONS_BY_NUMBER[r.al]?.(r, ports) ?? STATUS.NOT_SUPPORTED;
  r.ah = status;
  return status === STATUS.SUCCESS;
}

type PciFunctionCall = (r: RealModeRegisters, ports: AddressSpace) => number;

function find(r: RealModeRegisters, ports: AddressSpace, matches: (where: number) => boolean): number {
  let left = r.si;
  for (const where of pciFunctions(ports)) {
    if (!matches(where) || left-- > 0) continue;
    r.bx = where;
    return STATUS.SUCCESS;
  }
  return STATUS.NOT_FOUND;
}

const access = (size: 1 | 2 | 4, run: (r: RealModeRegisters, ports: AddressSpace) => void): PciFunctionCall => (r, ports) => {
  if (r.di > 0xff || r.di % size !== 0) return STATUS.BAD_REGISTER;
  run(r, ports);
  return STATUS.SUCCESS;
};

const FUNCTIONS_BY_NUMBER: Readonly<Record<number, PciFunctionCall>> = {
  0x01: (r) => {
    r.al = MECHANISM_1;
    r.bx = VERSION;
    r.cl = 0; // the last bus
    r.edx = SIGNATURE;
    return STATUS.SUCCESS;
  },
  0x02: (r, ports) =>
    r.dx === VENDOR_NONE ? STATUS.BAD_VENDOR : find(r, ports, (where) => readPci(ports, where, 0, 4) === ((r.cx << 16) | r.dx) >>> 0),
  0x03: (r, ports) => find(r, ports, (where) => readPci(ports, where, 8, 4) >>> 8 === (r.ecx & 0xffffff)),
  0x08: access(1, (r, ports) => { r.cl = readPci(ports, r.bx, r.di, 1); }),
  0x09: access(2, (r, ports) => { r.cx = readPci(ports, r.bx, r.di, 2); }),
  0x0a: access(4, (r, ports) => { r.ecx = readPci(ports, r.bx, r.di, 4); }),
  0x0b: access(1, (r, ports) => writePci(ports, r.bx, r.di, 1, r.cl)),
  0x0c: access(2, (r, ports) => writePci(ports, r.bx, r.di, 2, r.cx)),
  0x0d: access(4, (r, ports) => writePci(ports, r.bx, r.di, 4, r.ecx)),
};
