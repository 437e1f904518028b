// What the lowering of a region (region-lowering.ts) and the emitter around it tell each other: what the emitter does for control, and
// what is known, while code is made, of how locals and memory stand.
import type { Reach } from './access-groups.ts';
import type { ExitCause } from './exit-counts.ts';
import { GENERAL } from './region-locals.ts';

/** What the emitter does for control: everything that ends a block or leaves the region. */
export interface RegionFlow {
  /** Continues with the target of the jump record `index` records further on. */
  jump(index: number): void;
  /** Continues at the RIP in TARGET; `instructions` of the block count. */
  dispatch(instructions: number): void;
  /** How far the accesses from the running record on reach around a register. */
  reach(registerSlot: number): Reach | undefined;
  /** Leaves the region before the running instruction; `ofGroup`: which begins a group of accesses. */
  leave(cause: ExitCause, ofGroup?: boolean): void;
  /** Leaves the region with a fault that the record being lowered has raised. */
  leaveWithFault(): void;
}

/** Bytes relative to a register, from `low` to before `high`, whose first one's host address is in a local of the register's. */
export interface Group {
  readonly low: number;
  readonly high: number;
  readonly writes: boolean;
}

/** Whether an access lies in the group, whose page it may write if it does. */
export const isWithin = (group: Group | undefined, displacement: number, bytes: number, writes: boolean): group is Group =>
  group !== undefined && displacement >= group.low && displacement + bytes <= group.high && (group.writes || !writes);

export const NO_GROUPS: readonly (Group | undefined)[] = new Array<undefined>(GENERAL.length).fill(undefined);

/** What is known, while code is made, of how locals and memory stand at a place in it. */
export interface RegionState {
  /** General registers that are in their locals, one bit each. */
  loaded: number;
  /** General registers whose local is newer than their memory, one bit each. */
  dirty: number;
  /** The lazy flags' kind and width, where they are known; then CC_A and CC_B hold them. */
  knownFlags: number | undefined;
  /** The triple in memory is older than the locals. */
  flagsDirty: boolean;
  /** By general register: the bytes around it whose host address is known. */
  groups: readonly (Group | undefined)[];
  /** What flags are not in the triple yet, as `settleFlags` in assembly/pending-flags.ts takes it; 0: none. */
  pending: number;
}
