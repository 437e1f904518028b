// System control port A (0x92): the fast A20 gate and the fast reset of the PS/2 and every PC since.
import type { SystemBus } from '../../bus/address-space.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import { RegisterFile } from '../../bus/register-file.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import { u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';

const BIT = { RESET: 1, A20: 2 } as const;

// QUIRK: address line 20 is open from reset on, as firmware leaves it.
export const port92State = defineState({ kind: 'port92', version: 1, fields: { value: u8(BIT.A20) } });
export type Port92State = ReturnType<typeof port92State.initial>;

export interface Port92Wires {
  /** High: address line 20 is passed. The board joins it with the keyboard controller's. */
  readonly a20: IrqLine;
  readonly reset: () => void;
}

export class Port92 implements Device<Port92State> {
  readonly schema = port92State;
  state = port92State.initial();
  readonly #wires: Port92Wires;

  constructor(wires: Port92Wires) {
    this.#wires = wires;
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = port92State.initial();
    else this.settle();
  }

  settle(): void {
    this.#wires.a20.set((this.state.value & BIT.A20) !== 0);
  }

  /** A rising reset bit pulses the reset line; it reads back as written. */
  write(value: number): void {
    const pulse = (value & ~this.state.value & BIT.RESET) !== 0;
    this.state.value = value;
    this.settle();
    if (pulse) this.#wires.reset();
  }
}

export const port92Registers = new RegisterFile<Port92>('port92', 1, [
  { at: 0, name: 'PORT_A', field: 'value', write: (port, value) => port.write(value) },
]);

export function isaPort92(bus: SystemBus, wires: Port92Wires): Port92 {
  const port = new Port92(wires);
  bus.claimPorts({
    base: 0x92, size: 1, name: 'port92', registers: port92Registers,
    read: (at) => port92Registers.read(port, at), write: (at, _size, value) => port92Registers.write(port, at, value),
  });
  return port;
}
