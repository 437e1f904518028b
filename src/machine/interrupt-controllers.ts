// The interrupt controllers of a board and how they know each other: the 8259s at the local APIC's LINT0, the I/O APIC's messages to
// the local APIC, and the ISA bus's lines at both. Wiring only; behaviour is in devices/intc.
import type { SystemBus } from '../bus/address-space.ts';
import { IsaBus } from '../bus/isa-bus.ts';
import { fanOut, notConnected, WiredOr } from '../bus/irq.ts';
import type { ResetTree } from '../bus/reset-tree.ts';
import { ApicBus } from '../devices/intc/apic-bus.ts';
import { IOAPIC_PINS, pcIoapic, type Ioapic } from '../devices/intc/ioapic.ts';
import { IsaPic } from '../devices/intc/isa-pic.ts';
import { LocalApic } from '../devices/intc/local-apic.ts';
import { LocalApicMsrs } from '../devices/intc/local-apic-registers.ts';
import type { IrqLine } from '../ports/irq-line.ts';
import type { BoardWires, OptionalParts } from './board.ts';

const PHYSICAL_ADDRESS_BITS = 40;
/** What an interrupt acknowledge cycle reads where nobody answers. */
const NO_VECTOR = 0xff;

export interface InterruptControllerWires extends Pick<BoardWires, 'cpu' | 'timers' | 'timeOfTsc'>, Pick<OptionalParts, 'pic'> {
  readonly bus: SystemBus;
}

export class InterruptControllers {
  readonly apic: LocalApic;
  readonly apicMsrs: LocalApicMsrs;
  readonly isa: IsaBus;
  readonly #apics: ApicBus;
  readonly #pic: IsaPic | undefined;
  readonly #ioapic: Ioapic;
  readonly #pins: readonly WiredOr[];

  constructor({ bus, cpu, timers, timeOfTsc, pic }: InterruptControllerWires) {
    this.#apics = new ApicBus(bus);
    this.#pic = pic ? new IsaPic(bus, { int: { set: (level) => this.apic.setLint(0, level) } }) : undefined;
    const acknowledgePic = (): number => this.#pic?.acknowledge() ?? NO_VECTOR;
    this.apic = new LocalApic({ id: 0, bootstrap: true, timers, cpu, messages: this.#apics, acknowledgePic, timeOfTsc });
    this.#apics.add(this.apic);
    this.apicMsrs = new LocalApicMsrs(this.apic, PHYSICAL_ADDRESS_BITS);
    const ioapic = pcIoapic(bus, { apics: this.#apics, acknowledgePic });
    this.#ioapic = ioapic;
    this.#pins = Array.from({ length: IOAPIC_PINS }, (_, n) => new WiredOr(ioapic.pin(n)));
    this.isa = new IsaBus(bus, timers, Array.from({ length: 16 }, (_, n) => this.#isaIrq(n)));
  }

  /** ISA interrupt n is the 8259s' request n and the I/O APIC's pin n, but for the PIT's, which is pin 2. */
  #isaIrq(n: number): IrqLine {
    if (n === 2) return notConnected;
    const pin = this.ioapicPin(n === 0 ? 2 : n);
    return this.#pic === undefined ? pin : fanOut(this.#pic.line(n), pin);
  }

  /** A driver's end of a pin of the I/O APIC. */
  ioapicPin(number: number): IrqLine {
    return this.#pins[number]!.input();
  }

  /** A memory write that is an interrupt (MSI, MSI-X). */
  sendMessage(address: number, data: number): void {
    this.#apics.sendMessage(address, data);
  }

  /** Behind everything that drives their lines, so that a reset leaves the lines' levels in them. */
  addTo(devices: ResetTree): void {
    devices.add('ioapic', this.#ioapic);
    if (this.#pic !== undefined) {
      devices.add('pic-slave', this.#pic.slave);
      devices.add('pic-master', this.#pic.master);
    }
    devices.add('apic', this.apic);
  }
}
