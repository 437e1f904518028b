// Flags that a region has left pending (PENDING_FLAGS in src/cpu/ir/flags.ts), merged into the lazy triple when somebody may look.
import { setCarryAndOverflow } from './flags'
import { PENDING_ROL } from './generated/layout'

/** `what` + 2: of 64 bits. */
function settleRotation(what: u32, result: u64): void {
  const top: u64 = what >= PENDING_ROL + 2 ? 63 : 31;
  const high = ((result >> top) & 1) != 0;
  if (((what - PENDING_ROL) & 1) == 0) setCarryAndOverflow((result & 1) != 0, ((result ^ (result >> top)) & 1) != 0);
  else setCarryAndOverflow(high, ((((result >> top) ^ (result >> (top - 1))) & 1) != 0));
}

export function settleFlags(what: u32, value: u64): void {
  settleRotation(what, value);
}
