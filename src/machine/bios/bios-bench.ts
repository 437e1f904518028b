// The BIOS on a bench: buses with a UART and a clock, plain bytes for RAM and for the processor's registers. A test calls a service as
// a stub would, with the caller's frame on the stack, and looks at registers, flags and memory afterwards.
import { SystemBus } from '../../bus/address-space.ts';
import { IsaBus } from '../../bus/isa-bus.ts';
import { notConnected } from '../../bus/irq.ts';
import { PciBus } from '../../bus/pci-bus.ts';
import { TimerQueue } from '../../bus/timer-queue.ts';
import { CPU_STATE_BYTES, cpuOffset } from '../../cpu/x86/state.ts';
import { isaSerial } from '../../devices/char/isa-serial.ts';
import { isaPort92 } from '../../devices/misc/port92.ts';
import { isaRtc } from '../../devices/timer/mc146818.ts';
import type { BootDrive } from '../../ports/boot-drive.ts';
import type { CharBackend, CharFrontEnd } from '../../ports/char-backend.ts';
import type { Drive } from '../../ports/disk.ts';
import { Failure } from '../../base/failure.ts';
import { memoryMap } from '../e820.ts';
import { Bios } from './bios.ts';
import type { BootOptions } from './boot-order.ts';
import type { RealModeRegisters } from './registers.ts';
import { ANSWER, BIOS_PORT, BIOS_PORTS, BIOS_SEGMENT, START } from './rom.ts';

const RAM_BYTES = 4 << 20;
const TABLE_BYTES = 8192;
const STACK = 0x7000;
const COM1 = 0x3f8;
/** 2026-11-28, 12:34:56 UTC. */
const NOW_MS = 1_795_869_296_000;
const MICROTASKS = 20;

/** What has been promised happens: no promise here takes more steps. */
export async function turn(): Promise<void> {
  for (let n = 0; n < MICROTASKS; n++) await Promise.resolve();
}

/** A drive of plain bytes. */
export class MemoryDrive implements Drive {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly readOnly: boolean;
  readonly requestAlignment = 0;
  readonly writeCache = true;
  readonly discards = false;
  /** Requests end with a promise, which `settle` of the bench's event loop resolves. */
  late = false;
  fails = false;
  requests = 0;

  constructor(name: string, bytes: Uint8Array, readOnly = false) {
    this.name = name;
    this.bytes = bytes;
    this.readOnly = readOnly;
  }

  get size(): number {
    return this.bytes.length;
  }

  #request(run: () => void): void | Promise<void> {
    this.requests++;
    if (this.fails) throw new Failure('io', 'the drive fails');
    if (this.late) return Promise.resolve().then(run);
    run();
  }

  read(offset: number, target: Uint8Array): void | Promise<void> {
    return this.#request(() => target.set(this.bytes.subarray(offset, offset + target.length)));
  }
  write(offset: number, source: Uint8Array): void | Promise<void> {
    return this.#request(() => this.bytes.set(source, offset));
  }
  readv(): void {}
  writev(): void {}
  writeZeroes(): void {}
  discard(): void {}
  flush(): void {}
}

export const bootDrive = (medium: BootDrive['medium'], drive: Drive, rest: Partial<BootDrive> = {}): BootDrive => ({
  drive, medium, description: 'bench', ...rest,
});

/** The far end of the serial port. */
class Terminal implements CharBackend {
  text = '';
  #frontEnd: CharFrontEnd | undefined;
  readonly #decoder = new TextDecoder();

  connect(frontEnd: CharFrontEnd | undefined): void {
    this.#frontEnd = frontEnd;
  }
  write(bytes: Uint8Array): number {
    this.text += this.#decoder.decode(bytes, { stream: true });
    return bytes.length;
  }
  acceptInput(): void {}
  async close(): Promise<void> {}

  type(text: string): void {
    this.#frontEnd?.receive(new TextEncoder().encode(text));
  }
}

export class BiosBench {
  readonly ram = new Uint8Array(RAM_BYTES);
  readonly clock = { timeNs: 0, now: (): number => this.clock.timeNs };
  readonly bus = new SystemBus();
  readonly terminal = new Terminal();
  readonly processor = new DataView(new ArrayBuffer(CPU_STATE_BYTES));
  readonly bios: Bios;
  resets = 0;

  constructor(drives: readonly BootDrive[], boot: Partial<BootOptions> = {}) {
    const { bus, ram } = this;
    const timers = new TimerQueue(this.clock);
    const isa = new IsaBus(bus, timers, Array.from({ length: 16 }, () => notConnected));
    isaSerial(isa, { iobase: COM1, irq: 4, backend: this.terminal });
    isaRtc(bus, { timers, wall: { nowMs: () => NOW_MS }, irq: notConnected });
    isaPort92(bus, { a20: notConnected, reset: () => this.resets++ });
    const pci = new PciBus({ bus, pirqs: [0, 1, 2, 3].map(() => notConnected) });
    pci.add(3, 0, { name: 'bench', vendorId: 0x1234, deviceId: 0x5678, classCode: 0x010203 });
    this.processor.setUint32(cpuOffset('a20Mask'), 0xffffffff, true);
    this.bios = new Bios({
      bus, clock: this.clock, processor: this.processor,
      memory: {
        view: (at, size) => (at >= 0 && at + size <= ram.length ? ram.subarray(at, at + size) : undefined),
        written: () => {},
      },
      memoryMap: (tableBytes) => memoryMap(RAM_BYTES, tableBytes),
      segmentsChanged: () => {},
      powerOn: () => ({ memory: memoryMap(RAM_BYTES, TABLE_BYTES) }),
      writeRam: (at, bytes) => ram.set(bytes, at),
      yield: () => {},
      reset: () => { this.resets++; },
      isFirstStart: () => this.resets === 0,
      drives: () => drives,
      boot: { order: 'cad', menu: false, strict: false, ...boot },
      serialConsole: COM1,
    });
    this.registers.setSegment('cs', BIOS_SEGMENT);
  }

  get registers(): RealModeRegisters {
    return this.bios.registers;
  }

  /** Power-on until the BIOS jumps; the entry is then on the stack. At most `turns` turns of the event loop. */
  async start({ kind = START.RESET, turns = 1000 }: { kind?: number; turns?: number } = {}): Promise<'entered' | 'waits'> {
    for (let n = 0; n < turns; n++) {
      this.registers.ah = kind;
      this.bus.ports.write(BIOS_PORT + BIOS_PORTS.START, 1, 0);
      if (this.registers.al === ANSWER.DONE) return 'entered';
      this.clock.timeNs += 1e7;
      await turn();
    }
    return 'waits';
  }

  /** One call of a service's stub; `answer` is what the pushed word says then. */
  step(vector: number): number {
    const { ram, registers } = this;
    registers.setStack(0, STACK - 8);
    ram.set([vector, 0, 0, 0, 0, 0, 2, 2], STACK - 8);
    this.bus.ports.write(BIOS_PORT + BIOS_PORTS.SERVICE, 1, 0);
    return ram[STACK - 7]!;
  }

  /** Calls until the service is done; asynchronous drives get their turns. */
  async call(vector: number, values: Readonly<Record<string, number>> = {}): Promise<{ carry: boolean; zero: boolean }> {
    const { registers, ram } = this;
    for (const [name, value] of Object.entries(values)) {
      if (name === 'ds' || name === 'es') registers.setSegment(name, value);
      else (registers as unknown as Record<string, number>)[name] = value;
    }
    for (let n = 0; n < 1000; n++) {
      if (this.step(vector) === ANSWER.DONE) break;
      this.clock.timeNs += 1e6;
      await turn();
    }
    const flags = ram[STACK - 2]!;
    return { carry: (flags & 1) !== 0, zero: (flags & 0x40) !== 0 };
  }
}
