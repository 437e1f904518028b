// pc-testdev: what test guests use to poke at a machine: a 32-bit scratch register at 0xe0 and 0xe8, interrupt lines at
// 0x2000, a page flush request at 0xe4 (nothing to do here), scratch memory on the bus at 0xff000000.
import { RegisterFile } from '../../bus/register-file.ts';
import type { SystemBus } from '../../bus/address-space.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import { bytes, u32 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';

const LINE_COUNT = 24;
const SCRATCH_BASE = 0xff00_0000;
const SCRATCH_BYTES = 0x1_0000;

export const pcTestdevState = defineState({
  kind: 'pc-testdev',
  version: 1,
  fields: { data: u32(), lines: u32(0, 2 ** LINE_COUNT - 1), scratch: bytes(SCRATCH_BYTES) },
});
export type PcTestdevState = ReturnType<typeof pcTestdevState.initial>;

export interface PcTestdevWires {
  /** Interrupt lines by number; fewer than 24 are fine. */
  readonly irqs: readonly IrqLine[];
}

export class PcTestdev implements Device<PcTestdevState> {
  readonly schema = pcTestdevState;
  state = pcTestdevState.initial();
  readonly #wires: PcTestdevWires;

  constructor(wires: PcTestdevWires) {
    this.#wires = wires;
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = pcTestdevState.initial();
    else this.settle();
  }

  settle(): void {
    this.#wires.irqs.forEach((line, index) => line.set((this.state.lines & (1 << index)) !== 0));
  }

  setLine(index: number, level: boolean): void {
    const bit = 1 << index;
    this.state.lines = level ? this.state.lines | bit : this.state.lines & ~bit;
    this.#wires.irqs[index]?.set(level);
  }

  /** Bytes of the 32-bit register, from byte `at`. */
  readData(at: number, size: number): number {
    return (this.state.data >>> (8 * at)) & (size === 4 ? ~0 : (1 << (8 * size)) - 1);
  }

  writeData(at: number, size: number, value: number): void {
    const mask = size === 4 ? 0xffff_ffff : ((1 << (8 * size)) - 1) << (8 * at);
    this.state.data = ((this.state.data & ~mask) | ((value << (8 * at)) & mask)) >>> 0;
  }

  readScratch(at: number, size: number): number {
    let value = 0;
    for (let index = 0; index < size; index++) value |= this.state.scratch[at + index]! << (8 * index);
    return value >>> 0;
  }

  writeScratch(at: number, size: number, value: number): void {
    for (let index = 0; index < size; index++) this.state.scratch[at + index] = value >>> (8 * index);
  }
}

const lineRegisters = new RegisterFile<PcTestdev>(
  'pc-testdev-irq',
  1,
  Array.from({ length: LINE_COUNT }, (_, at) => ({
    at,
    name: `IRQ${at}`,
    write: (device: PcTestdev, value: number) => device.setLine(at, value !== 0),
  })),
);

export function pcTestdev(bus: SystemBus, wires: PcTestdevWires): PcTestdev {
  const device = new PcTestdev(wires);
  const data = {
    read: (at: number, size: number) => device.readData(at, size),
    write: (at: number, size: number, value: number) => device.writeData(at, size, value),
  };
  bus.claimPorts({ base: 0xe0, size: 4, name: 'testdev-data', widthMax: 4, ...data });
  bus.claimPorts({ base: 0xe4, size: 4, name: 'testdev-flush', widthMax: 4, read: () => 0, write: () => {} });
  bus.claimPorts({ base: 0xe8, size: 4, name: 'testdev-bytes', widthMax: 1, ...data });
  bus.claimPorts({
    base: 0x2000,
    size: LINE_COUNT,
    name: 'testdev-irq',
    widthMax: 4,
    registers: lineRegisters,
    read: () => 0,
    write: (at, _size, value) => lineRegisters.write(device, at, value),
  });
  bus.claimMmio({
    base: SCRATCH_BASE,
    size: SCRATCH_BYTES,
    name: 'testdev-memory',
    widthMax: 4,
    read: (at, size) => device.readScratch(at, size),
    write: (at, size, value) => device.writeScratch(at, size, value),
  });
  return device;
}
