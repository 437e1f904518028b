// The built-in BIOS: a device on three ports that the stubs of the ROM (rom.ts) write to. Each write is a request of real-mode code:
// an interrupt service, a step of starting up, a PCI service in 32-bit code. The services (INT 10h to 1Ah) are functions over the
// processor's registers and guest memory; here they meet. It boots from the board's drives, whatever their controllers.
// QUIRK: no APM, no PnP, no PS/2 mouse interface (INT 15h C2h), no event wait (INT 15h 83h) in the built-in BIOS.
import type { SystemBus } from '../../bus/address-space.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import type { BootDrive } from '../../ports/boot-drive.ts';
import type { Clock } from '../../ports/clock.ts';
import type { DmaMemory } from '../../ports/dma.ts';
import { bytes, fifo, nanoseconds, u16, u32, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { defineEvents } from '../../trace/event.ts';
import { EBDA_ADDRESS, type MemoryMap } from '../e820.ts';
import type { BootOptions } from './boot-order.ts';
import { bootstrap, numberDrives, type BootstrapParts, type Entry } from './bootstrap.ts';
import { clockInterrupt, CMOS, readCmos, startTicks, tick, timeService, writeCmos } from './clock-services.ts';
import { BDA, EQUIPMENT } from './data-area.ts';
import { DiskServices } from './disk-services.ts';
import { cdEmulationField, DiskUnits } from './disk-units.ts';
import { GuestMemory } from './guest-memory.ts';
import { Keyboard, keyboardService, SEQUENCE_BYTES } from './keyboard.ts';
import { pciService } from './pci-services.ts';
import { RealModeRegisters } from './registers.ts';
import { ANSWER, BIOS_PORT, BIOS_PORTS, BIOS_SEGMENT, buildBiosRom, START, type BiosRom } from './rom.ts';
import { CELLS_BYTES, Screen } from './screen.ts';
import { NORMAL, OUTPUT_BYTES, SerialConsole, UNKNOWN } from './serial-console.ts';
import { type Answer, ServiceCall } from './service.ts';
import { equipmentService, memorySizeService, printerService, SerialServices, SystemServices } from './system-services.ts';
import { videoService } from './video.ts';

export const trace = defineEvents('bios', {
  service: 'int {vector:hex} ax {ax:hex} bx {bx:hex} cx {cx:hex} dx {dx:hex}',
  enter: '{segment:hex}:{offset:hex} drive {drive:hex}',
});

const NO_DISK = 0xff;

export const biosState = defineState({
  kind: 'bios',
  version: 1,
  fields: {
    cells: bytes(CELLS_BYTES), // of the text screen
    output: fifo(OUTPUT_BYTES), // for the serial console
    row: u8(UNKNOWN), // the serial console's cursor
    column: u8(),
    attribute: u8(NORMAL),
    sequence: fifo(SEQUENCE_BYTES), // typed there after an ESC
    sequenceNs: nanoseconds(),
    emulation: cdEmulationField,
    next: u16(), // which boot candidate INT 18h tries
    firstDisk: u8(NO_DISK), // the one that was made drive 80h, in the usual order
    tableBytes: u32(0, 512 * 1024), // of RAM that the tables took; 0 before start-up
  },
});
export type BiosState = ReturnType<typeof biosState.initial>;

export interface BiosWires {
  readonly bus: SystemBus;
  readonly memory: DmaMemory;
  /** With the tables taking this much at the end of RAM. */
  readonly memoryMap: (tableBytes: number) => MemoryMap;
  readonly clock: Clock;
  /** The vCPU's area. */
  readonly processor: DataView;
  /** To be called after segments were changed. */
  readonly segmentsChanged: () => void;
  /** Sets the chipset up and writes the tables; afterwards the area below 1 MiB is RAM. */
  readonly powerOn: () => { readonly memory: MemoryMap };
  readonly writeRam: (physical: number, bytes: Uint8Array) => void;
  /** Ends the processor's slice, so that the host has a turn. */
  readonly yield: () => void;
  readonly reset: () => void;
  /** The machine has not been reset since it was switched on. */
  readonly isFirstStart: () => boolean;
  readonly drives: () => readonly BootDrive[];
  readonly boot: BootOptions;
  /** Base of the serial port that is the console. */
  readonly serialConsole?: number | undefined;
}

/** Starting up while it goes on: the asynchronous function's side, and what it waits for. */
interface StartUp {
  condition: (() => boolean) | undefined;
  resume: (() => void) | undefined;
  entry: Entry | undefined;
  /** A bug, which is thrown where the processor next asks. */
  error: unknown;
}

const STACK_TOP = 0x7000;
const FRAME_BYTES = 6;
const FLAGS_AT_ENTRY = 0x0202;
const INTERRUPT_MASK = 0x21;
const IRQ_1 = 2;
const SHUTDOWN = { RESUME_WITH_EOI: 5, RESUME: 10 } as const;
const FLOPPY_TABLE_VECTOR = 0x1e;
const LOW_ROM = BIOS_SEGMENT * 16;
const ANSWER_OF = { done: ANSWER.DONE, again: ANSWER.AGAIN, halt: ANSWER.HALT } as const;
const BANNER = 'nandu BIOS\n\n';

export class Bios implements Device<BiosState> {
  readonly schema = biosState;
  readonly rom: BiosRom = buildBiosRom();
  readonly registers: RealModeRegisters;
  readonly memory: GuestMemory;
  readonly units = new DiskUnits();
  readonly #wires: BiosWires;
  readonly #call: ServiceCall;
  readonly #screen: Screen;
  readonly #keyboard: Keyboard;
  readonly #disks: DiskServices;
  readonly #system = new SystemServices();
  readonly #serialPorts = new SerialServices();
  #state = biosState.initial();
  #startUp: StartUp | undefined;

  constructor(wires: BiosWires) {
    this.#wires = wires;
    const { bus, clock, serialConsole } = wires;
    this.registers = new RealModeRegisters(wires.processor);
    this.memory = new GuestMemory(wires.memory, bus.mmio);
    this.#call = new ServiceCall(this.registers, this.memory, bus.ports, clock);
    const serial = serialConsole === undefined ? undefined : new SerialConsole(bus.ports, serialConsole, this.#state);
    this.#screen = new Screen(this.memory, serial, this.#state);
    this.#keyboard = new Keyboard(this.memory, serial, () => clock.now(), this.#state);
    this.#disks = new DiskServices(this.units, this.rom.tables.floppyParameters);
    this.units.emulation = this.#state.emulation;
    bus.claimPorts({
      base: BIOS_PORT, size: BIOS_PORTS.COUNT, name: 'bios', read: () => 0xff, write: (at) => this.#request(at),
    });
  }

  get state(): BiosState {
    return this.#state;
  }
  set state(state: BiosState) {
    this.#state = state;
    this.#screen.state = state;
    this.#keyboard.state = state;
    if (this.#screen.serial !== undefined) this.#screen.serial.state = state;
    this.units.emulation = state.emulation;
  }

  reset(phase: ResetPhase): void {
    if (phase !== 'enter') return;
    this.state = biosState.initial();
    this.#startUp = undefined;
    this.#disks.reset();
  }

  settle(): void {
    // It has no outputs; what was being waited for is asked for again by the stub's loop.
    this.#startUp = undefined;
    this.#disks.reset();
    this.#numberAgain();
  }

  /** After a restore: the drives' numbers as they were. */
  #numberAgain(): void {
    void numberDrives(this.#bootstrapParts({ condition: undefined, resume: undefined, entry: undefined, error: undefined }));
    const first = this.units.disks[this.#state.firstDisk];
    if (first !== undefined) this.units.putFirst(first);
  }

  #request(at: number): void {
    if (at === BIOS_PORTS.PCI32) pciService(this.registers, this.#wires.bus.ports);
    else if (!this.registers.runs16BitCodeOf(BIOS_SEGMENT)) return; // somebody else's write
    else if (at === BIOS_PORTS.SERVICE) this.#service();
    else this.#start();
  }

  #service(): void {
    const { registers: r, memory } = this;
    const at = r.stack;
    const vector = memory.read8(at);
    trace.service?.({ vector, ax: r.ax, bx: r.bx, cx: r.cx, dx: r.dx });
    const answer = this.#dispatch(vector);
    memory.write8(at + 1, ANSWER_OF[answer]);
    if (answer === 'again') this.#wires.yield();
  }

  #dispatch(vector: number): Answer {
    const call = this.#call;
    switch (vector) {
      case 0x08:
        tick(this.memory);
        this.#keyboard.poll();
        this.#screen.serial?.drain();
        return 'done';
      case 0x09:
        return this.#key();
      case 0x10:
        return videoService(call, this.#screen);
      case 0x11:
        return equipmentService(call);
      case 0x12:
        return memorySizeService(call);
      case 0x13:
      case 0x40:
        return this.#disks.service(call);
      case 0x14:
        return this.#serialPorts.service(call);
      case 0x15:
        return this.#systemService();
      case 0x16:
        return keyboardService(call, this.#keyboard);
      case 0x17:
        return printerService(call);
      case 0x1a:
        return this.#timeService();
      case 0x70:
        this.registers.al = clockInterrupt(this.#wires.bus.ports) ? 1 : 0;
        return 'done';
      default:
        return 'done';
    }
  }

  #key(): Answer {
    const effect = this.#keyboard.scanCode(this.registers.al);
    if (effect === 'reset') this.#wires.reset();
    this.registers.ah = effect === 'break' ? 1 : 0;
    return 'done';
  }

  #systemService(): Answer {
    const map = this.#wires.memoryMap(this.#state.tableBytes);
    const answer = this.#system.service(this.#call, { map, configuration: this.rom.tables.configuration });
    this.#wires.segmentsChanged();
    return answer;
  }

  #timeService(): Answer {
    if (this.registers.ah !== 0xb1) return timeService(this.#call);
    this.#call.setCarry(!pciService(this.registers, this.#wires.bus.ports));
    return 'done';
  }

  // --- starting up

  /** A step: AL says whether to ask again, or that the stack holds where to go. */
  #start(): void {
    const { registers: r } = this;
    const kind = r.ah;
    if (this.#startUp === undefined) {
      if (kind === START.RESET && this.#resumes()) {
        r.al = ANSWER.RESUME;
        return;
      }
      this.#begin(kind);
    }
    const startUp = this.#startUp!;
    if (startUp.error !== undefined) throw startUp.error;
    if (startUp.condition?.() === true) {
      startUp.condition = undefined;
      startUp.resume?.();
    }
    this.#screen.serial?.drain();
    if (startUp.entry !== undefined) {
      this.#startUp = undefined;
      this.#enter(startUp.entry);
      r.al = ANSWER.DONE;
    } else {
      r.al = startUp.condition === undefined ? ANSWER.AGAIN : ANSWER.HALT;
      if (startUp.condition === undefined) this.#wires.yield();
    }
  }

  /** A program has reset the processor to come back out of protected mode: CMOS byte 0Fh says so. */
  #resumes(): boolean {
    const { ports } = this.#wires.bus;
    const code = readCmos(ports, CMOS.SHUTDOWN);
    writeCmos(ports, CMOS.SHUTDOWN, 0);
    if (code === SHUTDOWN.RESUME_WITH_EOI) for (const port of [0xa0, 0x20]) ports.write(port, 1, 0x20);
    return code === SHUTDOWN.RESUME || code === SHUTDOWN.RESUME_WITH_EOI;
  }

  #begin(kind: number): void {
    const startUp: StartUp = { condition: undefined, resume: undefined, entry: undefined, error: undefined };
    this.#startUp = startUp;
    if (kind === START.RESET || this.#state.tableBytes === 0) this.#powerOn();
    this.registers.setStack(0, STACK_TOP);
    this.#wires.segmentsChanged();
    const parts = this.#bootstrapParts(startUp);
    const run = async (): Promise<void> => {
      if (kind === START.RESET) await numberDrives(parts);
      startUp.entry = await bootstrap({ ...parts, first: kind === START.NEXT_DEVICE ? this.#state.next : 0 }, kind === START.RESET);
    };
    run().catch((error: unknown) => { startUp.error = error; });
  }

  #bootstrapParts(startUp: StartUp): BootstrapParts {
    const { boot, clock, drives, isFirstStart, reset } = this.#wires;
    const never = new Promise<never>(() => {});
    return {
      units: this.units, screen: this.#screen, keyboard: this.#keyboard, memory: this.memory, drives: drives(), options: boot,
      order: (isFirstStart() ? boot.once : undefined) ?? boot.order, first: 0, nowNs: () => clock.now(), reset,
      until: (condition) => new Promise((resolve) => {
        startUp.condition = condition;
        startUp.resume = resolve;
      }),
      still: async (result) => {
        const value = await result;
        return this.#startUp === startUp ? value : never;
      },
      trying: (index) => { this.#state.next = index; },
      putFirst: (drive) => {
        if (drive.medium !== 'disk') return;
        this.#state.firstDisk = this.units.disks.indexOf(drive);
        this.units.putFirst(drive);
      },
    };
  }

  #powerOn(): void {
    const { bus, writeRam } = this.#wires;
    this.#state.tableBytes = this.#wires.powerOn().memory.tableBytes;
    const { memory, rom } = this;
    // The tables lie in the same segment, before the code.
    const codeStart = rom.bytes.findIndex((byte) => byte !== 0);
    writeRam(LOW_ROM + codeStart, rom.bytes.subarray(codeStart));
    for (const [vector, offset] of rom.vectors) {
      memory.write16(4 * vector, offset);
      memory.write16(4 * vector + 2, BIOS_SEGMENT);
    }
    memory.write16(4 * FLOPPY_TABLE_VECTOR, rom.tables.floppyParameters);
    memory.write16(4 * FLOPPY_TABLE_VECTOR + 2, BIOS_SEGMENT);
    this.#describe();
    startTicks(memory, bus.ports);
    bus.ports.write(INTERRUPT_MASK, 1, bus.ports.read(INTERRUPT_MASK, 1) & ~IRQ_1);
    this.#keyboard.start();
    this.#screen.serial?.start();
    this.#screen.setMode(3, true);
    this.#screen.write(BANNER);
  }

  /** The BIOS data area beyond what firmware-tables.ts writes. */
  #describe(): void {
    const { memory } = this;
    const drives = this.#wires.drives();
    const floppies = Math.min(2, drives.filter(({ medium }) => medium === 'floppy').length);
    const serials = [0, 2].filter((at) => memory.read16(BDA.COM_PORTS + at) !== 0).length;
    const floppyBits = floppies === 0 ? 0 : EQUIPMENT.FLOPPY | ((floppies - 1) << EQUIPMENT.FLOPPY_COUNT_SHIFT);
    memory.write16(BDA.EQUIPMENT, floppyBits | EQUIPMENT.COPROCESSOR | EQUIPMENT.COLOUR_80 | (serials << EQUIPMENT.SERIAL_SHIFT));
    memory.write8(BDA.DISK_COUNT, drives.filter(({ medium }) => medium === 'disk').length);
    memory.write16(BDA.EBDA_SEGMENT, EBDA_ADDRESS / 16);
  }

  #enter(entry: Entry): void {
    const { registers: r, memory } = this;
    trace.enter?.({ ...entry });
    r.clear();
    r.dl = entry.drive;
    for (const segment of ['ds', 'es'] as const) r.setSegment(segment, 0);
    r.setStack(0, STACK_TOP - FRAME_BYTES);
    memory.write16(STACK_TOP - 6, entry.offset);
    memory.write16(STACK_TOP - 4, entry.segment);
    memory.write16(STACK_TOP - 2, FLAGS_AT_ENTRY);
    this.#wires.segmentsChanged();
  }
}
