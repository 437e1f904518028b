// What every device is to the machine: a plain state plus wires. Saving encodes `state`; restoring assigns a decoded
// `state` and calls `settle`. Nothing the guest can see lives elsewhere; wires and caches are private fields.
import type { StateSchema } from '../state/define-state.ts';

/**
 * Reset has two phases, so that the order of devices does not matter: in `enter` a device only changes its own state;
 * in `settle`, when all have entered, it may drive its outputs.
 */
export type ResetPhase = 'enter' | 'settle';

export interface Device<S = unknown> {
  readonly schema: StateSchema<S>;
  state: S;
  reset(phase: ResetPhase): void;
  /** Re-drives interrupt lines and alarms from `state`: after a reset and after a restore. Idempotent. */
  settle(): void;
}
