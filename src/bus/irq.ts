// Wiring of interrupt lines: several drivers on one wire, one driver to several receivers.
import { assert } from '../base/assert.ts';
import type { IrqLine } from '../ports/irq-line.ts';

const INPUTS_MAX = 32;

/** Several drivers share `target`: it is high while any of them is. Each call gives one driver's end. */
export class WiredOr {
  readonly #target: IrqLine;
  /** Bit n: input n is high. */
  #high = 0;
  #inputs = 0;

  constructor(target: IrqLine) {
    this.#target = target;
  }

  input(): IrqLine {
    assert(this.#inputs < INPUTS_MAX, 'few enough drivers on an interrupt line');
    const bit = 1 << this.#inputs++;
    return {
      set: (level) => {
        this.#high = level ? this.#high | bit : this.#high & ~bit;
        // Always told on, never only changes: after a reset or a restore the receiver may have forgotten the level.
        this.#target.set(this.#high !== 0);
      },
    };
  }
}

/** One wire with several ends. */
export function fanOut(...targets: readonly IrqLine[]): IrqLine {
  const [first, second] = targets;
  if (first !== undefined && second !== undefined && targets.length === 2) {
    return {
      set: (level) => {
        first.set(level);
        second.set(level);
      },
    };
  }
  return { set: (level) => targets.forEach((target) => target.set(level)) };
}

/** An output that leads nowhere. */
export const notConnected: IrqLine = { set: () => {} };
