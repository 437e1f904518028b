// INT 11h, 12h, 14h, 15h and 17h: what there is, memory sizes and the memory map (ACPI 6.5 section 15), block moves, waiting, address
// line 20, serial ports. APM, the PS/2 mouse interface and printers are not there and are answered so.
import { E820_ENTRY_BYTES, encodeE820, type MemoryMap } from '../e820.ts';
import { BDA } from './data-area.ts';
import { BIOS_SEGMENT } from './rom.ts';
import type { Answer, ServiceCall } from './service.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const SMAP = 0x534d4150;
const PORT_92 = 0x92;
const A20_BIT = 2;
const EXTENDED_KIB_MAX = 63 * KIB; // what 88h can say
const BLOCK_WORDS_MAX = 0x8000;
const STATUS = { INVALID: 0x80, UNSUPPORTED: 0x86 } as const;

export interface SystemFacts {
  readonly map: MemoryMap;
  /** Offset of the configuration table in the BIOS's segment. */
  readonly configuration: number;
}

export function equipmentService({ registers: r, memory }: ServiceCall): Answer {
  r.ax = memory.read16(BDA.EQUIPMENT);
  return 'done';
}
export function memorySizeService({ registers: r, memory }: ServiceCall): Answer {
  r.ax = memory.read16(BDA.MEMORY_KIB);
  return 'done';
}

/** KiB from 1 MiB on, below the tables. */
const extendedKib = ({ tableAddress }: MemoryMap): number => (tableAddress - MIB) / KIB;

/** A time that a call waits for. The same call asks for it again; another one begins another wait. */
class Deadline {
  #untilNs = 0;
  #caller = '';

  /** Whether `ns` have passed since this call was first made. */
  passed({ registers: r, clock }: ServiceCall, ns: number): boolean {
    const caller = `${r.stack} ${r.ax} ${r.cx} ${r.dx}`;
    if (this.#caller !== caller) {
      this.#caller = caller;
      this.#untilNs = clock.now() + ns;
    }
    if (clock.now() < this.#untilNs) return false;
    this.forget();
    return true;
  }

  forget(): void {
    this.#caller = '';
  }
}

/** INT 15h. The deadline of a wait is the only thing that it keeps between calls. */
export class SystemServices {
  readonly #deadline = new Deadline();

  service(call: ServiceCall, facts: SystemFacts): Answer {
    const { registers: r, memory } = call;
    switch (r.ah) {
      case 0x24:
        return gateA20(call);
      case 0x4f: // the scan code in AL is to be processed
        call.setCarry(true);
        return 'done';
      case 0x85:
      case 0x90:
      case 0x91:
        return call.succeed();
      case 0x86:
        return this.#deadline.passed(call, (r.cx * 65536 + r.dx) * 1000) ? call.succeed() : 'again'; // microseconds
      case 0x87:
        return moveBlock(call);
      case 0x88:
        r.ax = Math.min(EXTENDED_KIB_MAX, extendedKib(facts.map));
        call.setCarry(false);
        return 'done';
      case 0xc0:
        r.bx = facts.configuration;
        r.setSegment('es', BIOS_SEGMENT);
        return call.succeed();
      case 0xc1:
        r.setSegment('es', memory.read16(BDA.EBDA_SEGMENT));
        call.setCarry(false);
        return 'done';
      case 0xe8:
        return extendedMemory(call, facts.map);
      default:
        return call.unsupported(STATUS.UNSUPPORTED);
    }
  }
}

function gateA20(call: ServiceCall): Answer {
  const { registers: r, ports } = call;
  const value = ports.read(PORT_92, 1) & ~1;
  switch (r.al) {
    case 0:
    case 1:
      ports.write(PORT_92, 1, r.al === 1 ? value | A20_BIT : value & ~A20_BIT);
      return call.succeed();
    case 2:
      r.al = (value & A20_BIT) === 0 ? 0 : 1;
      return call.succeed();
    case 3:
      r.bx = 2; // through port 92h
      return call.succeed();
    default:
      return call.unsupported(STATUS.UNSUPPORTED);
  }
}

/** 87h: CX words between the bases of two descriptors in the table at ES:SI. */
function moveBlock(call: ServiceCall): Answer {
  const { registers: r, memory } = call;
  if (r.cx > BLOCK_WORDS_MAX) return call.unsupported(STATUS.INVALID);
  const table = r.address('es', r.si);
  const base = (at: number): number => ((memory.read32(at + 2) & 0xffffff) | (memory.read8(at + 7) << 24)) >>> 0;
  const bytes = new Uint8Array(r.cx * 2);
  memory.copyOut(base(table + 0x10), bytes);
  memory.copyIn(base(table + 0x18), bytes);
  call.setZero(true);
  return call.succeed();
}

function extendedMemory(call: ServiceCall, map: MemoryMap): Answer {
  const { registers: r } = call;
  switch (r.al) {
    case 0x01: {
      const kib = extendedKib(map);
      r.ax = Math.min(kib, 15 * KIB);
      r.bx = Math.max(0, Math.floor((kib - 15 * KIB) / 64));
      r.cx = r.ax;
      r.dx = r.bx;
      call.setCarry(false);
      return 'done';
    }
    case 0x20:
      return memoryMapEntry(call, map);
    default:
      return call.unsupported(STATUS.UNSUPPORTED);
  }
}

/** EBX counts the entries; 0 after the last. */
function memoryMapEntry(call: ServiceCall, map: MemoryMap): Answer {
  const { registers: r, memory } = call;
  const range = map.ranges[r.ebx];
  if (r.edx !== SMAP || r.ecx < E820_ENTRY_BYTES || range === undefined) return call.unsupported(STATUS.UNSUPPORTED);
  memory.copyIn(r.address('es', r.di), encodeE820([range]));
  r.ebx = r.ebx + 1 === map.ranges.length ? 0 : r.ebx + 1;
  r.eax = SMAP;
  r.ecx = E820_ENTRY_BYTES;
  call.setCarry(false);
  return 'done';
}

// --- INT 14h and 17h

const UART = { DATA: 0, IER: 1, LCR: 3, MCR: 4, LSR: 5, MSR: 6 } as const;
const LSR = { DATA: 1, THR_EMPTY: 0x20 } as const;
const TIMED_OUT = 0x80;
const DIVISORS = [1047, 768, 384, 192, 96, 48, 24, 12];
const TIMEOUT_NS = 1e9;

export class SerialServices {
  readonly #deadline = new Deadline();

  service(call: ServiceCall): Answer {
    const { registers: r, memory, ports } = call;
    const base = r.dx < 4 ? memory.read16(BDA.COM_PORTS + 2 * r.dx) : 0;
    if (base === 0) return 'done';
    const read = (register: number): number => ports.read(base + register, 1);
    switch (r.ah) {
      case 0x00:
        configure(call, base);
        break;
      case 0x01:
      case 0x02: {
        const wanted = r.ah === 0x01 ? LSR.THR_EMPTY : LSR.DATA;
        const status = read(UART.LSR);
        if ((status & wanted) === 0) return this.#waitMore(call, status);
        this.#deadline.forget();
        if (r.ah === 0x01) ports.write(base + UART.DATA, 1, r.al);
        else r.al = read(UART.DATA);
        r.ah = status & ~TIMED_OUT;
        return 'done';
      }
      case 0x03:
        break;
      default:
        return 'done';
    }
    r.ah = read(UART.LSR);
    r.al = read(UART.MSR);
    return 'done';
  }

  #waitMore(call: ServiceCall, status: number): Answer {
    if (!this.#deadline.passed(call, TIMEOUT_NS)) return 'again';
    call.registers.ah = status | TIMED_OUT;
    return 'done';
  }
}

/** 00h: AL is baud rate, parity, stop bits and word length. */
function configure({ registers: r, ports }: ServiceCall, base: number): void {
  const divisor = DIVISORS[r.al >> 5]!;
  ports.write(base + UART.LCR, 1, 0x80);
  ports.write(base + UART.DATA, 1, divisor & 0xff);
  ports.write(base + UART.IER, 1, divisor >> 8);
  ports.write(base + UART.LCR, 1, r.al & 0x1f);
  ports.write(base + UART.IER, 1, 0);
  ports.write(base + UART.MCR, 1, 3);
}

export function printerService({ registers: r }: ServiceCall): Answer {
  r.ah = 1; // timed out
  return 'done';
}
