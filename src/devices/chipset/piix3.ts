// The ISA bridge of the PIIX3 (82371SB, function 0): routes PIRQA..D to ISA interrupts, and the reset control register.
// The ELCR is with the 8259s (intc/isa-pic.ts). Not the DMA controllers or the X-bus decoding.
import type { SystemBus } from '../../bus/address-space.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import type { PciBus } from '../../bus/pci-bus.ts';
import type { PciFunction } from '../../bus/pci-function.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import { array, bool, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { trace } from './trace.ts';

const PIRQ_ROUTE = 0x60;
const PIRQ_COUNT = 4;
const ROUTE_DISABLED = 0x80;
/** Interrupts that a PIRQ may be routed to: 3..7, 9..12, 14, 15. */
const ROUTABLE = 0b1101_1110_1111_1000;
const RESET_CONTROL = 0xcf9;
const RESET = { HARD: 2, CPU: 4 } as const;

export const piix3Header = {
  name: 'piix3',
  vendorId: 0x8086,
  deviceId: 0x7000,
  revision: 0,
  classCode: 0x06_0100,
  subsystemVendorId: 0x1af4,
  subsystemId: 0x1100,
  multiFunction: true,
  initial: {
    0x04: 0x07,
    0x06: 0x00,
    0x07: 0x02,
    0x4c: 0x4d,
    0x4e: 0x03,
    0x60: 0x80,
    0x61: 0x80,
    0x62: 0x80,
    0x63: 0x80,
    0x69: 0x02,
    0x70: 0x80,
  },
  writable: {
    0x04: 0x08,
    0x4c: 0xff,
    0x4e: 0xff,
    0x4f: 0x01,
    0x60: 0x8f,
    0x61: 0x8f,
    0x62: 0x8f,
    0x63: 0x8f,
    0x69: 0xff,
    0x6a: 0xd7,
    0x70: 0xef,
  },
} as const;

export const piix3State = defineState({
  kind: 'piix3',
  version: 1,
  fields: { resetControl: u8(), pirqs: array(bool(), PIRQ_COUNT) },
});
export type Piix3State = ReturnType<typeof piix3State.initial>;

export interface Piix3Wires {
  /** The ends of the ISA interrupts that this bridge drives, by number; those it cannot route to are never used. */
  readonly irqs: readonly IrqLine[];
  readonly reset: () => void;
}

export class Piix3 implements Device<Piix3State> {
  readonly schema = piix3State;
  state = piix3State.initial();
  readonly #wires: Piix3Wires;
  #bridge: PciFunction | undefined;

  constructor(wires: Piix3Wires) {
    this.#wires = wires;
  }

  /** Tells the chip its configuration space, which is a device of its own. */
  attach(bridge: PciFunction): void {
    this.#bridge = bridge;
    bridge.onConfig = (at, size) => {
      if (at < PIRQ_ROUTE + PIRQ_COUNT && at + size > PIRQ_ROUTE) this.#driveInterrupts();
    };
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = piix3State.initial();
    else this.settle();
  }

  settle(): void {
    this.#driveInterrupts();
  }

  pirq(number: number): IrqLine {
    return {
      set: (level) => {
        this.state.pirqs[number] = level;
        this.#driveInterrupts();
      },
    };
  }

  #driveInterrupts(): void {
    const { pirqs } = this.state;
    let high = 0;
    for (let pirq = 0; pirq < PIRQ_COUNT; pirq++) {
      const route = this.#bridge === undefined ? ROUTE_DISABLED : this.#bridge.byte(PIRQ_ROUTE + pirq);
      if (pirqs[pirq] === true && (route & ROUTE_DISABLED) === 0) high |= 1 << (route & 15);
    }
    for (let irq = 0; irq < this.#wires.irqs.length; irq++) {
      if ((ROUTABLE & (1 << irq)) !== 0) this.#wires.irqs[irq]!.set((high & (1 << irq)) !== 0);
    }
  }

  writeResetControl(value: number): void {
    trace.reset?.({ value });
    const rises = (value & ~this.state.resetControl & RESET.CPU) !== 0;
    this.state.resetControl = value & RESET.HARD;
    if (rises) this.#wires.reset();
  }
}

export interface Piix3Parts {
  readonly chip: Piix3;
  readonly bridge: PciFunction;
}

/** Plugs the chip in at 1.0 and at its port. The PIRQs of the PCI bus must lead to `chip.pirq(n)`. */
export function piix3(bus: SystemBus, pci: PciBus, chip: Piix3): Piix3Parts {
  const bridge = pci.add(1, 0, piix3Header);
  chip.attach(bridge);
  bus.claimPorts({
    base: RESET_CONTROL,
    size: 1,
    name: 'reset-control',
    priority: 1,
    read: () => chip.state.resetControl,
    write: (_at, _size, value) => chip.writeResetControl(value),
  });
  return { chip, bridge };
}
