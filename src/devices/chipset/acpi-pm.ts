// ACPI fixed hardware of Intel's chipsets: PM1a event and control blocks, the 24-bit PM timer, GPE0, the SMI command port (ACPI
// specification 6.5, chapter 4.8). No SMM: the commands that firmware's handler would take are done here. Where the blocks lie
// and what else they hold is the chipset's: piix4-pm.ts, ich9-lpc.ts.
import type { SystemBus } from '../../bus/address-space.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import { RegisterFile, type RegisterRow } from '../../bus/register-file.ts';
import type { Timer, Timers } from '../../ports/clock.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import { u16, u32, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { Frequency } from '../timer/frequency.ts';
import { trace } from './trace.ts';

export const ACPI = {
  /** Where firmware puts the PM block. */
  PM_BASE: 0x600,
  SMI_COMMAND: 0xb2,
  SCI_IRQ: 9,
} as const;
const PM1 = { TIMER: 0x0001, GLOBAL: 0x0020, POWER_BUTTON: 0x0100, SLEEP_BUTTON: 0x0200, RTC: 0x0400, WAKE: 0x8000 } as const;
const STATUS_W1C = PM1.TIMER | PM1.GLOBAL | PM1.POWER_BUTTON | PM1.SLEEP_BUTTON | PM1.RTC | PM1.WAKE;
const ENABLES = PM1.TIMER | PM1.GLOBAL | PM1.POWER_BUTTON | PM1.SLEEP_BUTTON | PM1.RTC;
const CONTROL = { SCI_ENABLE: 1, SLEEP_ENABLE: 0x2000, SLEEP_TYPE_SHIFT: 10, WRITABLE: 0x1c07 } as const;
const GPE_BYTES = 2;
/** Values of SLP_TYP, as the DSDT's \_S5, \_S3 and \_S4 objects give them. */
export const SLEEP_TYPE = { S5: 0, S3: 1, S4: 2 } as const;

const pmClock = new Frequency(3_579_545);
const TIMER_MODULUS = 2 ** 24;
/** The status bit is set when the highest bit of the timer changes. */
const TIMER_HALF = 2 ** 23;

export const acpiPmState = defineState({
  kind: 'acpi-pm',
  version: 1,
  fields: {
    status: u16(),
    enable: u16(),
    control: u16(),
    smiCommand: u8(),
    smiStatus: u8(),
    gpeStatus: u16(),
    gpeEnable: u16(),
    timerHalf: u32(), // which half-turn of the timer the status bit is accounted for
  },
});
export type AcpiPmState = ReturnType<typeof acpiPmState.initial>;

export interface AcpiPmWires {
  /** What the guest writes to the SMI command port to switch ACPI on and off. */
  readonly commands: { readonly enable: number; readonly disable: number };
  readonly timers: Timers;
  readonly sci: IrqLine;
  /** The guest enters a sleep state: SLEEP_TYPE.S5 is soft off. */
  readonly sleep: (type: number) => void;
}

export class AcpiPm implements Device<AcpiPmState> {
  readonly schema = acpiPmState;
  state = acpiPmState.initial();
  readonly #wires: AcpiPmWires;
  readonly #overflow: Timer;

  constructor(wires: AcpiPmWires) {
    this.#wires = wires;
    this.#overflow = wires.timers.createTimer(() => {
      this.#accountTimer();
      this.settle();
    }, 'acpi-pm');
    this.state.timerHalf = this.#half();
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') {
      this.state = acpiPmState.initial();
      this.state.timerHalf = this.#half();
    } else this.settle();
  }

  settle(): void {
    const { state } = this;
    const fixed = (state.status & state.enable & ENABLES) !== 0;
    const general = (state.gpeStatus & state.gpeEnable) !== 0;
    this.#wires.sci.set((state.control & CONTROL.SCI_ENABLE) !== 0 && (fixed || general));
    if ((state.enable & PM1.TIMER) !== 0 && (state.status & PM1.TIMER) === 0) {
      this.#overflow.armAt(pmClock.nanoseconds((state.timerHalf + 1) * TIMER_HALF));
    } else this.#overflow.disarm();
  }

  #half(): number {
    return Math.floor(pmClock.ticks(this.#wires.timers.now()) / TIMER_HALF) >>> 0;
  }

  #accountTimer(): void {
    const half = this.#half();
    if (half === this.state.timerHalf) return;
    this.state.timerHalf = half;
    this.state.status |= PM1.TIMER;
  }

  /** The user pressed the power button. */
  pressPowerButton(): void {
    this.state.status |= PM1.POWER_BUTTON;
    this.settle();
  }

  /** A general-purpose event (hot plug) happened. */
  raiseGpe(event: number): void {
    this.state.gpeStatus |= 1 << event;
    this.settle();
  }

  clearGpeStatus(ones: number): void {
    this.state.gpeStatus &= ~ones;
    this.settle();
  }

  writeGpeEnable(value: number): void {
    this.state.gpeEnable = value;
    this.settle();
  }

  readTimer(): number {
    return pmClock.ticks(this.#wires.timers.now()) % TIMER_MODULUS;
  }

  writeEnable(value: number): void {
    this.#accountTimer();
    this.state.enable = value & ENABLES;
    this.settle();
  }

  readStatus(): number {
    this.#accountTimer();
    return this.state.status;
  }

  clearStatus(ones: number): void {
    this.#accountTimer();
    this.state.status &= ~(ones & STATUS_W1C);
    trace.pmStatus?.({ status: this.state.status, enable: this.state.enable });
    this.settle();
  }

  writeControl(value: number): void {
    trace.pmControl?.({ value });
    this.state.control = value & CONTROL.WRITABLE;
    this.settle();
    if ((value & CONTROL.SLEEP_ENABLE) !== 0) this.#wires.sleep((value >> CONTROL.SLEEP_TYPE_SHIFT) & 7);
  }

  writeSmiCommand(value: number): void {
    trace.smiCommand?.({ value });
    const { state } = this;
    state.smiCommand = value;
    const { enable, disable } = this.#wires.commands;
    if (value === enable) state.control |= CONTROL.SCI_ENABLE;
    else if (value === disable) state.control &= ~CONTROL.SCI_ENABLE;
    this.settle();
  }
}

export const pm1Registers = new RegisterFile<AcpiPm>('acpi-pm', 2, [
  { at: 0, name: 'PM1_STATUS', read: (pm) => pm.readStatus(), write: (pm, value) => pm.clearStatus(value) },
  { at: 2, name: 'PM1_ENABLE', field: 'enable', write: (pm, value) => pm.writeEnable(value) },
  { at: 4, name: 'PM1_CONTROL', field: 'control', write: (pm, value) => pm.writeControl(value) },
  { at: 6, name: 'RESERVED', constant: 0 },
]);

const TIMER_OFFSET = 8;
/** Bytes of the PM1 registers and the timer, at the start of the PM block. */
export const PM1_BYTES = 12;

/** The PM1 registers, 16 bits each, and the 32-bit timer. Byte writes change half a register. */
export function readPm1(pm: AcpiPm, at: number, size: number): number {
  if (at >= TIMER_OFFSET && at < TIMER_OFFSET + 4)
    return (pm.readTimer() >>> (8 * (at - TIMER_OFFSET))) & (size === 4 ? ~0 : (1 << (8 * size)) - 1);
  if (at >= TIMER_OFFSET) return 0;
  const low = pm1Registers.read(pm, at & ~1);
  if (size === 4) return low | ((at & ~1) + 2 < TIMER_OFFSET ? pm1Registers.read(pm, (at & ~1) + 2) << 16 : 0);
  return size === 2 ? low : (low >> (8 * (at & 1))) & 0xff;
}

export function writePm1(pm: AcpiPm, at: number, size: number, value: number): void {
  if (at >= TIMER_OFFSET) return;
  const register = at & ~1;
  if (size === 1) {
    // The other half of the status register must not be cleared by the write.
    const kept = register === 0 ? 0 : pm1Registers.read(pm, register) & (0xff << (8 - 8 * (at & 1)));
    pm1Registers.write(pm, register, kept | (value << (8 * (at & 1))));
    return;
  }
  pm1Registers.write(pm, register, value & 0xffff);
  if (size === 4 && register + 2 < TIMER_OFFSET) pm1Registers.write(pm, register + 2, value >>> 16);
}

/** GPE0: status bytes, then as many enable bytes; events beyond the sixteen that exist read as zero. */
export function gpe0Registers(halfBytes: number): RegisterFile<AcpiPm> {
  const rows = Array.from({ length: halfBytes }, (_, index): RegisterRow<AcpiPm>[] => {
    if (index >= GPE_BYTES) {
      return [
        { at: index, name: `GPE0_STATUS_${index}`, constant: 0 },
        { at: halfBytes + index, name: `GPE0_ENABLE_${index}`, constant: 0 },
      ];
    }
    const shift = 8 * index;
    return [
      {
        at: index, name: `GPE0_STATUS_${index}`, read: (pm) => (pm.state.gpeStatus >> shift) & 0xff,
        write: (pm, value) => pm.clearGpeStatus(value << shift),
      },
      {
        at: halfBytes + index, name: `GPE0_ENABLE_${index}`, read: (pm) => (pm.state.gpeEnable >> shift) & 0xff,
        write: (pm, value) => pm.writeGpeEnable((pm.state.gpeEnable & ~(0xff << shift)) | (value << shift)),
      },
    ];
  });
  return new RegisterFile<AcpiPm>('gpe0', 1, rows.flat());
}

export const smiRegisters = new RegisterFile<AcpiPm>('smi-command', 1, [
  { at: 0, name: 'APM_CONTROL', field: 'smiCommand', write: (pm, value) => pm.writeSmiCommand(value) },
  { at: 1, name: 'APM_STATUS', field: 'smiStatus', writable: 0xff },
]);

/** The ports by which a guest asks firmware's SMI handler for something. */
export function claimSmiCommand(bus: SystemBus, pm: AcpiPm): void {
  bus.claimPorts({
    base: ACPI.SMI_COMMAND,
    size: 2,
    name: 'smi-command',
    registers: smiRegisters,
    read: (at) => smiRegisters.read(pm, at),
    write: (at, _size, value) => smiRegisters.write(pm, at, value),
  });
}
