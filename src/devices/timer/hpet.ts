// The high precision event timer (IA-PC HPET 1.0a): a 64-bit counter of 10 ns ticks and three timers, periodic, with the
// legacy replacement route and message-signalled interrupts. Counter values are kept as two 32-bit halves.
import type { SystemBus } from '../../bus/address-space.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import { RegisterFile, type RegisterRow } from '../../bus/register-file.ts';
import { paceTick, ticksToSkip } from '../../bus/timer-queue.ts';
import type { Timer, Timers } from '../../ports/clock.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import { array, bool, nanoseconds, struct, u32, u8, type StateOf } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { trace } from './trace.ts';

export const HPET_BASE = 0xfed0_0000;
const HPET_BYTES = 0x400;
export const HPET_TIMERS = 3;
export const HPET_TICK_NS = 10;
const PERIOD_FEMTOSECONDS = HPET_TICK_NS * 1_000_000;
/** Revision 1, three timers, 64-bit counter, legacy replacement, Intel. Also the "event timer block" of the ACPI table. */
export const HPET_CAPABILITIES = 0x8086_a201;
const CONFIG = { ENABLE: 1, LEGACY: 2 } as const;
const TIMER = {
  LEVEL: 0x02,
  INTERRUPT: 0x04,
  PERIODIC: 0x08,
  PERIODIC_CAPABLE: 0x10,
  WIDE: 0x20,
  SET_VALUE: 0x40,
  MODE_32: 0x100,
  ROUTE: 0x3e00,
  MESSAGE: 0x4000,
  MESSAGE_CAPABLE: 0x8000,
  WRITABLE: 0x7f4e,
} as const;
const FIXED = TIMER.PERIODIC_CAPABLE | TIMER.WIDE | TIMER.MESSAGE_CAPABLE;
/** I/O APIC inputs that a timer may be routed to. */
const ROUTES = 0x00ff_0104;
const WORD = 2 ** 32;
/** Farther away than this (about a month) is never. */
const DISTANCE_MAX = 2 ** 48;

const timerFields = {
  config: u32(FIXED),
  comparatorLow: u32(0xffff_ffff),
  comparatorHigh: u32(0xffff_ffff),
  periodLow: u32(),
  periodHigh: u32(),
  messageValue: u32(),
  messageAddress: u32(),
  dueNs: nanoseconds(Infinity), // when the counter meets the comparator
} as const;
type HpetTimer = StateOf<typeof timerFields>;

export const hpetState = defineState({
  kind: 'hpet',
  version: 1,
  fields: {
    config: u8(0, 3),
    status: u8(0, 7),
    baseLow: u32(),
    baseHigh: u32(),
    startNs: nanoseconds(), // the counter was `base` at `start`, and runs from there if enabled
    timers: array(struct(timerFields), HPET_TIMERS),
    pit: bool(),
    rtc: bool(), // inputs that legacy replacement cuts off
  },
  check: (state) => (Number.isFinite(state.startNs) ? undefined : 'the counter starts at no time'),
});
export type HpetState = ReturnType<typeof hpetState.initial>;

export interface HpetWires {
  readonly timers: Timers;
  /** Interrupt 0 and 8 of the board, which PIT and RTC share with timers 0 and 1. */
  readonly irq0: IrqLine;
  readonly irq8: IrqLine;
  /** I/O APIC inputs by number. */
  readonly pins: readonly IrqLine[];
  readonly sendMessage: (address: number, data: number) => void;
  /** Whether what the PIT says at `pitInput` goes anywhere. */
  readonly pitHeard: (isHeard: boolean) => void;
}

export class Hpet implements Device<HpetState> {
  readonly schema = hpetState;
  state = hpetState.initial();
  readonly #wires: HpetWires;
  readonly #alarms: readonly Timer[];
  /** Where the PIT's and the RTC's interrupt outputs go on a board with an HPET. */
  readonly pitInput: IrqLine = {
    set: (level) => {
      this.state.pit = level;
      this.#driveLegacy();
    },
  };
  readonly rtcInput: IrqLine = {
    set: (level) => {
      this.state.rtc = level;
      this.#driveLegacy();
    },
  };

  constructor(wires: HpetWires) {
    this.#wires = wires;
    this.#alarms = Array.from({ length: HPET_TIMERS }, (_, index) => wires.timers.createTimer(() => this.#fire(index), `hpet-${index}`));
  }

  /** Levels at the inputs are not the HPET's to forget. */
  reset(phase: ResetPhase): void {
    const { pit, rtc } = this.state;
    if (phase === 'enter') this.state = { ...hpetState.initial(), pit, rtc };
    else this.settle();
  }

  settle(): void {
    this.#driveLegacy();
    for (let index = 0; index < HPET_TIMERS; index++) {
      this.#arm(index, this.state.timers[index]!.dueNs);
      this.#driveLevel(index);
    }
  }

  /** Nobody has to wake up for a timer that may not interrupt: what it does meanwhile is made up for by `caughtUp`. */
  #arm(index: number, deadlineNs: number): void {
    this.#alarms[index]!.armAt((this.state.timers[index]!.config & TIMER.INTERRUPT) !== 0 ? deadlineNs : Infinity);
  }

  get #enabled(): boolean {
    return (this.state.config & CONFIG.ENABLE) !== 0;
  }

  get #legacy(): boolean {
    return (this.state.config & (CONFIG.LEGACY | CONFIG.ENABLE)) === (CONFIG.LEGACY | CONFIG.ENABLE);
  }

  /** Without legacy replacement interrupts 0 and 8 belong to PIT and RTC. */
  #driveLegacy(): void {
    this.#wires.pitHeard(!this.#legacy);
    if (this.#legacy) return;
    this.#wires.irq0.set(this.state.pit);
    this.#wires.irq8.set(this.state.rtc);
  }

  // The counter

  #ticksSinceStart(): number {
    return this.#enabled ? Math.max(0, Math.floor((this.#wires.timers.now() - this.state.startNs) / HPET_TICK_NS)) : 0;
  }

  counterLow(): number {
    return (this.state.baseLow + (this.#ticksSinceStart() % WORD)) % WORD;
  }

  counterHigh(): number {
    const ticks = this.#ticksSinceStart();
    const carry = this.state.baseLow + (ticks % WORD) >= WORD ? 1 : 0;
    return (this.state.baseHigh + Math.floor(ticks / WORD) + carry) % WORD;
  }

  /** Makes now the origin of the counter with this value. */
  #restartCounter(low: number, high: number): void {
    const { state } = this;
    this.#catchUp();
    state.baseLow = low;
    state.baseHigh = high;
    state.startNs = this.#wires.timers.now();
    for (let index = 0; index < HPET_TIMERS; index++) this.#schedule(index);
  }

  writeCounterLow(value: number): void {
    this.#restartCounter(value, this.counterHigh());
  }

  writeCounterHigh(value: number): void {
    this.#restartCounter(this.counterLow(), value);
  }

  // Timers

  #narrow(timer: HpetTimer): boolean {
    return (timer.config & TIMER.MODE_32) !== 0;
  }

  /** Ticks until the counter meets the comparator. */
  #distance(timer: HpetTimer): number {
    const low = timer.comparatorLow - this.counterLow();
    if (this.#narrow(timer)) return (low + WORD) % WORD;
    const high = timer.comparatorHigh - this.counterHigh() - (low < 0 ? 1 : 0);
    return ((high + WORD) % WORD) * WORD + ((low + WORD) % WORD);
  }

  #schedule(index: number): void {
    const timer = this.state.timers[index]!;
    const distance = this.#enabled ? this.#distance(timer) : Infinity;
    const counterNs = this.state.startNs + this.#ticksSinceStart() * HPET_TICK_NS;
    timer.dueNs = distance < DISTANCE_MAX ? counterNs + distance * HPET_TICK_NS : Infinity;
    trace.hpetArm?.({ timer: index, deadline: timer.dueNs });
    this.#arm(index, timer.dueNs);
  }

  #fire(index: number): void {
    const timer = this.state.timers[index]!;
    this.#interrupt(index);
    const periodNs = this.#period(timer) * HPET_TICK_NS;
    const now = this.#wires.timers.now();
    this.#advance(timer, 1 + ticksToSkip(timer.dueNs + periodNs, now, periodNs));
    if (timer.dueNs !== Infinity) this.#arm(index, paceTick(timer.dueNs, now, periodNs));
  }

  /** Ticks between two meetings of counter and comparator; 0 when there is none after the next. */
  #period(timer: HpetTimer): number {
    if ((timer.config & TIMER.PERIODIC) === 0) return this.#narrow(timer) ? WORD : 0;
    const period = (this.#narrow(timer) ? 0 : timer.periodHigh * WORD) + timer.periodLow;
    return period > DISTANCE_MAX ? 0 : period;
  }

  /** The counter has met the comparator so many times. */
  #advance(timer: HpetTimer, times: number): void {
    const period = this.#period(timer);
    if (period !== 0 && (timer.config & TIMER.PERIODIC) !== 0) this.#advanceComparator(timer, times * period);
    timer.dueNs += times * period * HPET_TICK_NS;
    if (period === 0 || timer.dueNs > Number.MAX_SAFE_INTEGER) timer.dueNs = Infinity;
  }

  /** The timer after all that it has done without an interrupt. */
  caughtUp(index: number): HpetTimer {
    const timer = this.state.timers[index]!;
    const lateNs = this.#wires.timers.now() - timer.dueNs;
    if ((timer.config & TIMER.INTERRUPT) !== 0 || !(lateNs >= 0)) return timer;
    if ((timer.config & TIMER.LEVEL) !== 0) this.state.status |= 1 << index;
    const periodNs = this.#period(timer) * HPET_TICK_NS;
    this.#advance(timer, periodNs === 0 ? 1 : 1 + Math.floor(lateNs / periodNs));
    return timer;
  }

  #catchUp(): void {
    for (let index = 0; index < HPET_TIMERS; index++) this.caughtUp(index);
  }

  #advanceComparator(timer: HpetTimer, ticks: number): void {
    const low = timer.comparatorLow + (ticks % WORD);
    timer.comparatorHigh = (timer.comparatorHigh + Math.floor(ticks / WORD) + (low >= WORD ? 1 : 0)) % WORD;
    timer.comparatorLow = low % WORD;
  }

  #interrupt(index: number): void {
    const timer = this.state.timers[index]!;
    const level = (timer.config & TIMER.LEVEL) !== 0;
    if (level) this.state.status |= 1 << index;
    if ((timer.config & TIMER.MESSAGE) !== 0) this.#wires.sendMessage(timer.messageAddress, timer.messageValue);
    else if (level) this.#driveLevel(index);
    else {
      const line = this.#line(index);
      line?.set(true);
      line?.set(false);
    }
  }

  #driveLevel(index: number): void {
    const timer = this.state.timers[index]!;
    if ((timer.config & (TIMER.LEVEL | TIMER.INTERRUPT | TIMER.MESSAGE)) !== (TIMER.LEVEL | TIMER.INTERRUPT)) return;
    this.#line(index)?.set((this.state.status & (1 << index)) !== 0);
  }

  #line(index: number): IrqLine | undefined {
    if (this.#legacy && index < 2) return index === 0 ? this.#wires.irq0 : this.#wires.irq8;
    return this.#wires.pins[(this.state.timers[index]!.config & TIMER.ROUTE) >> 9];
  }

  // Registers

  writeConfig(value: number): void {
    this.#catchUp();
    const [low, high] = [this.counterLow(), this.counterHigh()];
    this.state.config = value & (CONFIG.ENABLE | CONFIG.LEGACY);
    this.#restartCounter(low, high);
    this.#driveLegacy();
  }

  readStatus(): number {
    this.#catchUp();
    return this.state.status;
  }

  clearStatus(ones: number): void {
    this.#catchUp();
    this.state.status &= ~ones & 7;
    for (let index = 0; index < HPET_TIMERS; index++) this.#driveLevel(index);
  }

  writeTimerConfig(index: number, value: number): void {
    const timer = this.caughtUp(index);
    this.#releaseLevel(index);
    const route = (value & TIMER.ROUTE) >> 9;
    const allowed = (ROUTES & (1 << route)) !== 0 ? value : (value & ~TIMER.ROUTE) | (timer.config & TIMER.ROUTE);
    timer.config = (allowed & TIMER.WRITABLE) | FIXED;
    if (this.#narrow(timer)) {
      timer.comparatorHigh = 0;
      timer.periodHigh = 0;
    }
    this.#schedule(index);
    this.#driveLevel(index);
  }

  /** A level-triggered line must not stay high when its timer is configured away from it. */
  #releaseLevel(index: number): void {
    const timer = this.state.timers[index]!;
    if ((timer.config & (TIMER.LEVEL | TIMER.INTERRUPT | TIMER.MESSAGE)) === (TIMER.LEVEL | TIMER.INTERRUPT)) this.#line(index)?.set(false);
  }

  writeComparatorLow(index: number, value: number): void {
    const timer = this.caughtUp(index);
    const periodic = (timer.config & TIMER.PERIODIC) !== 0;
    if (!periodic || (timer.config & TIMER.SET_VALUE) !== 0) timer.comparatorLow = value;
    if (periodic) timer.periodLow = value;
    timer.config &= ~TIMER.SET_VALUE;
    this.#schedule(index);
  }

  writeComparatorHigh(index: number, value: number): void {
    const timer = this.caughtUp(index);
    if (this.#narrow(timer)) return;
    const periodic = (timer.config & TIMER.PERIODIC) !== 0;
    timer.comparatorHigh = value;
    if (periodic) timer.periodHigh = value;
    this.#schedule(index);
  }
}

const timerRows = (index: number): RegisterRow<Hpet>[] => {
  const at = 0x100 + 0x20 * index;
  const timer = (hpet: Hpet): HpetTimer => hpet.state.timers[index]!;
  return [
    { at, name: `TIMER${index}_CONFIG`, read: (hpet) => timer(hpet).config, write: (hpet, value) => hpet.writeTimerConfig(index, value) },
    { at: at + 4, name: `TIMER${index}_ROUTES`, constant: ROUTES },
    {
      at: at + 8,
      name: `TIMER${index}_COMPARATOR`,
      read: (hpet) => hpet.caughtUp(index).comparatorLow,
      write: (hpet, value) => hpet.writeComparatorLow(index, value),
    },
    {
      at: at + 0xc,
      name: `TIMER${index}_COMPARATOR_HIGH`,
      read: (hpet) => hpet.caughtUp(index).comparatorHigh,
      write: (hpet, value) => hpet.writeComparatorHigh(index, value),
    },
    {
      at: at + 0x10,
      name: `TIMER${index}_MESSAGE_VALUE`,
      read: (hpet) => timer(hpet).messageValue,
      write: (hpet, value) => {
        timer(hpet).messageValue = value;
      },
    },
    {
      at: at + 0x14,
      name: `TIMER${index}_MESSAGE_ADDRESS`,
      read: (hpet) => timer(hpet).messageAddress,
      write: (hpet, value) => {
        timer(hpet).messageAddress = value;
      },
    },
  ];
};

export const hpetRegisters = new RegisterFile<Hpet>('hpet', 4, [
  { at: 0x00, name: 'CAPABILITIES', constant: HPET_CAPABILITIES },
  { at: 0x04, name: 'PERIOD', constant: PERIOD_FEMTOSECONDS },
  { at: 0x10, name: 'CONFIG', field: 'config', write: (hpet, value) => hpet.writeConfig(value) },
  { at: 0x14, name: 'CONFIG_HIGH', constant: 0 },
  { at: 0x20, name: 'STATUS', read: (hpet) => hpet.readStatus(), write: (hpet, value) => hpet.clearStatus(value) },
  { at: 0x24, name: 'STATUS_HIGH', constant: 0 },
  { at: 0xf0, name: 'COUNTER', read: (hpet) => hpet.counterLow(), write: (hpet, value) => hpet.writeCounterLow(value) },
  { at: 0xf4, name: 'COUNTER_HIGH', read: (hpet) => hpet.counterHigh(), write: (hpet, value) => hpet.writeCounterHigh(value) },
  ...timerRows(0),
  ...timerRows(1),
  ...timerRows(2),
]);

/** The PC's event timer at its page. */
export function pcHpet(bus: SystemBus, wires: HpetWires): Hpet {
  const hpet = new Hpet(wires);
  bus.claimMmio({
    base: HPET_BASE,
    size: HPET_BYTES,
    name: 'hpet',
    widthMax: 4,
    registers: hpetRegisters,
    read: (at, size) => hpetRegisters.read(hpet, at, size),
    write: (at, size, value) => hpetRegisters.write(hpet, at, value, size),
  });
  return hpet;
}
