// The PC's two 8259As: master at 0x20, slave at 0xa0 on the master's request 2, trigger modes (ELCR) at 0x4d0.
import { assert } from '../../base/assert.ts';
import type { SystemBus } from '../../bus/address-space.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import { elcrRegisters, I8259, i8259Registers } from './i8259.ts';
import { trace } from './trace.ts';

const CASCADE = 2;
const NO_CASCADE = 8;

export interface IsaPicOptions {
  /** The processor's interrupt pin, or LINT0 of its local APIC. */
  readonly int: IrqLine;
}

export class IsaPic {
  readonly master: I8259;
  readonly slave: I8259;

  constructor(bus: SystemBus, { int }: IsaPicOptions) {
    this.master = new I8259({ int, cascade: CASCADE, elcrMask: 0xf8 });
    this.slave = new I8259({ int: { set: (level) => this.master.setInput(CASCADE, level) }, cascade: NO_CASCADE, elcrMask: 0xde });
    this.#claim(bus, this.master, 0x20, 0x4d0, 'pic-master');
    this.#claim(bus, this.slave, 0xa0, 0x4d1, 'pic-slave');
  }

  #claim(bus: SystemBus, chip: I8259, base: number, elcr: number, name: string): void {
    bus.claimPorts({
      base, size: 2, name, registers: i8259Registers,
      read: (at) => i8259Registers.read(chip, at), write: (at, _size, value) => i8259Registers.write(chip, at, value),
    });
    bus.claimPorts({
      base: elcr, size: 1, name: `${name}-elcr`, registers: elcrRegisters,
      read: (at) => elcrRegisters.read(chip, at), write: (at, _size, value) => elcrRegisters.write(chip, at, value),
    });
  }

  /** Interrupt request 0..15; 2 is the cascade and no pin. */
  line(request: number): IrqLine {
    assert(request >= 0 && request < 16, 'an interrupt request of the PIC');
    if (request === CASCADE) return { set: () => {} };
    return request < 8
      ? { set: (level) => this.master.setInput(request, level) }
      : { set: (level) => this.slave.setInput(request - 8, level) };
  }

  /** The processor's interrupt acknowledge cycle: the vector. */
  acknowledge(): number {
    const request = this.master.acknowledgeRequest();
    const fromSlave = request === CASCADE && (this.master.state.icw1 & 2) === 0;
    const vector = fromSlave ? this.slave.vectorOf(this.slave.acknowledgeRequest()) : this.master.vectorOf(request);
    trace.picAcknowledge?.({ vector });
    return vector;
  }
}
