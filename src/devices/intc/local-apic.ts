// A local APIC: what it accepts, what it presents to its processor, its timer and local vector table (Intel SDM volume 3A,
// chapter 12). Messages between APICs go through apic-bus.ts; the registers as pages and MSRs are in local-apic-registers.ts.
// No processor here: `interruptPending` and `acknowledge` are for it, the wires tell it.
import type { Device, ResetPhase } from '../../bus/device.ts';
import { paceTick, ticksToSkip } from '../../bus/timer-queue.ts';
import type { Timer, Timers } from '../../ports/clock.ts';
import {
  APIC_BASE, clearBit, DELIVERY, ESR, hasBit, highestBit, ICR, localApicState, LVT, LVT_COUNT, LVT_MASKED, LVT_WRITABLE, setBit, SHORTHAND,
  SVR, TIMER_MODE, type LocalApicState,
} from './local-apic-state.ts';
import { trace } from './trace.ts';

/** The processor that this APIC serves. Calls may come at any time and are idempotent. */
export interface LocalApicCpu {
  /** `interruptPending` may be true now: look when interrupts are next allowed. */
  raise(): void;
  nmi(): void;
  smi(): void;
  /** INIT; the processor then waits for `startUp` unless it is the bootstrap processor. */
  init(): void;
  startUp(vector: number): void;
}

/** How an APIC reaches the others. */
export interface ApicMessages {
  /** An interrupt command; `source` is the sender. */
  interprocessor(source: LocalApic, icrLow: number, destination: number): void;
  endOfInterrupt(vector: number): void;
  /** IA32_APIC_BASE changed. */
  moved(apic: LocalApic): void;
}

export interface LocalApicWires {
  readonly timers: Timers;
  readonly cpu: LocalApicCpu;
  readonly messages: ApicMessages;
  /** The 8259 pair's acknowledge cycle, for ExtINT. */
  readonly acknowledgePic: () => number;
  /** Guest time at which the time-stamp counter reaches a value of two 32-bit halves. */
  readonly timeOfTsc: (low: number, high: number) => number;
}

export interface LocalApicOptions extends LocalApicWires {
  readonly id: number;
  readonly bootstrap: boolean;
}

export class LocalApic implements Device<LocalApicState> {
  readonly schema = localApicState;
  readonly initialId: number;
  readonly bootstrap: boolean;
  state: LocalApicState;
  readonly wires: LocalApicWires;
  readonly #timer: Timer;

  constructor(options: LocalApicOptions) {
    this.wires = options;
    this.initialId = options.id;
    this.bootstrap = options.bootstrap;
    this.state = this.#initial();
    this.#timer = options.timers.createTimer(() => this.#timerExpired(), 'apic-timer');
  }

  #initial(): LocalApicState {
    const state = localApicState.initial();
    state.id = this.initialId;
    if (this.bootstrap) {
      state.apicBase |= APIC_BASE.BSP;
      state.apicBase >>>= 0;
      // QUIRK: LINT0 passes the 8259's interrupts from reset on (firmware sets this up on hardware), as emulated PCs do.
      state.lvt[LVT.LINT0] = DELIVERY.EXTINT << 8;
    }
    return state;
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = this.#initial();
    else this.settle();
  }

  /** INIT leaves identity and IA32_APIC_BASE alone. */
  initReset(): void {
    const { apicBase, id, lint0, lint1 } = this.state;
    this.state = { ...this.#initial(), apicBase, id, lint0, lint1 };
    this.settle();
  }

  settle(): void {
    this.wires.messages.moved(this);
    this.#armTimer();
    this.wires.cpu.raise();
  }

  get globallyEnabled(): boolean {
    return (this.state.apicBase & APIC_BASE.ENABLE) !== 0;
  }

  get x2apic(): boolean {
    return (this.state.apicBase & APIC_BASE.X2APIC) !== 0;
  }

  get softwareEnabled(): boolean {
    return (this.state.svr & SVR.ENABLE) !== 0;
  }

  // Towards the processor

  /** Whether the processor has an interrupt to take (EFLAGS.IF is its business). */
  interruptPending(): boolean {
    return this.#deliverable() >= 0 || this.#externalPending();
  }

  /** The processor takes the interrupt: its vector, or -1 when there is none after all. */
  acknowledge(): number {
    const vector = this.#deliverable();
    if (vector < 0) return this.#externalPending() ? this.wires.acknowledgePic() : -1;
    clearBit(this.state.irr, vector);
    setBit(this.state.isr, vector);
    trace.apicAcknowledge?.({ id: this.state.id, vector });
    return vector;
  }

  #deliverable(): number {
    if (!this.globallyEnabled || !this.softwareEnabled) return -1;
    const vector = highestBit(this.state.irr);
    return vector >= 0 && (vector & 0xf0) > (this.processorPriority & 0xf0) ? vector : -1;
  }

  /** The 8259 asks, and reaches the processor: through LINT0, or directly when the APIC is switched off. */
  #externalPending(): boolean {
    if (!this.state.lint0) return false;
    const entry = this.state.lvt[LVT.LINT0]!;
    return !this.globallyEnabled || ((entry & LVT_MASKED) === 0 && ((entry >> 8) & 7) === DELIVERY.EXTINT);
  }

  get processorPriority(): number {
    const inService = Math.max(0, highestBit(this.state.isr));
    const { tpr } = this.state;
    return (tpr & 0xf0) >= (inService & 0xf0) ? tpr : inService & 0xf0;
  }

  setTaskPriority(value: number): void {
    this.state.tpr = value & 0xff;
    this.#signal();
  }

  #signal(): void {
    if (this.interruptPending()) this.wires.cpu.raise();
  }

  // Towards the other agents

  /** A fixed or lowest-priority interrupt arrives. */
  accept(vector: number, level: boolean): void {
    if (!this.globallyEnabled || !this.softwareEnabled) return;
    trace.apicAccept?.({ id: this.state.id, vector, level });
    if (vector < 16) {
      this.raiseError(ESR.RECEIVE_ILLEGAL_VECTOR);
      return;
    }
    setBit(this.state.irr, vector);
    if (level) setBit(this.state.tmr, vector);
    else clearBit(this.state.tmr, vector);
    this.#signal();
  }

  /** Any message addressed to this APIC, by delivery mode. */
  receive(mode: number, vector: number, level: boolean): void {
    switch (mode) {
      case DELIVERY.FIXED:
      case DELIVERY.LOWEST:
        this.accept(vector, level);
        break;
      case DELIVERY.SMI:
        this.wires.cpu.smi();
        break;
      case DELIVERY.NMI:
        this.wires.cpu.nmi();
        break;
      case DELIVERY.INIT:
        this.initReset();
        this.wires.cpu.init();
        break;
      case DELIVERY.SIPI:
        this.wires.cpu.startUp(vector);
        break;
      default:
    }
  }

  endOfInterrupt(): void {
    const vector = highestBit(this.state.isr);
    if (vector < 0) return;
    clearBit(this.state.isr, vector);
    trace.apicEoi?.({ id: this.state.id, vector });
    if (hasBit(this.state.tmr, vector)) this.wires.messages.endOfInterrupt(vector);
    this.#signal();
  }

  sendCommand(low: number, destination: number): void {
    const mode = (low >> 8) & 7;
    if ((mode === DELIVERY.FIXED || mode === DELIVERY.LOWEST) && (low & 0xff) < 16) {
      this.raiseError(ESR.SEND_ILLEGAL_VECTOR);
      // A self-IPI is never sent; the others would be refused by the receiver.
      return;
    }
    const shorthand = (low >> 18) & 3;
    trace.apicIpi?.({ id: this.state.id, mode, vector: low & 0xff, destination, logical: (low & ICR.LOGICAL) !== 0, shorthand });
    if (mode === DELIVERY.INIT && (low & (ICR.LEVEL | ICR.ASSERT)) === ICR.LEVEL) return; // de-assert: only older systems
    if (shorthand === SHORTHAND.SELF && mode === DELIVERY.FIXED) this.accept(low & 0xff, false);
    else this.wires.messages.interprocessor(this, low, destination);
  }

  /** Whether a logical destination means this APIC. */
  matchesLogical(destination: number): boolean {
    const { ldr, dfr } = this.state;
    if (this.x2apic) {
      const own = this.logicalId;
      return destination === 0xffff_ffff || (destination >>> 16 === own >>> 16 && (destination & own & 0xffff) !== 0);
    }
    if (destination === 0xff) return true;
    const own = ldr >>> 24;
    if (dfr >>> 28 === 0xf) return (destination & own) !== 0;
    return dfr >>> 28 === 0 && (destination & 0xf0) === (own & 0xf0) && (destination & own & 0xf) !== 0;
  }

  /** The logical destination register as read: fixed by the identity in x2APIC mode. */
  get logicalId(): number {
    const { id, ldr } = this.state;
    return this.x2apic ? (((id >>> 4) << 16) | (1 << (id & 15))) >>> 0 : ldr;
  }

  // Pins, table and errors

  setLint(pin: 0 | 1, level: boolean): void {
    const { state } = this;
    const before = pin === 0 ? state.lint0 : state.lint1;
    if (pin === 0) state.lint0 = level;
    else state.lint1 = level;
    if (!level) return;
    const entry = state.lvt[pin === 0 ? LVT.LINT0 : LVT.LINT1]!;
    const mode = (entry >> 8) & 7;
    if (mode === DELIVERY.EXTINT || !this.globallyEnabled) this.#signal();
    else if (!before && (entry & LVT_MASKED) === 0) this.receive(mode, entry & 0xff, false);
  }

  writeLvt(index: number, value: number): void {
    const { state } = this;
    if (index === LVT.TIMER) this.#expireIfDue(); // under the old mode
    const before = state.lvt[index]!;
    const masked = this.softwareEnabled ? 0 : LVT_MASKED;
    state.lvt[index] = (value & LVT_WRITABLE[index]!) | masked;
    if (index === LVT.TIMER) this.#timerModeChanged(before);
    if (index === LVT.LINT0) this.#signal();
  }

  writeSpurious(value: number): void {
    const { state } = this;
    state.svr = value & SVR.WRITABLE;
    if (!this.softwareEnabled) for (let index = 0; index < LVT_COUNT; index++) state.lvt[index] = state.lvt[index]! | LVT_MASKED;
    this.#signal();
  }

  raiseError(bit: number): void {
    const { state } = this;
    const isNew = (state.esrPending & bit) === 0;
    state.esrPending |= bit;
    const entry = state.lvt[LVT.ERROR]!;
    if (isNew && (entry & LVT_MASKED) === 0 && (entry & 0xff) >= 16) this.accept(entry & 0xff, false);
  }

  // Timer

  get #timerMode(): number {
    return (this.state.lvt[LVT.TIMER]! >> 17) & 3;
  }

  /** Nanoseconds of one count: the timer's clock is 1 GHz before the divider. */
  get #divider(): number {
    const { timerDivide } = this.state;
    const power = ((timerDivide & 3) | ((timerDivide >> 1) & 4)) + 1;
    return 1 << (power & 7);
  }

  #armTimer(): void {
    if (this.state.timerTick === Infinity) this.#timer.disarm();
    else this.#timer.armAt(this.state.timerTick);
  }

  writeTimerInitial(value: number): void {
    if (this.#timerMode === TIMER_MODE.TSC_DEADLINE) return;
    const { state } = this;
    const now = this.wires.timers.now();
    state.timerInitial = value;
    state.timerTick = value === 0 ? Infinity : now + value * this.#divider;
    this.#armTimer();
  }

  /** The count goes on from where it is, at the new rate. */
  writeTimerDivide(value: number): void {
    const { state } = this;
    const left = this.timerCurrent();
    state.timerDivide = value & 0xb;
    if (left === 0 || this.#timerMode === TIMER_MODE.TSC_DEADLINE) return;
    const now = this.wires.timers.now();
    state.timerTick = now + left * this.#divider;
    this.#armTimer();
  }

  timerCurrent(): number {
    const { timerInitial, timerTick } = this.state;
    if (timerTick === Infinity || this.#timerMode === TIMER_MODE.TSC_DEADLINE) return 0;
    const left = timerTick - this.wires.timers.now();
    if (left > 0) return Math.min(timerInitial, Math.ceil(left / this.#divider));
    // Due, but the alarm has not come yet: a periodic timer counts its next period already.
    if (this.#timerMode !== TIMER_MODE.PERIODIC || timerInitial === 0) return 0;
    return timerInitial - (Math.floor(-left / this.#divider) % timerInitial);
  }

  /** IA32_TSC_DEADLINE; zero disarms. */
  writeDeadline(low: number, high: number): void {
    if (this.#timerMode !== TIMER_MODE.TSC_DEADLINE) return;
    const { state } = this;
    state.deadlineLow = low;
    state.deadlineHigh = high;
    state.timerTick = (low | high) === 0 ? Infinity : this.wires.timeOfTsc(low, high);
    this.#armTimer();
    this.#expireIfDue();
  }

  /** The timer queue may not have come to it yet, but the guest can tell. */
  #expireIfDue(): void {
    if (this.state.timerTick > this.wires.timers.now()) return;
    this.#timerExpired();
    this.#armTimer();
  }

  /** The time-stamp counter was set: an armed deadline means another time now. */
  tscChanged(): void {
    if (this.#timerMode === TIMER_MODE.TSC_DEADLINE) this.writeDeadline(this.state.deadlineLow, this.state.deadlineHigh);
  }

  #timerModeChanged(before: number): void {
    const modeBefore = (before >> 17) & 3;
    if (modeBefore === this.#timerMode) return;
    const { state } = this;
    if (modeBefore === TIMER_MODE.TSC_DEADLINE || this.#timerMode === TIMER_MODE.TSC_DEADLINE) {
      state.timerInitial = 0;
      state.deadlineLow = 0;
      state.deadlineHigh = 0;
      state.timerTick = Infinity;
    }
    this.#armTimer();
  }

  #timerExpired(): void {
    const { state } = this;
    state.ticks = (state.ticks + 1) % Number.MAX_SAFE_INTEGER;
    const entry = state.lvt[LVT.TIMER]!;
    if (this.#timerMode === TIMER_MODE.PERIODIC && state.timerInitial !== 0) {
      const now = this.wires.timers.now();
      const period = state.timerInitial * this.#divider;
      state.timerTick += period;
      state.timerTick += ticksToSkip(state.timerTick, now, period) * period;
      this.#timer.armAt(paceTick(state.timerTick, now, period));
    } else {
      state.timerTick = Infinity;
      state.deadlineLow = 0;
      state.deadlineHigh = 0;
    }
    if ((entry & LVT_MASKED) === 0) this.accept(entry & 0xff, false);
  }
}
