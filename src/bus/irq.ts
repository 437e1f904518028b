// Wiring of interrupt lines: several drivers on one wire, one driver to several receivers.
import type { IrqLine } from '../ports/irq-line.ts';

/** Several drivers share `target`: it is high while any of them is. Each call gives one driver's end. */
export class WiredOr {
  readonly #target: IrqLine;
  readonly #high = new Set<number>();
  #inputs = 0;

  constructor(target: IrqLine) {
    this.#target = target;
  }

  input(): IrqLine {
    const input = this.#inputs++;
    return {
      set: (level) => {
        if (level) this.#high.add(input);
        else this.#high.delete(input);
        // Always told on, never only changes: after a reset or a restore the receiver may have forgotten the level.
        this.#target.set(this.#high.size > 0);
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
