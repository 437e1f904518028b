// What firmware does to the PCI functions of bus 0 (PCI Firmware Specification 3.0): base addresses, interrupt lines, decoding on.
// Only through the configuration ports, so that it needs to know no device. Not bridges, and no expansion ROMs.
import type { AddressSpace } from '../../bus/address-space.ts';
import { COMMAND, PCI } from '../../bus/pci-function.ts';

const CONFIG_ADDRESS = 0xcf8;
const CONFIG_DATA = 0xcfc;
const ENABLE = 0x80000000;
const FUNCTIONS = 256;
const MULTI_FUNCTION = 0x80;
const VENDOR_NONE = 0xffff;
const BARS = 6;
const BAR = { IO: 1, TYPE: 6, TYPE_64: 4 } as const;
const IO_START = 0xc000;
const IO_END = 0x10000;
const MEMORY_ALIGNMENT = 4096;
const CLASS_IDE = 0x0101;

/** `where` is bus, device and function as in bits 8..23 of the address register. */
export function readPci(ports: AddressSpace, where: number, register: number, size: 1 | 2 | 4): number {
  ports.write(CONFIG_ADDRESS, 4, (ENABLE | (where << 8) | (register & 0xfc)) >>> 0);
  return ports.read(CONFIG_DATA + (register & 3), size) >>> 0;
}
export function writePci(ports: AddressSpace, where: number, register: number, size: 1 | 2 | 4, value: number): void {
  ports.write(CONFIG_ADDRESS, 4, (ENABLE | (where << 8) | (register & 0xfc)) >>> 0);
  ports.write(CONFIG_DATA + (register & 3), size, value >>> 0);
}

/** The functions of bus 0 that are there. */
export function* pciFunctions(ports: AddressSpace): Generator<number> {
  for (let where = 0; where < FUNCTIONS; where++) {
    if ((where & 7) !== 0 && (readPci(ports, where & ~7, PCI.HEADER_TYPE, 1) & MULTI_FUNCTION) === 0) continue;
    const vendor = readPci(ports, where, PCI.VENDOR_ID, 2);
    if (vendor !== VENDOR_NONE && vendor !== 0) yield where;
  }
}

interface Bar {
  readonly where: number;
  readonly register: number;
  readonly io: boolean;
  readonly wide: boolean;
  readonly size: number;
}

/** A function's base address registers with the sizes that they decode. */
function barsOf(ports: AddressSpace, where: number): Bar[] {
  const bars: Bar[] = [];
  for (let n = 0; n < BARS; n++) {
    const register = PCI.BAR0 + 4 * n;
    const before = readPci(ports, where, register, 4);
    writePci(ports, where, register, 4, 0xffffffff);
    const probed = readPci(ports, where, register, 4);
    writePci(ports, where, register, 4, before);
    if (probed === 0) continue;
    const io = (probed & BAR.IO) !== 0;
    const wide = !io && (probed & BAR.TYPE) === BAR.TYPE_64;
    const mask = io ? (probed & 0xfffc) | 0xffff0000 : probed & 0xfffffff0;
    bars.push({ where, register, io, wide, size: (~mask + 1) >>> 0 });
    if (wide) n++;
  }
  return bars.filter(({ size }) => size > 0);
}

function assign(ports: AddressSpace, { where, register, wide }: Bar, address: number): void {
  writePci(ports, where, register, 4, address);
  if (wide) writePci(ports, where, register + 4, 4, 0);
}

/** The largest first, so that each lies on a multiple of its size without gaps. Returns which were placed. */
function place(ports: AddressSpace, bars: readonly Bar[], start: number, end: number, granule: number): Set<Bar> {
  const placed = new Set<Bar>();
  let next = start;
  for (const bar of [...bars].sort((a, b) => b.size - a.size)) {
    const size = Math.max(bar.size, granule);
    const address = Math.ceil(next / size) * size;
    if (address + size > end) continue;
    assign(ports, bar, address);
    placed.add(bar);
    next = address + size;
  }
  return placed;
}

export interface PciResources {
  /** Where memory windows may lie; they are put at its end. */
  readonly memory: { readonly start: number; readonly end: number };
  /** The interrupt line that a device's pin (1 = INTA#) leads to. */
  readonly interruptLine: (device: number, pin: number) => number;
}

export function setUpPci(ports: AddressSpace, { memory, interruptLine }: PciResources): void {
  const functions = [...pciFunctions(ports)];
  const DECODING = COMMAND.IO | COMMAND.MEMORY;
  for (const where of functions) writePci(ports, where, PCI.COMMAND, 2, readPci(ports, where, PCI.COMMAND, 2) & ~DECODING);
  const bars = functions.flatMap((where) => barsOf(ports, where));
  const windows = bars.filter(({ io }) => !io);
  const largest = Math.max(MEMORY_ALIGNMENT, ...windows.map(({ size }) => size));
  const total = windows.reduce((sum, { size }) => sum + Math.max(size, MEMORY_ALIGNMENT), 0);
  const start = Math.max(memory.start, Math.floor((memory.end - total) / largest) * largest);
  const placed = [
    ...place(ports, windows, start, memory.end, MEMORY_ALIGNMENT),
    ...place(ports, bars.filter(({ io }) => io), IO_START, IO_END, 4),
  ];
  for (const where of functions) {
    const own = placed.filter((bar) => bar.where === where);
    let command = readPci(ports, where, PCI.COMMAND, 2);
    if (own.some(({ io }) => io)) command |= COMMAND.IO;
    if (own.some(({ io }) => !io)) command |= COMMAND.MEMORY;
    if (readPci(ports, where, PCI.CLASS + 1, 2) === CLASS_IDE) command |= COMMAND.IO | COMMAND.MASTER;
    writePci(ports, where, PCI.COMMAND, 2, command);
    const pin = readPci(ports, where, PCI.INTERRUPT_PIN, 1);
    const fixed = readPci(ports, where, PCI.INTERRUPT_LINE, 1) !== 0; // power management has a line of its own
    if (pin !== 0 && !fixed) writePci(ports, where, PCI.INTERRUPT_LINE, 1, interruptLine(where >> 3, pin));
  }
}
