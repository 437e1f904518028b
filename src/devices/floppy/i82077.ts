// The diskette controller of the PC (Intel 82077AA): command, execution and result phases on two drives, data by DMA. Seeks take no
// time. Commands are rows in commands.ts.
// QUIRK: data of the diskette controller go by DMA only; a transfer without it ends abnormally. Sectors have 512 bytes, and deleted
// data marks, scans and the data rate of a perpendicular mode do not exist.
import { attempt } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import { RegisterFile } from '../../bus/register-file.ts';
import type { RemovableDrive } from '../../ports/disk.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import { array, bool, bytes, choice, struct, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import type { DmaChannel } from '../dma/i8237.ts';
import { floppyCommand, type FloppyCommandRow } from './commands.ts';
import { DISKETTE_SECTOR_BYTES, disketteFormat, type DisketteFormat } from './diskette.ts';
import { trace } from './trace.ts';

const DRIVES = 2;
const FIFO_BYTES = 16;
const DOR = { SELECT: 0x03, RUN: 0x04, DMA: 0x08 } as const;
const MSR = { READY: 0x80, TO_HOST: 0x40, BUSY: 0x10 } as const;
const SOFTWARE_RESET = 0x80;
const CHANGED = 0x80;
export const ST0 = { ABNORMAL: 0x40, INVALID: 0x80, POLLED: 0xc0, SEEK_END: 0x20, EQUIPMENT: 0x10, HEAD: 0x04 } as const;
export const ST1 = { NO_MARK: 0x01, WRITE_PROTECTED: 0x02, NO_DATA: 0x04, OVERRUN: 0x10, CRC: 0x20, END: 0x80 } as const;
const ST3 = { BASE: 0x28, TRACK0: 0x10, WRITE_PROTECTED: 0x40 } as const;
const SECTOR_CODE = 2;
/** In a command's first byte, and in the second byte of SPECIFY. */
const MULTIPLE_TRACKS = 0x80;
const WITHOUT_DMA = 0x01;

export const i82077State = defineState({
  kind: 'i82077',
  version: 1,
  fields: {
    output: u8(), tape: u8(0, 3), rate: u8(0, 3),
    phase: choice('command', 'execution', 'result'),
    fifo: bytes(FIFO_BYTES),
    position: u8(0, FIFO_BYTES),
    length: u8(0, FIFO_BYTES),
    interrupt: bool(),
    /** What SENSE INTERRUPT STATUS answers next; and for how many drives a reset is still to be told. */
    status0: u8(ST0.INVALID),
    polled: u8(0, 4),
    stepRate: u8(), headLoad: u8(), configuration: u8(), precompensation: u8(), perpendicular: u8(), locked: bool(),
    lastSector: u8(),
    drives: array(struct({ track: u8(), changed: bool(), head: u8(0, 1) }), DRIVES),
  },
  check: ({ position, length }) => (position > length ? 'beyond the end of its fifo' : undefined),
});
export type I82077State = ReturnType<typeof i82077State.initial>;

export interface I82077Wires {
  readonly irq: IrqLine;
  readonly dma: DmaChannel;
}

/** A place on a diskette. */
interface Place {
  readonly cylinder: number;
  readonly head: number;
  readonly sector: number;
}

export class I82077 implements Device<I82077State> {
  readonly schema = i82077State;
  state = i82077State.initial();
  readonly drives: (RemovableDrive | undefined)[] = [undefined, undefined];
  readonly #wires: I82077Wires;
  /** Increased by a reset: what ends later is of no interest any more. */
  #epoch = 0;
  #inFlight = false;

  constructor(wires: I82077Wires) {
    this.#wires = wires;
    // A command that found its channel closed waits for this in its execution phase.
    wires.dma.onOpen = () => { if (this.state.phase === 'execution' && !this.#inFlight) this.#execute(); };
  }

  attach(number: number, drive: RemovableDrive): void {
    this.drives[number] = drive;
    drive.onMediumChange = (what) => { if (what === 'changed') this.state.drives[number]!.changed = true; };
  }

  reset(phase: ResetPhase): void {
    if (phase === 'settle') return this.settle();
    this.#epoch++;
    this.#inFlight = false;
    this.state = i82077State.initial();
  }

  settle(): void {
    this.#drive();
  }

  #drive(): void {
    this.#wires.irq.set(this.state.interrupt && (this.state.output & DOR.DMA) !== 0);
  }

  #interrupt(): void {
    this.state.interrupt = true;
    this.#drive();
  }

  #acknowledge(): void {
    this.state.interrupt = false;
    this.#drive();
  }

  // --- registers

  readStatusA(): number {
    return (this.state.interrupt ? 0x80 : 0) | 0x40;
  }

  writeOutput(value: number): void {
    const { state } = this;
    const was = state.output;
    state.output = value;
    if ((value & DOR.RUN) === 0) this.#halt();
    else if ((was & DOR.RUN) === 0) this.#afterReset();
    this.#drive();
  }

  #halt(): void {
    const { state } = this;
    this.#epoch++;
    this.#inFlight = false;
    Object.assign(state, { phase: 'command', position: 0, length: 0, interrupt: false, polled: 0, status0: ST0.INVALID });
    state.perpendicular = 0;
    if (!state.locked) state.configuration = state.precompensation = 0;
  }

  /** The controller polls its drives and tells of each. */
  #afterReset(): void {
    this.state.polled = 4;
    this.#interrupt();
  }

  readMainStatus(): number {
    const { state } = this;
    if ((state.output & DOR.RUN) === 0) return 0;
    switch (state.phase) {
      case 'command':
        return MSR.READY | (state.position > 0 ? MSR.BUSY : 0);
      case 'execution':
        return MSR.BUSY;
      case 'result':
        return MSR.READY | MSR.TO_HOST | MSR.BUSY;
    }
  }

  /** The data rate select register. */
  writeRate(value: number): void {
    this.state.rate = value & 3;
    if ((value & SOFTWARE_RESET) === 0) return;
    this.#halt();
    this.#afterReset();
  }

  /** The configuration control register. */
  selectRate(value: number): void {
    this.state.rate = value & 3;
  }

  readDigitalInput(): number {
    const number = this.state.output & DOR.SELECT;
    const motor = (this.state.output & (0x10 << number)) !== 0;
    return number < DRIVES && motor && this.drives[number] !== undefined && this.state.drives[number]!.changed ? CHANGED : 0;
  }

  readFifo(): number {
    const { state } = this;
    if (state.phase !== 'result') return 0;
    const value = state.fifo[state.position]!;
    state.position++;
    this.#acknowledge();
    if (state.position >= state.length) Object.assign(state, { phase: 'command', position: 0, length: 0 });
    return value;
  }

  writeFifo(value: number): void {
    const { state } = this;
    if ((state.output & DOR.RUN) === 0 || state.phase !== 'command') return;
    if (state.position === 0) {
      const row = floppyCommand(value);
      state.length = row === undefined ? 1 : 1 + row.parameters;
    }
    state.fifo[state.position++] = value;
    if (state.position < state.length) return;
    trace.command?.({ command: state.fifo[0]!, name: floppyCommand(state.fifo[0]!)?.name ?? 'invalid' });
    this.#execute();
  }

  #execute(): void {
    const row = floppyCommand(this.state.fifo[0]!);
    this.state.phase = 'execution';
    if (row === undefined) this.result([ST0.INVALID]);
    else row.run(this, row);
  }

  /** Ends a command with bytes for the host to read, or without any. */
  result(values: readonly number[], interrupt = false): void {
    const { state } = this;
    state.fifo.fill(0);
    state.fifo.set(values);
    Object.assign(state, { phase: values.length > 0 ? 'result' : 'command', position: 0, length: values.length });
    if (interrupt) this.#interrupt();
  }

  // --- what the rows of commands.ts do

  parameter(index: number): number {
    return this.state.fifo[index]!;
  }

  get #number(): number {
    return this.parameter(1) & 3;
  }

  get #medium(): RemovableDrive | undefined {
    const drive = this.drives[this.#number];
    return drive?.inserted === true && drive.size > 0 ? drive : undefined;
  }

  recalibrate(): void {
    this.seek(0);
  }

  /** The head stands over the cylinder at once; the host asks what happened with SENSE INTERRUPT STATUS. */
  seek(cylinder: number): void {
    const { state } = this;
    const number = this.#number;
    const head = (this.parameter(1) >> 2) & 1;
    const place = state.drives[number];
    const there = place !== undefined && this.drives[number] !== undefined;
    if (there) {
      place.track = cylinder;
      place.head = head;
      if (this.#medium !== undefined) place.changed = false;
    }
    state.status0 = ST0.SEEK_END | number | (head << 2) | (there ? 0 : ST0.ABNORMAL | ST0.EQUIPMENT);
    this.result([], true);
  }

  relativeSeek(inwards: boolean): void {
    const track = this.state.drives[this.#number]?.track ?? 0;
    const steps = this.parameter(2);
    this.seek(Math.max(0, Math.min(255, inwards ? track + steps : track - steps)));
  }

  senseInterrupt(): void {
    const { state } = this;
    this.#acknowledge();
    if (state.polled > 0) {
      const number = 4 - state.polled--;
      return this.result([ST0.POLLED | number, state.drives[number]?.track ?? 0]);
    }
    const { status0 } = state;
    state.status0 = ST0.INVALID;
    if (status0 === ST0.INVALID) this.result([status0]);
    else this.result([status0, state.drives[status0 & 3]?.track ?? 0]);
  }

  senseDrive(): void {
    const number = this.#number;
    const drive = this.drives[number];
    const track = this.state.drives[number]?.track ?? 0;
    const locked = drive?.readOnly === true ? ST3.WRITE_PROTECTED : 0;
    this.result([ST3.BASE | (this.parameter(1) & 7) | (track === 0 ? ST3.TRACK0 : 0) | locked]);
  }

  dumpRegisters(): void {
    const { state } = this;
    const tracks = [0, 1, 2, 3].map((number) => state.drives[number]?.track ?? 0);
    const lock = (state.locked ? 0x80 : 0) | state.perpendicular;
    this.result([...tracks, state.stepRate, state.headLoad, state.lastSector, lock, state.configuration, state.precompensation]);
  }

  lock(on: boolean): void {
    this.state.locked = on;
    this.result([on ? 0x10 : 0]);
  }

  #sevenBytes(status0: number, status1: number, { cylinder, head, sector }: Place): void {
    const number = this.#number;
    trace.result?.({ status0, status1, cylinder, head, sector });
    this.result([status0 | number | (this.parameter(1) & ST0.HEAD), status1, 0, cylinder, head, sector, SECTOR_CODE], true);
  }

  /** The format of the medium, when the selected drive can read anything at the selected rate. */
  #readable(): DisketteFormat | undefined {
    const medium = this.#medium;
    const format = medium === undefined ? undefined : disketteFormat(medium.size);
    return format?.rate === this.state.rate ? format : undefined;
  }

  readId(): void {
    const track = this.state.drives[this.#number]?.track ?? 0;
    const head = (this.parameter(1) >> 2) & 1;
    const format = this.#readable();
    const found = format !== undefined && track < format.cylinders && head < format.heads;
    this.#sevenBytes(found ? 0 : ST0.ABNORMAL, found ? 0 : ST1.NO_MARK, { cylinder: track, head, sector: 1 });
  }

  #offset({ cylinder, head, sector }: Place, { heads, sectors }: DisketteFormat): number {
    return ((cylinder * heads + head) * sectors + sector - 1) * DISKETTE_SECTOR_BYTES;
  }

  /** READ DATA, WRITE DATA and their like: C, H, R, N, EOT are the parameters. */
  transfer(row: FloppyCommandRow): void {
    const place = { cylinder: this.parameter(2), head: this.parameter(3) & 1, sector: this.parameter(4) };
    const last = this.parameter(6);
    this.state.lastSector = last;
    const format = this.#readable();
    const refused = this.#refusal(row, place, format);
    if (format === undefined || refused !== 0) return this.#sevenBytes(ST0.ABNORMAL, refused, place);
    if (this.#wires.dma.room(row.data === 'read') === 0) return; // goes on when the channel opens
    const bothSides = (this.parameter(0) & MULTIPLE_TRACKS) !== 0 && format.heads === 2;
    this.#side({ write: row.data === 'write', format, until: Math.min(last, format.sectors), bothSides }, place);
  }

  /** Why a transfer cannot be, in the bits of status 1; 0 when it can. */
  #refusal(row: FloppyCommandRow, place: Place, format: DisketteFormat | undefined): number {
    const track = this.state.drives[this.#number]?.track ?? 0;
    if (format === undefined) return ST1.NO_MARK;
    if ((this.state.headLoad & WITHOUT_DMA) !== 0) return ST1.OVERRUN;
    if (row.data === 'write' && this.#medium?.readOnly === true) return ST1.WRITE_PROTECTED;
    const exists = place.cylinder < format.cylinders && place.head < format.heads && place.sector > 0 && place.sector <= format.sectors;
    return exists && place.cylinder === track && this.parameter(5) === SECTOR_CODE ? 0 : ST1.NO_DATA;
  }

  /** Moves what the channel has room for, up to the end of the track. */
  #side(request: Request, place: Place): void {
    const { write, format, until } = request;
    const { dma } = this.#wires;
    const medium = this.#medium!;
    const room = dma.room(!write);
    const count = Math.min(until - place.sector + 1, Math.ceil(room / DISKETTE_SECTOR_BYTES));
    if (count <= 0) return this.#sevenBytes(ST0.ABNORMAL, ST1.END, place);
    const data = new Uint8Array(count * DISKETTE_SECTOR_BYTES);
    const moved = data.subarray(0, Math.min(room, data.length));
    const offset = this.#offset(place, format);
    const stored = data.subarray(0, Math.max(0, Math.min(data.length, medium.size - offset)));
    const terminal = write && dma.take(moved);
    this.#begin(() => (write ? medium.write(offset, stored) : medium.read(offset, stored)), place, () => {
      // The guest may have closed the channel meanwhile.
      const ended = write ? terminal : dma.room(true) >= moved.length && dma.put(moved);
      this.#sideDone(request, { ...place, sector: place.sector + count }, ended);
    });
  }

  #sideDone(request: Request, next: Place, ended: boolean): void {
    const { until, bothSides, write } = request;
    const { cylinder, head, sector } = next;
    let place = next;
    if (sector > until) {
      if (bothSides && head === 0) place = { cylinder, head: 1, sector: 1 };
      else place = { cylinder: cylinder + 1, head: bothSides ? 0 : head, sector: 1 };
    }
    if (ended) return this.#sevenBytes(0, 0, place);
    if (place.cylinder !== cylinder || place.head === head || this.#wires.dma.room(!write) === 0) {
      return this.#sevenBytes(ST0.ABNORMAL, ST1.END, place);
    }
    this.#side(request, place);
  }

  #begin(work: () => void | Promise<void>, place: Place, done: () => void): void {
    const epoch = this.#epoch;
    this.#inFlight = true;
    const ended = (): boolean => {
      if (epoch === this.#epoch) this.#inFlight = false;
      return epoch === this.#epoch;
    };
    const failed = (failure: Failure): void => {
      trace.failure?.({ what: failure.message });
      if (ended()) this.#sevenBytes(ST0.ABNORMAL, ST1.CRC, place);
    };
    attempt(work, () => { if (ended()) done(); }, failed);
  }

  /** FORMAT TRACK: the host gives an address of four bytes for each sector. */
  formatTrack(row: FloppyCommandRow): void {
    const head = (this.parameter(1) >> 2) & 1;
    const track = this.state.drives[this.#number]?.track ?? 0;
    const [code, sectors, fill] = [this.parameter(2), this.parameter(3), this.parameter(5)];
    const format = this.#readable();
    const place = { cylinder: track, head, sector: 1 };
    const fits = format !== undefined && track < format.cylinders && head < format.heads && sectors <= format.sectors;
    if (!fits || code !== SECTOR_CODE) return this.#sevenBytes(ST0.ABNORMAL, ST1.NO_MARK, place);
    if (this.#medium?.readOnly === true) return this.#sevenBytes(ST0.ABNORMAL, ST1.WRITE_PROTECTED, place);
    const room = this.#wires.dma.room(false);
    if (room === 0) return;
    const addresses = new Uint8Array(Math.min(room, 4 * sectors));
    const terminal = this.#wires.dma.take(addresses);
    const medium = this.#medium!;
    const offset = this.#offset(place, format);
    const wanted = Array.from({ length: addresses.length >> 2 }, (_, index) => addresses[4 * index + 2]!);
    const valid = wanted.every((sector) => sector > 0 && sector <= format.sectors);
    if (!valid) return this.#sevenBytes(ST0.ABNORMAL, ST1.NO_DATA, place);
    const first = Math.min(...wanted, format.sectors);
    const data = new Uint8Array(wanted.length * DISKETTE_SECTOR_BYTES).fill(fill);
    const at = offset + (first - 1) * DISKETTE_SECTOR_BYTES;
    const there = Math.max(0, Math.min(data.length, medium.size - at, (format.sectors - first + 1) * DISKETTE_SECTOR_BYTES));
    trace.format?.({ cylinder: track, head, sectors: wanted.length, row: row.name });
    this.#begin(() => medium.write(at, data.subarray(0, there)), place, () => {
      this.#sevenBytes(terminal ? 0 : ST0.ABNORMAL, terminal ? 0 : ST1.OVERRUN, place);
    });
  }
}

/** A transfer of sectors on one cylinder. */
interface Request {
  readonly write: boolean;
  readonly format: DisketteFormat;
  /** The last sector of a track. */
  readonly until: number;
  readonly bothSides: boolean;
}

// prettier-ignore
export const floppyRegisters = new RegisterFile<I82077>('fdc', 1, [
  { at: 0, name: 'STATUS_A', read: (fdc) => fdc.readStatusA() },
  { at: 1, name: 'STATUS_B', read: (fdc) => 0xc0 | ((fdc.state.output & 1) << 5) },
  { at: 2, name: 'DIGITAL_OUTPUT', field: 'output', write: (fdc, value) => fdc.writeOutput(value) },
  { at: 3, name: 'TAPE_DRIVE', field: 'tape', writable: 3 },
  { at: 4, name: 'MAIN_STATUS/DATA_RATE', read: (fdc) => fdc.readMainStatus(), write: (fdc, value) => fdc.writeRate(value) },
  { at: 5, name: 'FIFO', read: (fdc) => fdc.readFifo(), write: (fdc, value) => fdc.writeFifo(value) },
]);
// prettier-ignore
export const floppyChangeRegisters = new RegisterFile<I82077>('fdc-change', 1, [
  { at: 0, name: 'DIGITAL_INPUT/CONFIGURATION', read: (fdc) => fdc.readDigitalInput(), write: (fdc, value) => fdc.selectRate(value) },
]);
