// The reset control register of Intel's south bridges at port CF9 (82371SB section 2.5.4.2, ICH9 section 13.7.5).
import type { SystemBus } from '../../bus/address-space.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import { u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { trace } from './trace.ts';

const PORT = 0xcf9;
const RESET = { HARD: 2, CPU: 4 } as const;

export const resetControlState = defineState({ kind: 'reset-control', version: 1, fields: { value: u8() } });
export type ResetControlState = ReturnType<typeof resetControlState.initial>;

export class ResetControl implements Device<ResetControlState> {
  readonly schema = resetControlState;
  state = resetControlState.initial();
  readonly #reset: () => void;

  constructor(reset: () => void) {
    this.#reset = reset;
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = resetControlState.initial();
  }

  settle(): void {
    // No outputs.
  }

  write(value: number): void {
    trace.reset?.({ value });
    const rises = (value & ~this.state.value & RESET.CPU) !== 0;
    this.state.value = value & RESET.HARD;
    if (rises) this.#reset();
  }
}

/** The register at its port, which it has in the middle of the PCI configuration ports. */
export function isaResetControl(bus: SystemBus, reset: () => void): ResetControl {
  const control = new ResetControl(reset);
  bus.claimPorts({
    base: PORT, size: 1, name: 'reset-control', priority: 1,
    read: () => control.state.value, write: (_at, _size, value) => control.write(value),
  });
  return control;
}
