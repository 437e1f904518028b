// The record that is being lowered, and what is known of it beforehand.
import { NO_COUNT } from './rotations';

/** Address of the record that is being lowered, and number of its operation. */
export let record: u32 = 0;
export let operation: u32 = 0;
/** Distance of the running block from the base. */
export let delta: i32 = 0;
/** Count of the record that is being lowered, when that is a rotation by a constant; NO_COUNT otherwise. */
export let rotationCount: i32 = NO_COUNT;
/** The record that is being lowered is an INC or DEC whose CF nobody asks for before it is set again. */
export let carryIsDead: bool = false;
/** The record that is being lowered sets flags that are replaced before anything needs them, a way out included. */
export let flagsAreDead: bool = false;
/** A helper has been called that may have written to the region's own code. */
let codeMayHaveChanged: bool = false;

export function beginLowering(): void { codeMayHaveChanged = false; }
export function inBlock(blockDelta: i32): void { delta = blockDelta; }
export function backTo(oldRecord: u32, oldOperation: u32, oldDelta: i32): void {
  record = oldRecord;
  operation = oldOperation;
  delta = oldDelta;
}
export function noteCodeMayChange(): void { codeMayHaveChanged = true; }
/** Whether the region's code may have changed since this was asked last. */
export function takeCodeMayHaveChanged(): bool {
  const changed = codeMayHaveChanged;
  codeMayHaveChanged = false;
  return changed;
}

/** Of what follows; a rotation's constant count, or NO_COUNT. */
export function beginRecord(at: u32, number: u32, count: i32, deadCarry: bool, deadFlags: bool): void {
  record = at;
  operation = number;
  rotationCount = count;
  carryIsDead = deadCarry;
  flagsAreDead = deadFlags;
}
