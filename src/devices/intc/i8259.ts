// The 8259A programmable interrupt controller: one chip, all modes of the 8086 (Intel 231468-003). The PC's pair with
// its cascade and the ELCR of the PIIX3 is in isa-pic.ts. MCS-80 vectors (CALL sequences) are not there.
import { RegisterFile } from '../../bus/register-file.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import { bool, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { trace } from './trace.ts';

const ICW1 = { ICW4: 0x01, SINGLE: 0x02, LEVEL: 0x08, INITIALIZE: 0x10 } as const;
const ICW4 = { AUTO_EOI: 0x02, FULLY_NESTED: 0x10 } as const;
const OCW3 = { SELECT: 0x08, READ_ISR: 0x01, READ: 0x02, POLL: 0x04, SPECIAL_MASK: 0x20, SET_SPECIAL_MASK: 0x40 } as const;
/** OCW2 commands: bits 7..5 (R, SL, EOI). */
const OCW2 = {
  CLEAR_ROTATE_AUTO: 0,
  EOI: 1,
  SPECIFIC_EOI: 3,
  SET_ROTATE_AUTO: 4,
  ROTATE_EOI: 5,
  SET_PRIORITY: 6,
  ROTATE_SPECIFIC_EOI: 7,
} as const;
const NONE = 8;
const SPURIOUS = 7;

export const i8259State = defineState({
  kind: 'i8259',
  version: 1,
  fields: {
    irr: u8(),
    imr: u8(),
    isr: u8(),
    elcr: u8(),
    inputs: u8(), // levels of the request pins, to see edges
    icw1: u8(),
    icw2: u8(),
    icw3: u8(),
    icw4: u8(),
    initStep: u8(0, 3), // the initialisation word expected at the odd port: 0 none, 1 ICW2, 2 ICW3, 3 ICW4
    lowest: u8(7, 7), // the request with the lowest priority
    readIsr: bool(),
    poll: bool(),
    specialMask: bool(),
    rotateOnAutoEoi: bool(),
  },
});
export type I8259State = ReturnType<typeof i8259State.initial>;

export interface I8259Wires {
  readonly int: IrqLine;
  /** The request that a second chip is wired to, else 8. */
  readonly cascade: number;
  /** Requests that the ELCR can make level triggered. */
  readonly elcrMask: number;
}

export class I8259 implements Device<I8259State> {
  readonly schema = i8259State;
  state = i8259State.initial();
  readonly #wires: I8259Wires;

  constructor(wires: I8259Wires) {
    this.#wires = wires;
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = i8259State.initial();
    else this.settle();
  }

  settle(): void {
    this.#wires.int.set(this.#requested() !== NONE);
  }

  /** Bit n set: request n is level triggered. */
  get #levels(): number {
    return (this.state.icw1 & ICW1.LEVEL) !== 0 ? 0xff : this.state.elcr;
  }

  setInput(request: number, level: boolean): void {
    const { state } = this;
    const bit = 1 << request;
    const before = (state.inputs & bit) !== 0;
    if (level === before) return;
    state.inputs ^= bit;
    if (level) state.irr |= bit;
    else if (((this.#levels | (1 << this.#wires.cascade)) & bit) !== 0) state.irr &= ~bit; // the second chip withdrew its request
    this.settle();
  }

  /** The processor takes the interrupt: the request with the highest priority, or a spurious 7. */
  acknowledgeRequest(): number {
    const { state } = this;
    const request = this.#requested();
    if (request === NONE) return SPURIOUS;
    const bit = 1 << request;
    if ((this.#levels & bit) === 0) state.irr &= ~bit;
    if ((state.icw4 & ICW4.AUTO_EOI) === 0) state.isr |= bit;
    else if (state.rotateOnAutoEoi) state.lowest = request;
    this.settle();
    return request;
  }

  vectorOf(request: number): number {
    return (this.state.icw2 & 0xf8) | request;
  }

  writeElcr(value: number): void {
    const { state } = this;
    state.elcr = value & this.#wires.elcrMask;
    state.irr |= state.inputs & state.elcr;
    this.settle();
  }

  /** The bit of highest priority in a set of requests, NONE when empty. */
  #highest(set: number): number {
    for (let step = 1; step <= 8; step++) {
      const request = (this.state.lowest + step) & 7;
      if ((set & (1 << request)) !== 0) return request;
    }
    return NONE;
  }

  #rank(request: number): number {
    return request === NONE ? NONE : (request - this.state.lowest + 7) & 7;
  }

  /** The request to present to the processor: unmasked and above what is in service. */
  #requested(): number {
    const { state } = this;
    const request = this.#highest(state.irr & ~state.imr);
    if (request === NONE) return NONE;
    let inService = state.specialMask ? state.isr & ~state.imr : state.isr;
    // Fully nested: a second request through the cascade may interrupt the service of the first.
    if ((state.icw4 & ICW4.FULLY_NESTED) !== 0 && this.#wires.cascade !== NONE) inService &= ~(1 << this.#wires.cascade);
    return this.#rank(request) < this.#rank(this.#highest(inService)) ? request : NONE;
  }

  /** For the register rows. */
  readRegister(odd: boolean): number {
    const { state } = this;
    if (state.poll) {
      state.poll = false;
      const pending = this.#requested() !== NONE;
      return pending ? 0x80 | this.acknowledgeRequest() : 0;
    }
    if (odd) return state.imr;
    return state.readIsr ? state.isr : state.irr;
  }

  /** For the register rows: ICW1, OCW2 or OCW3. */
  writeEven(value: number): void {
    trace.picWrite?.({ register: 'even', value });
    if ((value & ICW1.INITIALIZE) !== 0) this.#initialize(value);
    else if ((value & OCW3.SELECT) !== 0) this.#operation3(value);
    else this.#operation2(value >> 5, value & 7);
    this.settle();
  }

  /** For the register rows: the mask, or the next initialisation word. */
  writeOdd(value: number): void {
    const { state } = this;
    trace.picWrite?.({ register: 'odd', value });
    switch (state.initStep) {
      case 1:
        state.icw2 = value;
        state.initStep = (state.icw1 & ICW1.SINGLE) === 0 ? 2 : this.#stepAfterCascade();
        break;
      case 2:
        state.icw3 = value;
        state.initStep = this.#stepAfterCascade();
        break;
      case 3:
        state.icw4 = value;
        state.initStep = 0;
        break;
      default:
        state.imr = value;
    }
    this.settle();
  }

  #stepAfterCascade(): number {
    return (this.state.icw1 & ICW1.ICW4) !== 0 ? 3 : 0;
  }

  #initialize(value: number): void {
    const { elcr, inputs } = this.state;
    // Edge detection starts anew: only level-triggered requests that are high now remain.
    this.state = { ...i8259State.initial(), elcr, inputs, icw1: value, initStep: 1 };
    this.state.irr = inputs & this.#levels;
  }

  #operation3(value: number): void {
    const { state } = this;
    if ((value & OCW3.POLL) !== 0) state.poll = true;
    if ((value & OCW3.READ) !== 0) state.readIsr = (value & OCW3.READ_ISR) !== 0;
    if ((value & OCW3.SET_SPECIAL_MASK) !== 0) state.specialMask = (value & OCW3.SPECIAL_MASK) !== 0;
  }

  #operation2(command: number, request: number): void {
    const { state } = this;
    switch (command) {
      case OCW2.CLEAR_ROTATE_AUTO:
      case OCW2.SET_ROTATE_AUTO:
        state.rotateOnAutoEoi = command === OCW2.SET_ROTATE_AUTO;
        break;
      case OCW2.EOI:
      case OCW2.ROTATE_EOI: {
        const served = this.#highest(state.specialMask ? state.isr & ~state.imr : state.isr);
        if (served === NONE) break;
        state.isr &= ~(1 << served);
        if (command === OCW2.ROTATE_EOI) state.lowest = served;
        break;
      }
      case OCW2.SPECIFIC_EOI:
      case OCW2.ROTATE_SPECIFIC_EOI:
        state.isr &= ~(1 << request);
        if (command === OCW2.ROTATE_SPECIFIC_EOI) state.lowest = request;
        break;
      case OCW2.SET_PRIORITY:
        state.lowest = request;
        break;
      default: // no operation
    }
  }
}

// prettier-ignore
export const i8259Registers = new RegisterFile<I8259>('i8259', 1, [
  { at: 0, name: 'IRR/ISR, ICW1/OCW2/OCW3', read: (pic) => pic.readRegister(false), write: (pic, value) => pic.writeEven(value) },
  { at: 1, name: 'IMR, ICW2..4',            read: (pic) => pic.readRegister(true),  write: (pic, value) => pic.writeOdd(value) },
]);

export const elcrRegisters = new RegisterFile<I8259>('elcr', 1, [
  { at: 0, name: 'ELCR', field: 'elcr', write: (pic, value) => pic.writeElcr(value) },
]);
