// An IDE channel: the task file registers of up to two devices, PIO through the data port, and DMA by whoever masters the bus
// for it (bus-master-ide.ts). ATA8-APT. The registers belong to the devices; the channel has the transfer and the interrupt.
import { assert } from '../../base/assert.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import { RegisterFile } from '../../bus/register-file.ts';
import type { ScatterList } from '../../bus/scatter-list.ts';
import type { SystemBus } from '../../bus/address-space.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import { blob, bool, choice, count, u32, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { attemptRequest } from '../../trace/device-request.ts';
import { nextRequest } from '../../trace/request.ts';
import type { AtaBus } from './ata-bus.ts';
import { DEVICE, STATUS, type AtaPlan, type AtaUnit, type TaskFile } from './ata-unit.ts';
import { trace } from './trace.ts';

const CONTROL = { NO_INTERRUPT: 0x02, RESET: 0x04, HIGH_ORDER: 0x80 } as const;
const DEVICE_RESET = 0x08;
const DIAGNOSE = 0x90;
const PACKET_BYTES = 12;
/** Data that a PIO transfer holds at a time: a block of the medium, or all parameters of a command. */
const BUFFER_BYTES = 65536;
/** Parameters longer than this are moved by no command. */
const TRANSFER_BYTES_MAX = 65536 * 512;

export const ideChannelState = defineState({
  kind: 'ide-channel',
  version: 1,
  fields: {
    control: u8(),
    slave: bool(),
    interrupt: bool(),
    /** What is being moved, for the selected device. */
    kind: choice('none', 'in', 'out', 'read', 'write', 'packet'),
    dma: bool(),
    fua: bool(),
    block: u32(),
    /** On the medium, of the block in the buffer or of the DMA transfer. */
    offset: count(),
    /** Bytes still to be moved, those of the block in the buffer included. */
    left: count(),
    done: count(),
    buffer: blob(BUFFER_BYTES),
    /** In the buffer: the next byte, and the end of the block. */
    position: u32(0, BUFFER_BYTES),
    end: u32(0, BUFFER_BYTES),
  },
  check(state) {
    if (state.position > state.end || state.end > state.buffer.length) return 'a block beyond its buffer';
    if (state.offset > Number.MAX_SAFE_INTEGER / 2 || state.left > TRANSFER_BYTES_MAX) return 'a transfer out of bounds';
    return state.kind !== 'none' && state.block === 0 ? 'a transfer of empty blocks' : undefined;
  },
});
export type IdeChannelState = ReturnType<typeof ideChannelState.initial>;

const NOTHING = new Uint8Array(0);

export interface IdeChannelWires {
  readonly label: string;
  readonly irq: IrqLine;
}

/** What the channel needs of its bus master. */
export interface IdeBusMaster {
  /** The device has a DMA transfer to do; `moveDma` starts it. */
  requested(): void;
  /** The device raised its interrupt. */
  interrupted(): void;
}

export class IdeChannel implements AtaBus, Device<IdeChannelState> {
  readonly serialAta = false;
  readonly label: string;
  readonly schema = ideChannelState;
  state = ideChannelState.initial();
  readonly units: (AtaUnit | undefined)[] = [undefined, undefined];
  busMaster: IdeBusMaster | undefined;
  readonly #irq: IrqLine;
  readonly #pool = new Uint8Array(BUFFER_BYTES);
  /** A request is under way in the drive: the guest's accesses change nothing until it ends. */
  #inFlight = false;
  /** The number of the command in traces. */
  #request = 0;
  /** What to do as soon as it has ended. */
  #postponed: (() => void) | undefined;

  constructor({ label, irq }: IdeChannelWires) {
    this.label = label;
    this.#irq = irq;
  }

  attach(place: number, unit: AtaUnit): void {
    assert(place < this.units.length && this.units[place] === undefined, 'the place on the channel is free');
    this.units[place] = unit;
  }

  reset(phase: ResetPhase): void {
    if (phase === 'settle') return this.settle();
    this.state = ideChannelState.initial();
    this.#postponed = undefined;
  }

  settle(): void {
    this.#drive();
  }

  #drive(): void {
    this.#irq.set(this.state.interrupt && (this.state.control & CONTROL.NO_INTERRUPT) === 0);
  }

  #interrupt(): void {
    trace.ideInterrupt?.({ request: this.#request, channel: this.label });
    this.state.interrupt = true;
    this.busMaster?.interrupted();
    this.#drive();
  }

  get #selected(): AtaUnit | undefined {
    return this.units[this.state.slave ? 1 : 0];
  }

  // --- registers

  /** A read of a device's register: of an absent device they are zero. */
  #show(read: (taskFile: TaskFile) => number): number {
    const unit = this.#selected;
    return unit === undefined ? 0 : read(unit.taskFile);
  }

  readRegister(name: ShownName): number {
    const highOrder = (this.state.control & CONTROL.HIGH_ORDER) !== 0;
    return this.#show((taskFile) => (highOrder && name !== 'error' ? taskFile[`${name}Hob`] : taskFile[name]));
  }

  readDevice(): number {
    return this.#show((taskFile) => (taskFile.device & ~DEVICE.SLAVE) | (this.state.slave ? DEVICE.SLAVE : 0) | DEVICE.FIXED);
  }

  readStatus(): number {
    if (this.state.interrupt) {
      this.state.interrupt = false;
      this.#drive();
    }
    return this.readAlternateStatus();
  }

  readAlternateStatus(): number {
    return this.#show((taskFile) => taskFile.status);
  }

  /** Registers written go to both devices, as they share the cable. */
  writeRegister(name: WrittenName, value: number): void {
    if (this.#inFlight) return;
    this.state.control &= ~CONTROL.HIGH_ORDER;
    for (const unit of this.units) {
      if (unit === undefined) continue;
      unit.taskFile[`${name}Hob`] = unit.taskFile[name];
      unit.taskFile[name] = value;
    }
  }

  writeDevice(value: number): void {
    if (this.#inFlight) return;
    this.state.control &= ~CONTROL.HIGH_ORDER;
    this.state.slave = (value & DEVICE.SLAVE) !== 0;
    for (const unit of this.units) if (unit !== undefined) unit.taskFile.device = value;
  }

  writeControl(value: number): void {
    const was = this.state.control;
    this.state.control = value & (CONTROL.NO_INTERRUPT | CONTROL.RESET | CONTROL.HIGH_ORDER);
    if ((value & ~was & CONTROL.RESET) !== 0) this.#whenIdle(() => this.#beginReset());
    if ((was & ~value & CONTROL.RESET) !== 0) this.#whenIdle(() => this.#endReset());
    this.#drive();
  }

  #whenIdle(action: () => void): void {
    if (!this.#inFlight) return action();
    const earlier = this.#postponed;
    this.#postponed = () => {
      earlier?.();
      action();
    };
    if (earlier !== undefined) this.#postponed = () => this.#resetAll(); // many toggles come to one reset
  }

  #beginReset(): void {
    this.#endTransfer();
    for (const unit of this.units) if (unit !== undefined) unit.taskFile.status = STATUS.BUSY;
  }

  #endReset(): void {
    this.#endTransfer();
    this.state.slave = false;
    this.state.interrupt = false;
    for (const unit of this.units) unit?.softReset();
    this.#drive();
  }

  #resetAll(): void {
    this.#beginReset();
    if ((this.state.control & CONTROL.RESET) === 0) this.#endReset();
  }

  writeCommand(command: number): void {
    if ((this.state.control & CONTROL.RESET) !== 0) return;
    const unit = this.#selected;
    if (this.state.interrupt) {
      this.state.interrupt = false;
      this.#drive();
    }
    if (command === DEVICE_RESET && unit?.isPacketDevice === true) return this.#whenIdle(() => this.#deviceReset(unit));
    if (this.#inFlight) return;
    this.#request = nextRequest();
    trace.ideCommand?.({ request: this.#request, channel: this.label, command });
    this.#endTransfer();
    this.state.control &= ~CONTROL.HIGH_ORDER;
    for (const other of this.units) if (other !== undefined) other.taskFile.command = command;
    if (command === DIAGNOSE) return this.#diagnose();
    if (unit === undefined) return;
    this.#perform(unit, () => unit.begin());
  }

  #deviceReset(unit: AtaUnit): void {
    this.#endTransfer();
    unit.softReset();
  }

  /** EXECUTE DEVICE DIAGNOSTIC is for both devices. */
  #diagnose(): void {
    for (const unit of this.units) unit?.softReset();
    this.state.slave = false;
    if (this.units.some((unit) => unit !== undefined)) this.#interrupt();
  }

  // --- transfers

  /** Does something that may take a while; nothing else happens on the channel until `done` or `failed`. */
  #await<T>(work: () => T | Promise<T>, done: (value: T) => void, failed: (failure: Parameters<AtaUnit['fail']>[0]) => void): void {
    this.#inFlight = true;
    const ended = (): boolean => {
      this.#inFlight = false;
      const next = this.#postponed;
      this.#postponed = undefined;
      next?.();
      return next === undefined;
    };
    const own = { request: this.#request, name: this.label };
    attemptRequest(own, work, (value) => { if (ended()) done(value); }, (failure) => { if (ended()) failed(failure); });
  }

  #perform(unit: AtaUnit, begin: () => AtaPlan | Promise<AtaPlan>): void {
    this.#await(begin, (plan) => this.#start(unit, plan), (failure) => {
      unit.fail(failure, 0);
      this.#interrupt();
    });
  }

  #start(unit: AtaUnit, plan: AtaPlan): void {
    const { state } = this;
    this.#endTransfer();
    if (plan.kind === 'done') return this.#interrupt();
    if (plan.kind === 'packet') return this.#awaitPacket(unit);
    if (plan.bytes === 0) return this.#finish(unit);
    const { kind, dma, bytes, block } = plan;
    Object.assign(state, { kind, dma, block, left: bytes, done: 0, fua: kind === 'write' && plan.fua });
    state.offset = kind === 'read' || kind === 'write' ? plan.offset : 0;
    if (kind === 'in') state.buffer = plan.data;
    else if (kind === 'out') state.buffer = new Uint8Array(bytes);
    if (dma) {
      unit.taskFile.status = STATUS.READY | STATUS.SEEK | STATUS.DATA_REQUEST;
      this.busMaster?.requested();
    } else if (kind === 'in') this.#offer(unit, true);
    else if (kind === 'read') this.#load(unit);
    else this.#ask(unit, unit.isPacketDevice);
  }

  #awaitPacket(unit: AtaUnit): void {
    const { state } = this;
    state.buffer = new Uint8Array(PACKET_BYTES);
    Object.assign(state, { kind: 'packet', dma: false, block: PACKET_BYTES, left: PACKET_BYTES, position: 0, end: PACKET_BYTES });
    unit.taskFile.status = STATUS.READY | STATUS.SEEK | STATUS.DATA_REQUEST;
  }

  #endTransfer(): void {
    Object.assign(this.state, { kind: 'none', position: 0, end: 0, buffer: NOTHING, block: 0, left: 0, done: 0, offset: 0 });
    Object.assign(this.state, { dma: false, fua: false });
  }

  #finish(unit: AtaUnit): void {
    this.#endTransfer();
    unit.finish();
    this.#interrupt();
  }

  #failed(unit: AtaUnit, failure: Parameters<AtaUnit['fail']>[0]): void {
    const { done } = this.state;
    this.#endTransfer();
    unit.fail(failure, done);
    this.#interrupt();
  }

  // --- PIO

  /** Reads the next block of the medium into the buffer. */
  #load(unit: AtaUnit): void {
    const { state } = this;
    const bytes = Math.min(state.block, state.left, BUFFER_BYTES);
    state.buffer = this.#pool.subarray(0, bytes);
    state.position = state.end = 0;
    unit.taskFile.status = STATUS.BUSY;
    const { drive } = unit;
    if (drive === undefined || state.offset + bytes > drive.size) return this.#lost(unit);
    this.#await(() => drive.read(state.offset, state.buffer), () => {
      state.offset += bytes;
      this.#offer(unit, true);
    }, (failure) => this.#failed(unit, failure));
  }

  /** The medium is not what it was when the command began. */
  #lost(unit: AtaUnit): void {
    this.#endTransfer();
    unit.abort();
    this.#interrupt();
  }

  /** A block for the guest is in the buffer. */
  #offer(unit: AtaUnit, interrupt: boolean): void {
    const { state } = this;
    state.end = Math.min(state.position + state.block, state.buffer.length);
    unit.taskFile.status = STATUS.READY | STATUS.SEEK | STATUS.DATA_REQUEST;
    unit.blockReady(state.end - state.position, true);
    if (interrupt) this.#interrupt();
  }

  /** Waits for a block from the guest. */
  #ask(unit: AtaUnit, interrupt: boolean): void {
    const { state } = this;
    if (state.kind === 'write') {
      state.buffer = this.#pool.subarray(0, Math.min(state.block, state.left, BUFFER_BYTES));
      state.position = 0;
    }
    state.end = Math.min(state.position + state.block, state.buffer.length);
    unit.taskFile.status = STATUS.READY | STATUS.SEEK | STATUS.DATA_REQUEST;
    unit.blockReady(state.end - state.position, false);
    if (interrupt) this.#interrupt();
  }

  /** The data register; `size` is 1, 2 or 4. */
  readData(size: number): number {
    const { state } = this;
    if (this.#inFlight || state.dma || (state.kind !== 'in' && state.kind !== 'read')) return 0;
    let value = 0;
    for (let index = 0; index < size && state.position < state.end; index++) value |= state.buffer[state.position++]! << (8 * index);
    if (state.position === state.end) this.#blockRead();
    return value >>> 0;
  }

  /** Several elements at once: as many whole ones as are left in the block. Returns how many bytes were taken. */
  readDataRun(size: number, target: Uint8Array): number {
    const { state } = this;
    if (this.#inFlight || state.dma || (state.kind !== 'in' && state.kind !== 'read')) return 0;
    const bytes = Math.min(target.length, state.end - state.position) & -size;
    if (bytes <= 0) return 0;
    target.set(state.buffer.subarray(state.position, state.position + bytes));
    state.position += bytes;
    if (state.position === state.end) this.#blockRead();
    return bytes;
  }

  writeData(size: number, value: number): void {
    const { state } = this;
    if (this.#inFlight || state.dma || (state.kind !== 'out' && state.kind !== 'write' && state.kind !== 'packet')) return;
    for (let index = 0; index < size && state.position < state.end; index++) {
      state.buffer[state.position++] = (value >>> (8 * index)) & 0xff;
    }
    if (state.position === state.end) this.#blockWritten();
  }

  writeDataRun(size: number, source: Uint8Array): number {
    const { state } = this;
    if (this.#inFlight || state.dma || (state.kind !== 'out' && state.kind !== 'write' && state.kind !== 'packet')) return 0;
    const bytes = Math.min(source.length, state.end - state.position) & -size;
    if (bytes <= 0) return 0;
    state.buffer.set(source.subarray(0, bytes), state.position);
    state.position += bytes;
    if (state.position === state.end) this.#blockWritten();
    return bytes;
  }

  /** The guest has taken the whole block. */
  #blockRead(): void {
    const { state } = this;
    const unit = this.#selected;
    if (unit === undefined) return this.#endTransfer();
    const bytes = Math.min(state.kind === 'read' ? state.buffer.length : state.block, state.left);
    state.left -= bytes;
    state.done += bytes;
    if (state.left > 0 && bytes > 0) {
      if (state.kind === 'read') this.#load(unit);
      else this.#offer(unit, true);
      return;
    }
    this.#endTransfer();
    unit.finish();
    if (unit.isPacketDevice) this.#interrupt();
  }

  #blockWritten(): void {
    const { state } = this;
    const unit = this.#selected;
    if (unit === undefined) return this.#endTransfer();
    if (state.kind === 'packet') {
      const cdb = state.buffer.slice();
      unit.taskFile.status = STATUS.BUSY;
      this.#perform(unit, () => unit.packet(cdb));
    } else if (state.kind === 'write') this.#store(unit);
    else if (state.end < state.buffer.length) this.#ask(unit, true);
    else this.#accept(unit);
  }

  #store(unit: AtaUnit): void {
    const { state } = this;
    const bytes = state.buffer.length;
    const { drive } = unit;
    unit.taskFile.status = STATUS.BUSY;
    if (drive === undefined || drive.readOnly || state.offset + bytes > drive.size) return this.#lost(unit);
    this.#await(() => drive.write(state.offset, state.buffer, { fua: state.fua }), () => {
      state.offset += bytes;
      state.left -= bytes;
      state.done += bytes;
      if (state.left > 0) this.#ask(unit, true);
      else this.#finish(unit);
    }, (failure) => this.#failed(unit, failure));
  }

  #accept(unit: AtaUnit): void {
    const { buffer } = this.state;
    this.#endTransfer();
    unit.taskFile.status = STATUS.BUSY;
    this.#await(() => unit.accept(buffer), () => this.#interrupt(), (failure) => this.#failed(unit, failure));
  }

  // --- DMA

  /** Bytes that the device waits to move by DMA; 0 when it does not. */
  get dmaBytes(): number {
    return this.state.dma && !this.#inFlight && this.state.kind !== 'none' ? this.state.left : 0;
  }

  /** Moves the whole transfer; `ended` is told before the device raises its interrupt. */
  moveDma(list: ScatterList, ended: () => void): void {
    const { state } = this;
    const unit = this.#selected;
    const views = list.views(0, state.left);
    if (unit === undefined || views === undefined) return this.#dmaLost(unit, ended);
    const { kind, left: bytes, offset } = state;
    const { drive } = unit;
    trace.dma?.({ request: this.#request, kind, bytes, offset, pieces: views.length });
    if (kind === 'in') {
      list.fill(state.buffer.subarray(0, bytes));
      ended();
      return this.#finish(unit);
    }
    if (kind === 'out') {
      state.buffer.set(list.gather(bytes) ?? NOTHING);
      ended();
      return this.#accept(unit);
    }
    if (drive === undefined || offset + bytes > drive.size || (kind === 'write' && drive.readOnly)) return this.#dmaLost(unit, ended);
    unit.taskFile.status = STATUS.BUSY;
    const { fua } = state;
    this.#await(() => (kind === 'read' ? drive.readv(offset, views) : drive.writev(offset, views, { fua })), () => {
      if (kind === 'read') list.written(bytes);
      ended();
      this.#finish(unit);
    }, (failure) => {
      ended();
      this.#failed(unit, failure);
    });
  }

  #dmaLost(unit: AtaUnit | undefined, ended: () => void): void {
    ended();
    this.#endTransfer();
    unit?.abort();
    this.#interrupt();
  }

  /** Whether the guest's abort of the bus master's engine found a request under way. */
  get busy(): boolean {
    return this.#inFlight;
  }
}

type ShownName = 'error' | 'count' | 'lbaLow' | 'lbaMid' | 'lbaHigh';
type WrittenName = 'feature' | 'count' | 'lbaLow' | 'lbaMid' | 'lbaHigh';

// prettier-ignore
export const ideRegisters = new RegisterFile<IdeChannel>('ide', 1, [
  { at: 0, name: 'DATA', read: (ide) => ide.readData(1), write: (ide, value) => ide.writeData(1, value) },
  { at: 1, name: 'ERROR/FEATURE', read: (ide) => ide.readRegister('error'), write: (ide, value) => ide.writeRegister('feature', value) },
  { at: 2, name: 'COUNT', read: (ide) => ide.readRegister('count'), write: (ide, value) => ide.writeRegister('count', value) },
  { at: 3, name: 'LBA_LOW', read: (ide) => ide.readRegister('lbaLow'), write: (ide, value) => ide.writeRegister('lbaLow', value) },
  { at: 4, name: 'LBA_MID', read: (ide) => ide.readRegister('lbaMid'), write: (ide, value) => ide.writeRegister('lbaMid', value) },
  { at: 5, name: 'LBA_HIGH', read: (ide) => ide.readRegister('lbaHigh'), write: (ide, value) => ide.writeRegister('lbaHigh', value) },
  { at: 6, name: 'DEVICE', read: (ide) => ide.readDevice(), write: (ide, value) => ide.writeDevice(value) },
  { at: 7, name: 'STATUS/COMMAND', read: (ide) => ide.readStatus(), write: (ide, value) => ide.writeCommand(value) },
]);
// prettier-ignore
export const ideControlRegisters = new RegisterFile<IdeChannel>('ide-control', 1, [
  { at: 0, name: 'ALTERNATE_STATUS/CONTROL', read: (ide) => ide.readAlternateStatus(), write: (ide, value) => ide.writeControl(value) },
]);

export interface IdePorts {
  readonly command: number;
  readonly control: number;
}

/** Puts a channel at its ports. */
export function claimIdePorts(bus: SystemBus, channel: IdeChannel, { command, control }: IdePorts): void {
  const bytesOf = (at: number, size: number): number => {
    let value = 0;
    for (let index = 0; index < size; index++) value |= ideRegisters.read(channel, at + index, 1) << (8 * index);
    return value >>> 0;
  };
  bus.claimPorts({
    base: command, size: 8, name: 'ide', widthMax: 4, registers: ideRegisters,
    read: (at, size) => (at === 0 ? channel.readData(size) : bytesOf(at, size)),
    write: (at, size, value) => {
      if (at === 0) return channel.writeData(size, value);
      for (let index = 0; index < size; index++) ideRegisters.write(channel, at + index, (value >>> (8 * index)) & 0xff, 1);
    },
    readRun: (at, size, target) => (at === 0 && size > 1 ? channel.readDataRun(size, target) : 0),
    writeRun: (at, size, source) => (at === 0 && size > 1 ? channel.writeDataRun(size, source) : 0),
  });
  bus.claimPorts({
    base: control, size: 1, name: 'ide-control', registers: ideControlRegisters,
    read: (at) => ideControlRegisters.read(channel, at), write: (at, _size, value) => ideControlRegisters.write(channel, at, value),
  });
}

