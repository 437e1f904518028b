// Flags that a region has left pending (PENDING_FLAGS in src/cpu/ir/flags.ts), merged into the lazy triple when somebody may look.
import { cpu } from './host'
import { condition, setCarry, setCarryAndOverflow } from './flags'
import { CC_A, CC_B, CC_OP, PENDING_FLAGS_CARRY, PENDING_FLAGS_ROL, PENDING_FLAGS_STEP } from './generated/layout'

/** `what` + 2: of 64 bits. */
function settleRotation(what: u32, result: u64): void {
  const top: u64 = what >= PENDING_FLAGS_ROL + 2 ? 63 : 31;
  const high = ((result >> top) & 1) != 0;
  if (((what - PENDING_FLAGS_ROL) & 1) == 0) setCarryAndOverflow((result & 1) != 0, ((result ^ (result >> top)) & 1) != 0);
  else setCarryAndOverflow(high, ((((result >> top) ^ (result >> (top - 1))) & 1) != 0));
}

/** Condition B: CF. */
const BELOW: u32 = 2;

function settleStep(ccOp: u32, result: u64): void {
  const carry = condition(BELOW);
  store<u32>(cpu + CC_OP, ccOp);
  store<u64>(cpu + CC_A, result);
  store<u64>(cpu + CC_B, carry);
}

export function settleFlags(what: u32, value: u64): void {
  if (what >= PENDING_FLAGS_STEP) settleStep(what - PENDING_FLAGS_STEP, value);
  else if (what == PENDING_FLAGS_CARRY) setCarry(<u32>value);
  else settleRotation(what, value);
}
