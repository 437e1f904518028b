// The MC146818 real-time clock and the CMOS memory behind ports 0x70 and 0x71 (Motorola MC146818A, the PC/AT's use of it).
// The date is the wall clock plus an offset that the guest sets; periodic, alarm and update interrupts are alarms in
// guest time while enabled and computed when register C is read otherwise. A reset leaves date and CMOS alone.
import type { SystemBus } from '../../bus/address-space.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import { RegisterFile } from '../../bus/register-file.ts';
import { paceTick } from '../../bus/timer-queue.ts';
import type { Timer, Timers, WallClock } from '../../ports/clock.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import { bytes, nanoseconds, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { civilFromSeconds, SECONDS_PER_DAY, secondsFromCivil } from './calendar.ts';
import { Frequency } from './frequency.ts';
import { trace } from './trace.ts';

export const CMOS_BYTES = 128;
/** Indices of the clock's registers. */
const REG = {
  SECOND: 0,
  SECOND_ALARM: 1,
  MINUTE: 2,
  MINUTE_ALARM: 3,
  HOUR: 4,
  HOUR_ALARM: 5,
  WEEKDAY: 6,
  DAY: 7,
  MONTH: 8,
  YEAR: 9,
  A: 10,
  B: 11,
  C: 12,
  D: 13,
  CENTURY: 0x32,
} as const;
const A = { UPDATE_IN_PROGRESS: 0x80, DIVIDER: 0x70, DIVIDER_RESET: 0x60, RATE: 0x0f, DEFAULT: 0x26 } as const;
const B = { SET: 0x80, PERIODIC: 0x40, ALARM: 0x20, UPDATE: 0x10, BINARY: 0x04, HOURS_24: 0x02 } as const;
const C = { INTERRUPT: 0x80, PERIODIC: 0x40, ALARM: 0x20, UPDATE: 0x10 } as const;
const D_VALID = 0x80;
const ANY = 0xc0;
const PM = 0x80;
/** The update-in-progress bit rises this long before the time changes. */
const UPDATE_WARNING_MS = 0.244;
const crystal = new Frequency(32_768);

export const mc146818State = defineState({
  kind: 'mc146818',
  version: 1,
  fields: {
    index: u8(),
    cmos: bytes(CMOS_BYTES),
    offsetMs: nanoseconds(), // guest date minus wall clock; a finite number like a time
    seenMs: nanoseconds(), // guest date up to which update and alarm flags are accounted for
    periodSeenNs: nanoseconds(), // guest time up to which periodic flags are accounted for
  },
  check: (state) =>
    Math.abs(state.offsetMs) > 1e15 || Math.abs(state.seenMs) > 1e15 || state.periodSeenNs === Infinity ? 'date out of range' : undefined,
});
export type Mc146818State = ReturnType<typeof mc146818State.initial>;

export interface Mc146818Wires {
  readonly timers: Timers;
  readonly wall: WallClock;
  readonly irq: IrqLine;
}

export interface CmosOptions extends Mc146818Wires {
  /** CMOS bytes that firmware and guests read: memory sizes, boot order, by index. */
  readonly cmos?: Readonly<Record<number, number>>;
}

export class Mc146818 implements Device<Mc146818State> {
  readonly schema = mc146818State;
  state = mc146818State.initial();
  readonly #wires: Mc146818Wires;
  readonly #periodic: Timer;
  readonly #update: Timer;

  constructor({ cmos = {}, ...wires }: CmosOptions) {
    this.#wires = wires;
    this.#periodic = wires.timers.createTimer((deadlineNs) => this.#periodicTick(deadlineNs), 'rtc-periodic');
    this.#update = wires.timers.createTimer(() => this.#updateTick(), 'rtc-update');
    const memory = this.state.cmos;
    memory[REG.A] = A.DEFAULT;
    memory[REG.B] = B.HOURS_24;
    memory[REG.D] = D_VALID;
    this.setCmos(cmos);
    this.state.seenMs = this.#nowMs();
  }

  /** Gives bytes of the memory other values, as the board's battery would have kept them. */
  setCmos(values: Readonly<Record<number, number>>): void {
    for (const [index, value] of Object.entries(values)) this.state.cmos[Number(index)] = value;
  }

  /** The reset pin clears interrupt enables and flags; date and memory are on battery. */
  reset(phase: ResetPhase): void {
    const { cmos } = this.state;
    if (phase === 'enter') {
      this.state.index = 0;
      cmos[REG.B] = cmos[REG.B]! & ~(B.PERIODIC | B.ALARM | B.UPDATE);
      cmos[REG.C] = 0;
    } else this.settle();
  }

  settle(): void {
    this.#driveInterrupt();
    this.#armPeriodic();
    this.#armUpdate();
  }

  /** Bit 7 of the index port: the board holds NMIs off. */
  get nmiMasked(): boolean {
    return (this.state.index & 0x80) !== 0;
  }

  #reg(index: number): number {
    return this.state.cmos[index]!;
  }

  #nowMs(): number {
    return this.#wires.wall.nowMs() + this.state.offsetMs;
  }

  /** The clock stands still while the guest sets it or holds the divider in reset. */
  get #stopped(): boolean {
    return (this.#reg(REG.B) & B.SET) !== 0 || (this.#reg(REG.A) & A.DIVIDER_RESET) === A.DIVIDER_RESET;
  }

  #driveInterrupt(): void {
    const { cmos } = this.state;
    const pending = this.#reg(REG.C) & this.#reg(REG.B) & (C.PERIODIC | C.ALARM | C.UPDATE);
    cmos[REG.C] = (this.#reg(REG.C) & ~C.INTERRUPT) | (pending !== 0 ? C.INTERRUPT : 0);
    this.#wires.irq.set(pending !== 0);
  }

  // Periodic interrupt

  /** In crystal ticks, 0: none. Rates 1 and 2 are the odd ones of the 32 kHz time base. */
  get #periodTicks(): number {
    const rate = this.#reg(REG.A) & A.RATE;
    return rate === 0 ? 0 : 1 << (rate < 3 ? rate + 6 : rate - 1);
  }

  #accountPeriodic(): void {
    const { state } = this;
    const now = this.#wires.timers.now();
    const ticks = this.#periodTicks;
    if (ticks !== 0 && Math.floor(crystal.ticks(now) / ticks) !== Math.floor(crystal.ticks(state.periodSeenNs) / ticks)) {
      state.cmos[REG.C] = this.#reg(REG.C) | C.PERIODIC;
    }
    state.periodSeenNs = now;
  }

  #armPeriodic(): void {
    const ticks = this.#periodTicks;
    if (ticks === 0 || (this.#reg(REG.B) & B.PERIODIC) === 0) this.#periodic.disarm();
    else this.#periodic.armAt(crystal.nanoseconds((Math.floor(crystal.ticks(this.state.periodSeenNs) / ticks) + 1) * ticks));
  }

  #periodicTick(deadlineNs: number): void {
    const { state } = this;
    state.cmos[REG.C] = this.#reg(REG.C) | C.PERIODIC;
    this.#driveInterrupt();
    const ticks = this.#periodTicks;
    const now = this.#wires.timers.now();
    // One tick for one interrupt: what is accounted for advances by a period, not to now, unless far behind.
    state.periodSeenNs = now - deadlineNs > 1e9 ? now : Math.max(deadlineNs, state.periodSeenNs);
    const grid = crystal.nanoseconds((Math.floor(crystal.ticks(state.periodSeenNs) / ticks) + 1) * ticks);
    this.#periodic.armAt(paceTick(grid, now, (ticks * 1e9) / crystal.hz));
  }

  // Update and alarm

  #accountUpdates(): void {
    const { state } = this;
    const nowMs = this.#nowMs();
    if (!this.#stopped) {
      const from = Math.floor(state.seenMs / 1000);
      const to = Math.floor(nowMs / 1000);
      if (to > from) {
        state.cmos[REG.C] = this.#reg(REG.C) | C.UPDATE | (this.#alarmWithin(from, to) ? C.ALARM : 0);
      }
    }
    state.seenMs = nowMs;
  }

  /** Whether the alarm time lies in the seconds after `from` up to and including `to`. */
  #alarmWithin(from: number, to: number): boolean {
    const last = Math.min(to, from + SECONDS_PER_DAY);
    const [second, minute, hour] = [REG.SECOND_ALARM, REG.MINUTE_ALARM, REG.HOUR_ALARM].map((index) => this.#reg(index)) as [
      number,
      number,
      number,
    ];
    const wantedSecond = this.#decode(second);
    const step = (second & ANY) === ANY ? 1 : 60;
    let at = from + 1;
    if (step === 60) at += (((wantedSecond - at) % 60) + 60) % 60;
    for (; at <= last; at += step) {
      const ofDay = ((at % SECONDS_PER_DAY) + SECONDS_PER_DAY) % SECONDS_PER_DAY;
      const minuteFits = (minute & ANY) === ANY || this.#decode(minute) === Math.floor(ofDay / 60) % 60;
      if (minuteFits && ((hour & ANY) === ANY || this.#decodeHour(hour) === Math.floor(ofDay / 3600))) return true;
    }
    return false;
  }

  /** Updates need an alarm only while one of their interrupts is enabled: then every second, which is cheap and exact. */
  #armUpdate(): void {
    if ((this.#reg(REG.B) & (B.UPDATE | B.ALARM)) === 0 || this.#stopped) {
      this.#update.disarm();
      return;
    }
    const nowMs = this.#nowMs();
    const leftMs = (Math.floor(nowMs / 1000) + 1) * 1000 - nowMs;
    this.#update.armAt(this.#wires.timers.now() + Math.max(1000, Math.ceil(leftMs * 1e6)));
  }

  #updateTick(): void {
    this.#accountUpdates();
    this.#driveInterrupt();
    this.#armUpdate();
  }

  // Date registers

  #decode(value: number): number {
    return (this.#reg(REG.B) & B.BINARY) !== 0 ? value : (value >> 4) * 10 + (value & 15);
  }

  #encode(value: number): number {
    return (this.#reg(REG.B) & B.BINARY) !== 0 ? value & 0xff : (Math.floor(value / 10) % 10) * 16 + (value % 10);
  }

  #decodeHour(value: number): number {
    if ((this.#reg(REG.B) & B.HOURS_24) !== 0) return this.#decode(value);
    return (this.#decode(value & ~PM) % 12) + ((value & PM) !== 0 ? 12 : 0);
  }

  #encodeHour(hour: number): number {
    if ((this.#reg(REG.B) & B.HOURS_24) !== 0) return this.#encode(hour);
    return this.#encode(hour % 12 === 0 ? 12 : hour % 12) | (hour >= 12 ? PM : 0);
  }

  /** Puts the running date into the registers. */
  #showDate(): void {
    if (this.#stopped) return;
    const { cmos } = this.state;
    const civil = civilFromSeconds(Math.floor(this.#nowMs() / 1000));
    cmos[REG.SECOND] = this.#encode(civil.second);
    cmos[REG.MINUTE] = this.#encode(civil.minute);
    cmos[REG.HOUR] = this.#encodeHour(civil.hour);
    cmos[REG.WEEKDAY] = this.#encode(civil.weekday);
    cmos[REG.DAY] = this.#encode(civil.day);
    cmos[REG.MONTH] = this.#encode(civil.month);
    cmos[REG.YEAR] = this.#encode(civil.year % 100);
    cmos[REG.CENTURY] = this.#encode(Math.floor(civil.year / 100) % 100);
  }

  /** Takes the date from the registers; `restart` puts the fraction of the second at its beginning. */
  #takeDate(restart: boolean): void {
    const read = (index: number): number => this.#decode(this.#reg(index));
    const seconds = secondsFromCivil({
      second: read(REG.SECOND),
      minute: read(REG.MINUTE),
      hour: this.#decodeHour(this.#reg(REG.HOUR)),
      day: read(REG.DAY),
      month: read(REG.MONTH),
      year: read(REG.CENTURY) * 100 + read(REG.YEAR),
    });
    const wallMs = this.#wires.wall.nowMs();
    const fractionMs = restart ? 0 : (((wallMs + this.state.offsetMs) % 1000) + 1000) % 1000;
    this.state.offsetMs = seconds * 1000 + fractionMs - wallMs;
    this.state.seenMs = this.#nowMs();
  }

  // Ports

  /** For the register rows. */
  readData(): number {
    const { cmos } = this.state;
    const index = this.state.index & 0x7f;
    if (index === REG.C) {
      this.#accountUpdates();
      this.#accountPeriodicUnlessTimed();
      this.#driveInterrupt();
      const flags = this.#reg(REG.C);
      cmos[REG.C] = 0;
      this.#driveInterrupt();
      return flags;
    }
    if (index === REG.A) return (this.#reg(REG.A) & ~A.UPDATE_IN_PROGRESS) | (this.#updateInProgress() ? A.UPDATE_IN_PROGRESS : 0);
    if (isDate(index)) this.#showDate();
    return this.#reg(index);
  }

  /** With the periodic interrupt enabled its alarm sets the flag, and only that, so that late ticks are not dropped. */
  #accountPeriodicUnlessTimed(): void {
    if ((this.#reg(REG.B) & B.PERIODIC) === 0) this.#accountPeriodic();
  }

  #updateInProgress(): boolean {
    return !this.#stopped && ((this.#nowMs() % 1000) + 1000) % 1000 >= 1000 - UPDATE_WARNING_MS;
  }

  /** For the register rows. */
  writeData(value: number): void {
    const index = this.state.index & 0x7f;
    trace.rtcWrite?.({ index, value });
    if (index === REG.C || index === REG.D) return;
    this.#accountUpdates();
    this.#accountPeriodicUnlessTimed();
    if (index === REG.A || index === REG.B) {
      this.#writeControl(index, value);
    } else if (isDate(index)) {
      this.#showDate();
      this.state.cmos[index] = value;
      if (!this.#stopped) this.#takeDate(false);
    } else this.state.cmos[index] = value;
    if (index <= REG.B) this.settle();
  }

  #writeControl(index: number, value: number): void {
    const { cmos } = this.state;
    this.#showDate();
    const wasStopped = this.#stopped;
    const dividerWasReset = (this.#reg(REG.A) & A.DIVIDER_RESET) === A.DIVIDER_RESET;
    if (index === REG.A) cmos[REG.A] = value & ~A.UPDATE_IN_PROGRESS;
    // Setting SET clears the update interrupt enable.
    else cmos[REG.B] = (value & B.SET) !== 0 ? value & ~B.UPDATE : value;
    this.state.periodSeenNs = this.#wires.timers.now();
    if (wasStopped && !this.#stopped) this.#takeDate(dividerWasReset);
  }
}

function isDate(index: number): boolean {
  return (
    index === REG.CENTURY || (index <= REG.YEAR && index !== REG.SECOND_ALARM && index !== REG.MINUTE_ALARM && index !== REG.HOUR_ALARM)
  );
}

const CMOS_INDEX = 0;
// prettier-ignore
export const cmosRegisters = new RegisterFile<Mc146818>('rtc', 1, [
  { at: CMOS_INDEX, name: 'INDEX', field: 'index', writable: 0xff, read: () => 0xff },
  { at: 1, name: 'DATA', read: (rtc) => rtc.readData(), write: (rtc, value) => rtc.writeData(value) },
]);

/** The PC's real-time clock at its ports. */
export function isaRtc(bus: SystemBus, options: CmosOptions): Mc146818 {
  const rtc = new Mc146818(options);
  bus.claimPorts({
    base: 0x70,
    size: 2,
    name: 'rtc',
    registers: cmosRegisters,
    read: (at) => cmosRegisters.read(rtc, at),
    write: (at, _size, value) => cmosRegisters.write(rtc, at, value),
  });
  return rtc;
}

const KIB = 1024;
const MIB = 1024 * KIB;

/** The CMOS bytes by which firmware and old systems learn the size of memory; `above` counts bytes from 4 GiB. */
export function cmosMemorySizes(belowBytes: number, aboveBytes: number): Record<number, number> {
  const extendedKib = Math.min(0xffff, Math.max(0, (belowBytes - MIB) / KIB));
  const above16Mib = Math.min(0xffff, Math.max(0, Math.floor((belowBytes - 16 * MIB) / (64 * KIB))));
  const above4Gib = Math.floor(aboveBytes / (64 * KIB));
  const base = 640;
  // prettier-ignore
  return {
    0x15: base & 0xff, 0x16: base >> 8,
    0x17: extendedKib & 0xff, 0x18: extendedKib >> 8, 0x30: extendedKib & 0xff, 0x31: extendedKib >> 8,
    0x34: above16Mib & 0xff, 0x35: above16Mib >> 8,
    0x5b: above4Gib & 0xff, 0x5c: (above4Gib >> 8) & 0xff, 0x5d: (above4Gib >> 16) & 0xff,
    0x14: 0x06, // equipment: a coprocessor and a mouse
  };
}

/** Codes of the boot order's nibbles. */
const BOOT_DEVICE: Readonly<Record<string, number>> = { a: 1, c: 2, d: 3, n: 4 };

/** The CMOS bytes that name the first three boot devices, letters as in `-boot order=`; other letters are passed over. */
export function cmosBootOrder(drives: string): Record<number, number> {
  const [first = 0, second = 0, third = 0] = [...drives].flatMap((drive) => BOOT_DEVICE[drive] ?? []);
  return { 0x3d: first | (second << 4), 0x38: third << 4 }; // bit 0 would leave floppies unchecked
}
