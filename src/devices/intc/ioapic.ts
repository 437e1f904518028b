// The I/O APIC: 24 pins, a redirection table, an EOI register (Intel 82093AA, version 0x20 as in later chipsets).
// QUIRK: the polarity bit is stored but not used: a wire says "asserted", whatever its level on a board would be.
import type { SystemBus } from '../../bus/address-space.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import { RegisterFile } from '../../bus/register-file.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import { u32, u8, words } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import type { ApicBus } from './apic-bus.ts';
import { DELIVERY } from './local-apic-state.ts';
import { trace } from './trace.ts';

export const IOAPIC_PINS = 24;
export const IOAPIC_BASE = 0xfec0_0000;
const VERSION = 0x20 | ((IOAPIC_PINS - 1) << 16);
const INDEX = { ID: 0, VERSION: 1, ARBITRATION: 2, TABLE: 0x10 } as const;
/** Low word of a redirection entry. */
const ENTRY = { LOGICAL: 0x800, STATUS: 0x1000, REMOTE_IRR: 0x4000, LEVEL: 0x8000, MASKED: 0x1_0000, WRITABLE: 0x1_afff } as const;

export const ioapicState = defineState({
  kind: 'ioapic', version: 1,
  fields: { id: u8(0, 15), select: u8(), inputs: u32(0, 0xff_ffff), low: words(IOAPIC_PINS, ENTRY.MASKED), high: words(IOAPIC_PINS) },
});
export type IoapicState = ReturnType<typeof ioapicState.initial>;

export interface IoapicWires {
  readonly apics: ApicBus;
  readonly acknowledgePic: () => number;
}

export class Ioapic implements Device<IoapicState> {
  readonly schema = ioapicState;
  state = ioapicState.initial();
  readonly #wires: IoapicWires;

  constructor(wires: IoapicWires) {
    this.#wires = wires;
    wires.apics.onEndOfInterrupt((vector) => this.endOfInterrupt(vector));
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = ioapicState.initial();
    else this.settle();
  }

  settle(): void {
    for (let pin = 0; pin < IOAPIC_PINS; pin++) this.#serviceLevel(pin);
  }

  pin(number: number): IrqLine {
    return { set: (level) => this.setPin(number, level) };
  }

  setPin(pin: number, level: boolean): void {
    const { state } = this;
    const bit = 1 << pin;
    const before = (state.inputs & bit) !== 0;
    if (before === level) return;
    state.inputs ^= bit;
    if (!level) return;
    const entry = state.low[pin]!;
    if ((entry & ENTRY.LEVEL) !== 0) this.#serviceLevel(pin);
    else if ((entry & ENTRY.MASKED) === 0) this.#send(pin); // an edge while masked is lost
  }

  /** A level-triggered pin sends again while it is asserted and the last one was ended. */
  #serviceLevel(pin: number): void {
    const { state } = this;
    const entry = state.low[pin]!;
    const ready = (entry & (ENTRY.MASKED | ENTRY.REMOTE_IRR)) === 0;
    if ((entry & ENTRY.LEVEL) === 0 || (state.inputs & (1 << pin)) === 0 || !ready) return;
    const mode = (entry >> 8) & 7;
    if (mode === DELIVERY.FIXED || mode === DELIVERY.LOWEST) state.low[pin] = entry | ENTRY.REMOTE_IRR;
    this.#send(pin);
  }

  #send(pin: number): void {
    const entry = this.state.low[pin]!;
    const destination = this.state.high[pin]! >>> 24;
    const mode = (entry >> 8) & 7;
    const vector = mode === DELIVERY.EXTINT ? this.#wires.acknowledgePic() : entry & 0xff;
    trace.ioapicDeliver?.({ pin, vector, mode, destination });
    const fixed = mode === DELIVERY.EXTINT ? DELIVERY.FIXED : mode;
    this.#wires.apics.deliver(destination, (entry & ENTRY.LOGICAL) !== 0, fixed, vector, (entry & ENTRY.LEVEL) !== 0);
  }

  endOfInterrupt(vector: number): void {
    const { low } = this.state;
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      const entry = low[pin]!;
      if ((entry & 0xff) !== vector || (entry & ENTRY.REMOTE_IRR) === 0) continue;
      low[pin] = entry & ~ENTRY.REMOTE_IRR;
      trace.ioapicEoi?.({ pin, vector });
      this.#serviceLevel(pin);
    }
  }

  /** For the register rows. */
  readIndexed(): number {
    const { state } = this;
    switch (state.select) {
      case INDEX.ID:
      case INDEX.ARBITRATION:
        return (state.id << 24) >>> 0;
      case INDEX.VERSION:
        return VERSION;
      default: {
        const index = state.select - INDEX.TABLE;
        if (index < 0 || index >= 2 * IOAPIC_PINS) return 0;
        return ((index & 1) === 0 ? state.low : state.high)[index >> 1]!;
      }
    }
  }

  /** For the register rows. */
  writeIndexed(value: number): void {
    const { state } = this;
    const index = state.select - INDEX.TABLE;
    if (state.select === INDEX.ID) state.id = (value >>> 24) & 15;
    else if (index >= 0 && index < 2 * IOAPIC_PINS) {
      if ((index & 1) === 0) this.#writeLow(index >> 1, value);
      else state.high[index >> 1] = (value & 0xff00_0000) >>> 0;
    }
  }

  /** Remote IRR is the hardware's; making an entry edge triggered clears it, which old systems use as an EOI. */
  #writeLow(pin: number, value: number): void {
    const { low } = this.state;
    const remote = (value & ENTRY.LEVEL) !== 0 ? low[pin]! & ENTRY.REMOTE_IRR : 0;
    low[pin] = (value & ENTRY.WRITABLE) | remote;
    this.#serviceLevel(pin);
  }
}

// prettier-ignore
export const ioapicRegisters = new RegisterFile<Ioapic>('ioapic', 4, [
  { at: 0x00, name: 'IOREGSEL', field: 'select', writable: 0xff },
  { at: 0x10, name: 'IOWIN', read: (ioapic) => ioapic.readIndexed(), write: (ioapic, value) => ioapic.writeIndexed(value) },
  { at: 0x40, name: 'EOI', read: () => 0, write: (ioapic, value) => ioapic.endOfInterrupt(value & 0xff) },
]);

/** The PC's I/O APIC at its page. */
export function pcIoapic(bus: SystemBus, wires: IoapicWires): Ioapic {
  const ioapic = new Ioapic(wires);
  bus.claimMmio({
    base: IOAPIC_BASE, size: 0x1000, name: 'ioapic', widthMax: 4, registers: ioapicRegisters,
    read: (at, size) => ioapicRegisters.read(ioapic, at, size),
    // The index is often written as a byte; registers are 32 bits wide.
    write: (at, size, value) => ioapicRegisters.write(ioapic, at, value, at === 0 ? 4 : size),
  });
  return ioapic;
}
