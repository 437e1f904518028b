// The ISA bus as its cards see it: ports, memory and sixteen shared interrupt lines.
import { assert } from '../base/assert.ts';
import type { IrqLine } from '../ports/irq-line.ts';
import type { Timers } from '../ports/clock.ts';
import type { Claim, Region, SystemBus } from './address-space.ts';
import { WiredOr } from './irq.ts';

export const ISA_IRQ_COUNT = 16;

export class IsaBus {
  readonly timers: Timers;
  readonly #bus: SystemBus;
  readonly #irqs: readonly WiredOr[];

  /** `irqs[n]` receives interrupt n: the PIC's input, the I/O APIC's too. */
  constructor(bus: SystemBus, timers: Timers, irqs: readonly IrqLine[]) {
    assert(irqs.length === ISA_IRQ_COUNT, 'an ISA bus has sixteen interrupt lines');
    this.#bus = bus;
    this.timers = timers;
    this.#irqs = irqs.map((line) => new WiredOr(line));
  }

  claimPorts(region: Region): Claim {
    return this.#bus.claimPorts(region);
  }

  claimMmio(region: Region): Claim {
    return this.#bus.claimMmio(region);
  }

  /** A driver's end of interrupt line `number`. */
  irq(number: number): IrqLine {
    const line = this.#irqs[number];
    assert(line !== undefined, `ISA interrupt ${number} exists`);
    return line.input();
  }
}
