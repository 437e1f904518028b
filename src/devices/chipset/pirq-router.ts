// The interrupt router of Intel's south bridges: leads PIRQs to the ISA interrupts that its route registers name, one in the
// configuration space of the bridge for each PIRQ (82371SB section 2.2.8, ICH9 section 13.1.17). What else a PIRQ leads to (a pin
// of the I/O APIC) is the chipset's wiring.
import type { Device, ResetPhase } from '../../bus/device.ts';
import type { PciFunction } from '../../bus/pci-function.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import { array, bool } from '../../state/fields.ts';
import { defineState, type StateSchema } from '../../state/define-state.ts';

const ROUTE_DISABLED = 0x80;
/** Interrupts that a PIRQ may be routed to: 3..7, 9..12, 14, 15. */
const ROUTABLE = 0b1101_1110_1111_1000;

export type PirqRouterState = { pirqs: boolean[] };

export interface PirqRouterWires {
  /** The ends of the ISA interrupts that this bridge drives, by number; those it cannot route to are never used. */
  readonly irqs: readonly IrqLine[];
  /** Where the route registers are in configuration space, by PIRQ. */
  readonly registers: readonly number[];
}

export class PirqRouter implements Device<PirqRouterState> {
  readonly schema: StateSchema<PirqRouterState>;
  state: PirqRouterState;
  readonly #wires: PirqRouterWires;
  #bridge: PciFunction | undefined;

  constructor(wires: PirqRouterWires) {
    this.#wires = wires;
    this.schema = defineState({ kind: 'pirq-router', version: 1, fields: { pirqs: array(bool(), wires.registers.length) } });
    this.state = this.schema.initial();
  }

  /** Tells the router whose configuration space has its registers. */
  attach(bridge: PciFunction): void {
    this.#bridge = bridge;
  }

  /** For the bridge, after a configuration write. */
  configChanged(at: number, size: number): void {
    if (this.#wires.registers.some((register) => register >= at && register < at + size)) this.settle();
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = this.schema.initial();
    else this.settle();
  }

  line(pirq: number): IrqLine {
    return {
      set: (level) => {
        this.state.pirqs[pirq] = level;
        this.settle();
      },
    };
  }

  settle(): void {
    const { irqs, registers } = this.#wires;
    const { pirqs } = this.state;
    let high = 0;
    for (let pirq = 0; pirq < registers.length; pirq++) {
      const route = this.#bridge === undefined ? ROUTE_DISABLED : this.#bridge.byte(registers[pirq]!);
      if (pirqs[pirq] === true && (route & ROUTE_DISABLED) === 0) high |= 1 << (route & 15);
    }
    for (let irq = 0; irq < irqs.length; irq++) {
      if ((ROUTABLE & (1 << irq)) !== 0) irqs[irq]!.set((high & (1 << irq)) !== 0);
    }
  }
}
