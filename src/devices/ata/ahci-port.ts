// A port of an AHCI controller with its device (AHCI 1.3.1 chapters 3.3 and 5): takes commands from the list in guest memory, moves
// their data by the region table, and answers with received frames. Headers and tables are copied before they are looked at.
// No port multiplier, no partial or slumber states.
import { assert } from '../../base/assert.ts';
import type { Failure } from '../../base/failure.ts';
import { copyRam } from '../../bus/dma-access.ts';
import { ScatterList } from '../../bus/scatter-list.ts';
import type { DmaMemory } from '../../ports/dma.ts';
import { bool, u32, u8, type StateOf } from '../../state/fields.ts';
import { attemptRequest } from '../../trace/device-request.ts';
import { nextRequest } from '../../trace/request.ts';
import type { AtaBus } from './ata-bus.ts';
import { QUEUED } from './ata-commands.ts';
import { AtaDisk, type QueuedCommand } from './ata-disk.ts';
import { ERROR, SECTOR_BYTES, STATUS, type AtaPlan, type AtaUnit } from './ata-unit.ts';
import {
  CONTROL_RESET, FIS, IS_COMMAND, putDeviceToHost, putPioSetup, putSetBits, queuedCommand, queuedTag, RECEIVED, takeRegisters,
} from './ahci-fis.ts';
import { trace } from './trace.ts';

const SLOTS = 32;
const HEADER_BYTES = 32;
/** What is looked at of a header. */
const HEADER_BYTES_USED = 16;
/** A register frame from the host. */
const FRAME_BYTES = 20;
const REGIONS_OFFSET = 0x80;
const REGION_BYTES = 16;
const PACKET_OFFSET = 0x40;
const PACKET_BYTES = 16;
const WORD = 2 ** 32;
/** What one batch of commands moves at once before the guest has a turn. */
const BATCH_BYTES_MAX = 8 << 20;

export const PORT_COMMAND = {
  START: 1, SPIN_UP: 2, POWER: 4, OVERRIDE: 8, RECEIVE: 0x10, RECEIVING: 0x4000, RUNNING: 0x8000, PACKET: 0x0100_0000,
  WRITABLE: 0x0300_0011,
} as const;
/** Interrupt status of a port. */
const IS = {
  DEVICE_TO_HOST: 1, PIO_SETUP: 2, SET_BITS: 8, CONNECT: 0x40, PHY_READY: 0x40_0000, OVERFLOW: 0x0100_0000, INTERFACE: 0x0800_0000,
  HOST_BUS: 0x2000_0000, TASK_FILE: 0x4000_0000, WRITABLE: 0xfd80_00af, ENABLE: 0xfdc0_00ff,
} as const;
const SERIAL_ERROR = { EXCHANGED: 0x0400_0000, PHY_READY: 0x0001_0000 } as const;
const SIGNATURE = { DISK: 0x0000_0101, PACKET: 0xeb14_0101, NONE: 0xffff_ffff } as const;
/** Device present, first generation, active. */
const LINK_UP = 0x113;
const NO_DEVICE_STATUS = 0x7f;

export const ahciPortFields = {
  listLow: u32(), listHigh: u32(), receivedLow: u32(), receivedHigh: u32(),
  interruptStatus: u32(), interruptEnable: u32(), command: u32(), taskFile: u32(NO_DEVICE_STATUS), signature: u32(SIGNATURE.NONE),
  control: u32(), serialError: u32(), active: u32(), issued: u32(),
  /** The slot looked at last: the next search begins behind it. */
  slot: u8(0, SLOTS - 1),
  /** A failed command: nothing more is taken until the host stops and starts the port. */
  halted: bool(),
  /** Between the two frames of a software reset. */
  resetting: bool(),
  /** The rest of a batch waits for its turn. */
  deferred: bool(),
} as const;
export type AhciPortState = StateOf<typeof ahciPortFields>;

export interface AhciPortWires {
  readonly number: number;
  readonly memory: DmaMemory;
  /** The state, which a restore replaces. */
  readonly state: () => AhciPortState;
  /** The interrupt status or enable register changed. */
  readonly interruptChanged: () => void;
  /** Calls `work` when the guest has had a turn. */
  readonly later: () => void;
  /** Nothing is in the drive any more. */
  readonly becameIdle: () => void;
}

type TransferPlan = Exclude<AtaPlan, { kind: 'done' | 'packet' }>;

/** A command that has been taken from the list. */
interface Command {
  /** Its number in traces. */
  readonly request: number;
  readonly slot: number;
  readonly header: number;
  readonly table: number;
  readonly regions: number;
  /** The frame from the host: valid until the next command is taken. */
  readonly fis: Uint8Array;
}

export class AhciPort implements AtaBus {
  readonly serialAta = true;
  readonly label: string;
  readonly units: (AtaUnit | undefined)[] = [undefined];
  readonly #wires: AhciPortWires;
  /** Slots whose commands are in the drive. */
  #inFlight = 0;
  /** One that is not queued is: it has the device for itself. */
  #exclusive = false;
  #processing = false;
  #batchBytes = 0;
  /** Queued commands that ended since the last frame about them. */
  #ended = 0;
  /** Increased when the port stops: what ends later is of no interest any more. */
  #run = 0;
  /** Increased when everything is forgotten. */
  #epoch = 0;
  #whenIdle: (() => void) | undefined;
  /** Copies of a command's frame, and of a header or an entry of a region table. */
  readonly #frame = new Uint8Array(FRAME_BYTES);
  readonly #bytes = new Uint8Array(HEADER_BYTES_USED);
  readonly #words = new DataView(this.#bytes.buffer);

  constructor(wires: AhciPortWires) {
    this.#wires = wires;
    this.label = `AHCI/${wires.number}`;
  }

  attach(place: number, unit: AtaUnit): void {
    assert(place === 0 && this.unit === undefined, 'a port has one device');
    this.units[0] = unit;
    this.connect();
  }

  get state(): AhciPortState {
    return this.#wires.state();
  }

  get unit(): AtaUnit | undefined {
    return this.units[0];
  }

  get idle(): boolean {
    return this.#inFlight === 0;
  }

  /** Forgets what is under way, as after power-on. */
  forget(): void {
    this.#run++;
    this.#epoch++;
    this.#inFlight = 0;
    this.#exclusive = false;
    this.#ended = 0;
    this.#whenIdle = undefined;
  }

  /** The link comes up (again): a device shows its signature. */
  connect(): void {
    const { state, unit } = this;
    state.halted = state.resetting = state.deferred = false;
    state.active = state.issued = 0;
    this.#exclusive = false;
    if (unit === undefined) return;
    unit.softReset();
    state.serialError = (state.serialError | SERIAL_ERROR.EXCHANGED | SERIAL_ERROR.PHY_READY) >>> 0;
    this.#showSignature(false);
  }

  #showSignature(resetByHost: boolean): void {
    const { state, unit } = this;
    if (unit === undefined) return;
    const { taskFile } = unit;
    state.signature = unit.isPacketDevice ? SIGNATURE.PACKET : SIGNATURE.DISK;
    if (resetByHost) this.#receive((area) => putDeviceToHost(area, taskFile, false));
    this.#copyTaskFile();
  }

  #copyTaskFile(): void {
    const { unit, state } = this;
    if (unit !== undefined) state.taskFile = unit.taskFile.status | (unit.taskFile.error << 8);
  }

  /** Calls `action` when nothing is in the drive. */
  #quiesce(action: () => void): void {
    if (this.idle) return action();
    this.#whenIdle = action;
  }

  // --- registers

  readCommand(): number {
    const { state } = this;
    const receiving = (state.command & PORT_COMMAND.RECEIVE) !== 0 ? PORT_COMMAND.RECEIVING : 0;
    const running = (state.command & PORT_COMMAND.START) !== 0 || !this.idle ? PORT_COMMAND.RUNNING : 0;
    return (state.command | receiving | running | PORT_COMMAND.SPIN_UP | PORT_COMMAND.POWER | (state.slot << 8)) >>> 0;
  }

  writeCommand(value: number): void {
    const { state } = this;
    const was = state.command;
    state.command = value & PORT_COMMAND.WRITABLE;
    if ((value & PORT_COMMAND.OVERRIDE) !== 0) state.taskFile &= ~(STATUS.BUSY | STATUS.DATA_REQUEST);
    if ((was & ~value & PORT_COMMAND.START) !== 0) this.#stop();
    else if ((value & ~was & PORT_COMMAND.START) !== 0) this.process();
  }

  #stop(): void {
    const { state } = this;
    this.#run++;
    state.active = state.issued = 0;
    state.halted = state.deferred = false;
    this.#ended = 0;
  }

  readSerialStatus(): number {
    return this.unit === undefined || (this.state.control & 15) === 1 || (this.state.control & 15) === 4 ? 0 : LINK_UP;
  }

  /** DET 1 holds the link in reset; 0 after it lets the device come. */
  writeSerialControl(value: number): void {
    const { state } = this;
    const was = state.control & 15;
    state.control = value & 0xfff;
    if ((value & 15) === 1) {
      this.#run++;
      state.taskFile = NO_DEVICE_STATUS;
      state.signature = SIGNATURE.NONE;
    } else if (was === 1) this.#quiesce(() => this.connect());
  }

  /** Status bits that stand for bits of the serial error register. */
  get interruptStatus(): number {
    const { interruptStatus, serialError } = this.state;
    const connect = (serialError & SERIAL_ERROR.EXCHANGED) !== 0 ? IS.CONNECT : 0;
    const ready = (serialError & SERIAL_ERROR.PHY_READY) !== 0 ? IS.PHY_READY : 0;
    return (interruptStatus | connect | ready) >>> 0;
  }

  get interrupting(): boolean {
    return (this.interruptStatus & this.state.interruptEnable) !== 0;
  }

  clearInterrupts(ones: number): void {
    this.state.interruptStatus = (this.state.interruptStatus & ~(ones & IS.WRITABLE)) >>> 0;
    this.#wires.interruptChanged();
  }

  enableInterrupts(value: number): void {
    this.state.interruptEnable = (value & IS.ENABLE) >>> 0;
    this.#wires.interruptChanged();
  }

  clearSerialErrors(ones: number): void {
    this.state.serialError = (this.state.serialError & ~ones) >>> 0;
    this.#wires.interruptChanged();
  }

  /** SACT: bits are only set, and only while the port runs. */
  activate(tags: number): void {
    if ((this.state.command & PORT_COMMAND.START) !== 0) this.state.active = (this.state.active | tags) >>> 0;
  }

  issue(slots: number): void {
    if ((this.state.command & PORT_COMMAND.START) === 0) return;
    trace.ahciIssue?.({ port: this.#wires.number, slots });
    this.state.issued = (this.state.issued | slots) >>> 0;
    this.process();
  }

  #raise(bits: number): void {
    const { state } = this;
    trace.ahciInterrupt?.({ port: this.#wires.number, status: bits, enable: state.interruptEnable });
    state.interruptStatus = (state.interruptStatus | bits) >>> 0;
    this.#wires.interruptChanged();
  }

  // --- commands

  /** Takes commands until there is none, the device is busy, or the batch is long enough. */
  process(): void {
    const { state } = this;
    if (this.#processing) return;
    this.#processing = true;
    this.#batchBytes = 0;
    state.deferred = false;
    for (let slot = this.#nextSlot(); slot >= 0; slot = this.#nextSlot()) {
      if (this.#batchBytes >= BATCH_BYTES_MAX) {
        state.deferred = true;
        this.#wires.later();
        break;
      }
      state.slot = slot;
      this.#take(slot);
    }
    this.#processing = false;
    this.#tellEnded();
  }

  #nextSlot(): number {
    const { state } = this;
    if ((state.command & PORT_COMMAND.START) === 0 || state.halted || this.#exclusive || this.unit === undefined) return -1;
    const waiting = state.issued & ~this.#inFlight;
    if (waiting === 0) return -1;
    for (let step = 1; step <= SLOTS; step++) {
      const slot = (state.slot + step) % SLOTS;
      if ((waiting & (1 << slot)) !== 0) return slot;
    }
    return -1;
  }

  #take(slot: number): void {
    const { state } = this;
    const { memory } = this.#wires;
    const header = state.listHigh * WORD + state.listLow + slot * HEADER_BYTES;
    if (!copyRam(memory, header, HEADER_BYTES_USED, this.#bytes)) return this.#hostBusError();
    const words = this.#words;
    const table = words.getUint32(12, true) * WORD + ((words.getUint32(8, true) & ~0x7f) >>> 0);
    const fis = this.#frame;
    if (!copyRam(memory, table, FRAME_BYTES, fis)) return this.#hostBusError();
    const request = nextRequest();
    const command = { request, slot, header, table, regions: words.getUint16(2, true), fis };
    if (fis[0] !== FIS.HOST_TO_DEVICE) return this.#forgetCommand(slot);
    trace.ahciCommand?.({ request, port: this.#wires.number, slot, command: fis[2]!, bytes: command.regions });
    if ((fis[1]! & IS_COMMAND) === 0) this.#control(command);
    else if (this.unit instanceof AtaDisk && (fis[2] === QUEUED.READ || fis[2] === QUEUED.WRITE)) this.#queue(this.unit, command);
    else this.#execute(command);
  }

  #forgetCommand(slot: number): void {
    this.state.issued = (this.state.issued & ~(1 << slot)) >>> 0;
  }

  #hostBusError(): void {
    this.#exclusive = false;
    this.state.halted = true;
    this.#raise(IS.HOST_BUS);
  }

  /** A frame that writes the control register: software reset is set, then cleared. */
  #control({ slot, fis }: Command): void {
    const { state, unit } = this;
    this.#forgetCommand(slot);
    if ((fis[15]! & CONTROL_RESET) !== 0) state.resetting = true;
    else if (state.resetting) {
      state.resetting = false;
      unit?.softReset();
      this.#showSignature(true);
    }
  }

  /** The memory of a command: as many regions as hold `bytes`. Undefined when the table is no RAM. */
  #regionsOf({ table, regions }: Command, bytes: number): ScatterList | undefined {
    const { memory } = this.#wires;
    const list = new ScatterList(memory);
    for (let index = 0; index < regions && list.bytes < bytes; index++) {
      if (!copyRam(memory, table + REGIONS_OFFSET + index * REGION_BYTES, REGION_BYTES, this.#bytes)) return undefined;
      const words = this.#words;
      const address = words.getUint32(4, true) * WORD + ((words.getUint32(0, true) & ~1) >>> 0);
      list.add(address, ((words.getUint32(12, true) & 0x3f_ffff) | 1) + 1);
    }
    return list;
  }

  /** Begins something in the drive for a command; what ends after the port was stopped changes nothing. */
  #start<T>({ slot, request }: Command, work: () => T | Promise<T>, done: (value: T) => void, failed: (failure: Failure) => void): void {
    const run = this.#run;
    const epoch = this.#epoch;
    this.#inFlight |= 1 << slot;
    const ended = (): boolean => {
      if (epoch !== this.#epoch) return false;
      this.#inFlight &= ~(1 << slot);
      if (run === this.#run) {
        if (this.idle) this.#becameIdle();
        return run === this.#run;
      }
      if (this.idle) {
        this.#exclusive = false;
        this.#becameIdle();
      }
      if (!this.#processing) this.process(); // the host may have started the port again
      return false;
    };
    const name = this.label;
    attemptRequest({ request, name }, work, (value) => { if (ended()) done(value); }, (failure) => { if (ended()) failed(failure); });
  }

  #becameIdle(): void {
    const action = this.#whenIdle;
    this.#whenIdle = undefined;
    action?.();
    this.#wires.becameIdle();
  }

  // --- queued commands

  #queue(disk: AtaDisk, command: Command): void {
    const { state } = this;
    const { slot, fis } = command;
    const request = queuedCommand(fis, fis[2] === QUEUED.WRITE);
    this.#forgetCommand(slot);
    if (queuedTag(fis) !== slot || (state.active & (1 << slot)) === 0 || !disk.mayQueue(request)) {
      return this.#queuedFailed(disk, command, request, ERROR.ABORT);
    }
    const bytes = request.sectors * SECTOR_BYTES;
    const list = this.#regionsOf(command, bytes);
    const views = list?.views(0, Math.min(bytes, list.bytes));
    if (list === undefined || views === undefined) return this.#hostBusError();
    if (list.bytes < bytes) {
      this.#raise(IS.OVERFLOW);
      return this.#queuedFailed(disk, command, request, ERROR.ABORT);
    }
    const { drive } = disk;
    const offset = request.lba * SECTOR_BYTES;
    const fua = request.fua || !disk.state.writeCache;
    this.#batchBytes += bytes;
    this.#start(command, () => (request.write ? drive.writev(offset, views, { fua }) : drive.readv(offset, views)), () => {
      if (!request.write) list.written(bytes);
      trace.ahciComplete?.({ request: command.request, port: this.#wires.number, slot, failed: false });
      this.#ended |= 1 << slot;
      if (!this.#processing) this.process();
    }, () => this.#queuedFailed(disk, command, request, request.write ? ERROR.ABORT : ERROR.UNCORRECTABLE));
  }

  /** One frame for all queued commands that ended. */
  #tellEnded(): void {
    const { state } = this;
    const tags = this.#ended;
    if (tags === 0) return;
    this.#ended = 0;
    state.active = (state.active & ~tags) >>> 0;
    this.#receive((area) => putSetBits(area, STATUS.READY | STATUS.SEEK, 0, tags >>> 0));
    this.#raise(IS.SET_BITS);
  }

  #queuedFailed(disk: AtaDisk, { request: traced, slot }: Command, request: QueuedCommand, error: number): void {
    trace.ahciComplete?.({ request: traced, port: this.#wires.number, slot, failed: true });
    this.#tellEnded();
    disk.queuedFailed(slot, request, error);
    const { status } = disk.taskFile;
    this.#receive((area) => putSetBits(area, status, error, 0));
    this.#copyTaskFile();
    this.state.halted = true;
    this.#raise(IS.SET_BITS | IS.TASK_FILE);
  }

  // --- other commands

  #execute(command: Command): void {
    const { unit, state } = this;
    if (unit === undefined) return;
    if (this.#inFlight !== 0) {
      // A command that is not queued among queued ones is the host's mistake: it waits.
      this.#exclusive = true;
      this.#quiesce(() => { this.#exclusive = false; this.process(); });
      return;
    }
    takeRegisters(command.fis, unit.taskFile);
    this.#exclusive = true;
    state.taskFile |= STATUS.BUSY;
    this.#perform(command, unit, () => unit.begin());
  }

  #perform(command: Command, unit: AtaUnit, begin: () => AtaPlan | Promise<AtaPlan>): void {
    this.#start(command, begin, (plan) => this.#carryOut(command, unit, plan), (failure) => {
      unit.fail(failure, 0);
      this.#complete(command, unit, undefined, 0);
    });
  }

  #carryOut(command: Command, unit: AtaUnit, plan: AtaPlan): void {
    if (plan.kind === 'done') return this.#complete(command, unit, plan, 0);
    if (plan.kind === 'packet') {
      const packet = this.#wires.memory.view(command.table + PACKET_OFFSET, PACKET_BYTES)?.slice();
      if (packet === undefined) return this.#hostBusError();
      return this.#perform(command, unit, () => unit.packet(packet));
    }
    const list = this.#regionsOf(command, plan.bytes);
    const views = list?.views(0, Math.min(plan.bytes, list.bytes));
    if (list === undefined || views === undefined) {
      unit.abort();
      return this.#hostBusError();
    }
    if (list.bytes < plan.bytes) {
      unit.abort();
      this.#raise(IS.OVERFLOW);
      return this.#complete(command, unit, undefined, 0);
    }
    this.#batchBytes += plan.bytes;
    this.#move(command, unit, plan, list, views);
  }

  #move(command: Command, unit: AtaUnit, plan: TransferPlan, list: ScatterList, views: Uint8Array[]): void {
    const { drive } = unit;
    const { bytes } = plan;
    const done = (): void => {
      if (plan.kind === 'read') list.written(bytes);
      if (plan.kind !== 'out') unit.finish();
      this.#complete(command, unit, plan, bytes);
    };
    const failed = (failure: Failure): void => {
      unit.fail(failure, 0);
      this.#complete(command, unit, undefined, 0);
    };
    if (plan.kind === 'in') {
      list.fill(plan.data);
      done();
    } else if (plan.kind === 'out') this.#start(command, () => unit.accept(list.gather(bytes) ?? new Uint8Array(bytes)), done, failed);
    else if (drive === undefined || plan.offset + bytes > drive.size) {
      unit.abort();
      this.#complete(command, unit, undefined, 0);
    } else if (plan.kind === 'read') this.#start(command, () => drive.readv(plan.offset, views), done, failed);
    else this.#start(command, () => drive.writev(plan.offset, views, { fua: plan.fua }), done, failed);
  }

  /** The result is in the unit's task file: answers, and goes on with the next command. */
  #complete({ request, slot, header }: Command, unit: AtaUnit, plan: AtaPlan | undefined, bytes: number): void {
    const { state } = this;
    const { memory } = this.#wires;
    const { taskFile } = unit;
    const failed = (taskFile.status & STATUS.ERROR) !== 0;
    trace.ahciComplete?.({ request, port: this.#wires.number, slot, failed });
    this.#exclusive = false;
    const count = memory.view(header + 4, 4);
    if (count !== undefined) {
      new DataView(count.buffer, count.byteOffset, 4).setUint32(0, bytes, true);
      memory.written(header + 4, 4);
    }
    this.#copyTaskFile();
    const pio = plan !== undefined && (plan.kind === 'in' || plan.kind === 'read') && !plan.dma && !unit.isPacketDevice;
    if (!failed) this.#forgetCommand(slot);
    else state.halted = true;
    if (pio && !failed) {
      this.#receive((area) => putPioSetup(area, taskFile, true, Math.min(bytes, 8192)));
      this.#raise(IS.PIO_SETUP);
    } else {
      this.#receive((area) => putDeviceToHost(area, taskFile, true));
      this.#raise(IS.DEVICE_TO_HOST | (failed ? IS.TASK_FILE : 0));
    }
    if (!this.#processing) this.process();
  }

  /** Puts a frame into the port's area, while the host wants any. */
  #receive(put: (area: Uint8Array) => void): void {
    const { state } = this;
    if ((state.command & PORT_COMMAND.RECEIVE) === 0) return;
    const address = state.receivedHigh * WORD + state.receivedLow;
    const area = this.#wires.memory.view(address, RECEIVED.BYTES);
    if (area === undefined) return;
    put(area);
    this.#wires.memory.written(address, RECEIVED.BYTES);
  }
}
