// The operation REGION in the interpreter: the loop that runs regions (translator/) one after the other, as long as one leads to the
// next. Not how regions are made, and not what they do.
import {
  EXIT_COUNT_SHIFT, EXIT_FAULT, EXIT_INDIRECT, EXIT_JUMP, EXIT_LIMITED, JUMP_CACHE_DELTA, JUMP_CACHE_ENTRIES,
  JUMP_CACHE_ENTRY_BYTES, JUMP_CACHE_OFFSET, JUMP_CACHE_TARGET, REGION_EXIT, REGION_EXITS, REGION_RECORD, REGION_TABLE,
} from '../../memory/memory-map.ts';
import type { CodeWriter, Label } from '../../wasm/code-writer.ts';
import { OP } from '../../wasm/opcodes.ts';
import { ACTIVITY } from '../../trace/activity.ts';
import type { Lowering } from '../ir/lowering.ts';
import { REGION } from '../ir/ops-control.ts';
import { BLOCK, RECORD, REGION_TYPE } from '../ir/record.ts';
import { cpuOffset } from '../x86/state.ts';
import {
  BASE, BUDGET, CPU, ENTRY, ENTRY_NUMBER, EXIT_AT, EXIT_COUNT, IP, LAST_BASE, LINEAR, OPERATION, REGION_AT, TARGET,
} from './interpreter-locals.ts';

export interface Labels {
  dispatch: Label;
  fault: Label;
  enter: Label;
  again: Label;
  jump: Label;
  leave: Label;
  /** Where accesses that miss the TLB are done; undefined where they are done in place. */
  miss?: Label;
}

export class RegionLoop {
  readonly #m: Lowering;
  readonly #labels: Labels;
  readonly #sampling: boolean;

  constructor(m: Lowering, labels: Labels, sampling: boolean) {
    this.#sampling = sampling;
    this.#m = m;
    this.#labels = labels;
  }

  /** Regions one after the other, as long as one leads to the next; then on with a record, or with whatever is at RIP. */
  emit(): void {
    const { code } = this.#m;
    this.#targetOfBlock();
    code.i32(0);
    code.set(EXIT_AT);
    this.#m.state('executorBudget', 2);
    code.set(BUDGET);
    const refused = code.block();
    const next = code.loop();
    this.#checkMapping(refused);
    const linked = code.loop();
    this.#callRegion();
    this.#follow(linked);
    this.#lookUpRegion(next, linked);
    code.op(OP.unreachable);
    code.end();
    code.end();
    code.end();
    this.#storeBudget();
    this.#runFirstOperation(); // of the block at IP, which is the one at RIP here
  }

  /** REGION_AT, ENTRY_NUMBER and BASE of the region that the block at IP is an entry of, when RIP is that block's. */
  #targetOfBlock(): void {
    const { code } = this.#m;
    this.#header(OP.i32_load, BLOCK.REGION);
    code.set(TARGET);
    this.#splitTarget();
    this.#m.rip();
    this.#header(OP.i64_load32_s, BLOCK.DELTA);
    code.op(OP.i64_sub);
    code.set(BASE);
  }

  #splitTarget(): void {
    const { code } = this.#m;
    code.get(TARGET);
    code.i32(REGION_RECORD.BYTES - 1);
    code.op(OP.i32_and);
    code.set(ENTRY_NUMBER);
    code.get(TARGET);
    code.i32(-REGION_RECORD.BYTES);
    code.op(OP.i32_and);
    code.set(REGION_AT);
  }

  /** Goes on when the region at REGION_AT is known to be mapped as it was made, with its base at BASE; otherwise to `unknown`. */
  #unlessMapped(unknown: Label): void {
    const { code } = this.#m;
    code.get(REGION_AT);
    code.memory(OP.i64_load, REGION_RECORD.BASE);
    code.get(BASE);
    code.op(OP.i64_ne);
    code.brIf(unknown);
    code.get(REGION_AT);
    code.memory(OP.i32_load, REGION_RECORD.KEY);
    this.#m.state('modeKey', 2);
    code.op(OP.i32_ne);
    code.brIf(unknown);
  }

  /** Goes on when the region may be entered, to `refused` when it may not. */
  #checkMapping(refused: Label): void {
    const { code } = this.#m;
    const mapped = code.block();
    const unknown = code.block();
    this.#unlessMapped(unknown);
    code.br(mapped);
    code.end();
    code.get(REGION_AT);
    code.get(BASE);
    this.#m.call('regionMapped');
    code.op(OP.i32_eqz);
    code.brIf(refused);
    code.end();
  }

  /** Enters the region; EXIT_AT is then the number of the exit by which it was left. */
  #callRegion(): void {
    const { code } = this.#m;
    this.#countEvent('countRegionEnter');
    code.get(ENTRY_NUMBER);
    code.get(BASE);
    code.get(BUDGET);
    code.get(REGION_AT);
    code.i32(REGION_TABLE);
    code.op(OP.i32_sub);
    code.i32(Math.log2(REGION_RECORD.BYTES));
    code.op(OP.i32_shr_u);
    if (this.#sampling) this.#noteActivity(ACTIVITY.REGION);
    code.callIndirect(code.typeIndex(REGION_TYPE));
    code.set(BUDGET);
    code.set(EXIT_AT);
    if (this.#sampling) this.#noteActivity(ACTIVITY.INTERPRETER);
  }

  /**
   * The region was left by the exit EXIT_AT: for a record, or for other code, on which `linked` goes on where its region is known. Comes
   * out where RIP has to be looked up.
   */
  #follow(linked: Label): void {
    const { code } = this.#m;
    this.#readExit();
    const unknown = code.block();
    const known = code.block();
    const jumps = code.block();
    this.#exitBits();
    code.i32(EXIT_JUMP);
    code.op(OP.i32_eq);
    code.brIf(jumps);
    this.#isIndirect();
    code.if();
    this.#isLastTarget();
    code.brIf(known);
    code.br(unknown);
    code.end();
    this.#resumeUnlessJump();
    code.end();
    this.#countJump();
    code.end();
    this.#followLink(linked);
    this.#isIndirect();
    code.brIf(unknown);
    if (this.#sampling) this.#noteExit();
    this.#storeTarget();
    code.end();
  }

  /** EXIT_AT becomes the exit's offset in REGION_EXITS; its record and what it counts. */
  #readExit(): void {
    const { code } = this.#m;
    code.get(EXIT_AT);
    code.i32(Math.log2(REGION_EXIT.BYTES));
    code.op(OP.i32_shl);
    code.set(EXIT_AT);
    this.#exitField(OP.i32_load, REGION_EXIT.RECORD);
    code.tee(IP);
    code.i32(EXIT_COUNT_SHIFT);
    code.op(OP.i32_shr_u);
    code.set(EXIT_COUNT);
    code.get(IP);
    code.i32(2 ** EXIT_COUNT_SHIFT - 1);
    code.op(OP.i32_and);
    code.set(IP);
  }

  #isIndirect(): void {
    this.#m.code.get(IP);
    this.#m.code.i32(EXIT_INDIRECT);
    this.#m.code.op(OP.i32_eq);
  }

  /** Pushes whether a return or computed jump leads where it led the last time. */
  #isLastTarget(): void {
    const { code } = this.#m;
    this.#m.rip();
    code.get(BASE);
    code.op(OP.i64_sub);
    this.#exitField(OP.i64_load32_s, REGION_EXIT.DELTA);
    code.op(OP.i64_eq);
  }

  /** A jump of code with a limit goes on where there is none. */
  #resumeUnlessJump(): void {
    const { code } = this.#m;
    this.#exitBits();
    code.i32(EXIT_JUMP | EXIT_LIMITED);
    code.op(OP.i32_ne);
    this.#m.state('csLimit', 2);
    code.i32(-1);
    code.op(OP.i32_ne);
    code.op(OP.i32_or);
    code.if();
    this.#resume();
    code.end();
    code.get(IP);
    code.i32(EXIT_LIMITED);
    code.op(OP.i32_xor);
    code.set(IP);
  }

  /** RIP of a jump's target. */
  #storeTarget(): void {
    const { code } = this.#m;
    this.#m.openState();
    code.get(BASE);
    this.#exitField(OP.i64_load32_s, REGION_EXIT.DELTA);
    code.op(OP.i64_add);
    code.get(IP);
    code.memory(OP.i64_load32_s, RECORD.IMM - EXIT_JUMP);
    code.op(OP.i64_add);
    code.i64(-1);
    code.get(IP);
    code.memory(OP.i64_load16_u, RECORD.A - EXIT_JUMP);
    code.op(OP.i64_shr_u);
    code.op(OP.i64_and);
    this.#m.closeState('rip', 3);
  }

  /** Pushes what the exit says beside its record. */
  #exitBits(): void {
    this.#m.code.get(IP);
    this.#m.code.i32(EXIT_FAULT | EXIT_JUMP | EXIT_LIMITED);
    this.#m.code.op(OP.i32_and);
  }

  #exitField(load: number, field: number): void {
    this.#m.code.get(EXIT_AT);
    this.#m.code.memory(load, REGION_EXITS + field);
  }

  #storeExitField(store: number, field: number, push: () => void): void {
    this.#m.code.get(EXIT_AT);
    push();
    this.#m.code.memory(store, REGION_EXITS + field);
  }

  #countJump(): void {
    const { code } = this.#m;
    code.get(EXIT_COUNT);
    code.op(OP.i32_eqz);
    code.if();
    code.get(IP);
    code.memory(OP.i32_load16_u, RECORD.D - EXIT_JUMP);
    code.set(EXIT_COUNT);
    code.end();
    code.get(BUDGET);
    code.get(EXIT_COUNT);
    code.op(OP.i32_sub);
    code.set(BUDGET);
  }

  /** REGION_AT, ENTRY_NUMBER and BASE of the region that the exit's link, which is in TARGET, leads to. */
  #takeLink(): void {
    const { code } = this.#m;
    this.#splitTarget();
    code.get(BASE);
    this.#exitField(OP.i64_load32_s, REGION_EXIT.TARGET_DELTA);
    code.op(OP.i64_add);
    code.set(BASE);
  }

  /** Straight to the region that the jump led to before, unless that is gone, mapped otherwise, or the slice is used up. */
  #followLink(linked: Label): void {
    const { code } = this.#m;
    this.#exitField(OP.i32_load, REGION_EXIT.TARGET);
    code.tee(TARGET);
    code.if();
    code.get(REGION_AT); // of where we come from, until the link has proved good
    code.set(ENTRY);
    code.get(BASE);
    code.set(LAST_BASE);
    this.#takeLink();
    const refused = code.block();
    this.#unlessMapped(refused);
    code.get(BUDGET);
    pushBudgetLimit(code, this.#sampling);
    code.op(OP.i32_lt_s);
    code.brIf(refused);
    code.br(linked);
    code.end();
    code.get(ENTRY);
    code.set(REGION_AT);
    code.get(LAST_BASE);
    code.set(BASE);
    code.end();
  }

  /**
   * The region at RIP, if the jump cache knows one: on with it at `linked` where it is known to be mapped, else at `next`; otherwise to
   * the lookup of all blocks.
   */
  #lookUpRegion(next: Label, linked: Label): void {
    const { code } = this.#m;
    const missed = code.block();
    code.get(BUDGET);
    pushBudgetLimit(code, this.#sampling);
    code.op(OP.i32_lt_s);
    code.brIf(missed);
    this.#m.rip();
    code.set(LINEAR);
    probeJumpCache(code);
    code.op(OP.i32_eqz);
    code.brIf(missed);
    code.get(BASE);
    code.set(LAST_BASE);
    this.#takeCachedTarget(linked);
    code.get(IP);
    code.memory(OP.i32_load16_u, RECORD.OP);
    code.i32(REGION);
    code.op(OP.i32_ne);
    code.brIf(missed);
    this.#targetOfBlock();
    this.#cacheTarget();
    this.#link();
    code.br(next);
    code.end();
    this.#storeBudget();
    code.br(this.#labels.dispatch);
  }

  /** The entry of the jump cache at ENTRY knows the region that its block leads to. */
  #takeCachedTarget(linked: Label): void {
    const { code } = this.#m;
    code.get(ENTRY);
    code.memory(OP.i32_load, JUMP_CACHE_OFFSET + JUMP_CACHE_TARGET);
    code.tee(TARGET);
    code.if();
    this.#splitTarget();
    code.get(LINEAR);
    code.get(ENTRY);
    code.memory(OP.i64_load32_s, JUMP_CACHE_OFFSET + JUMP_CACHE_DELTA);
    code.op(OP.i64_sub);
    code.set(BASE);
    const unknown = code.block();
    this.#unlessMapped(unknown);
    this.#link();
    code.br(linked);
    code.end();
    code.end();
  }

  #cacheTarget(): void {
    const { code } = this.#m;
    code.get(ENTRY);
    code.get(TARGET);
    code.memory(OP.i32_store, JUMP_CACHE_OFFSET + JUMP_CACHE_TARGET);
    code.get(ENTRY);
    code.get(LINEAR);
    code.get(BASE);
    code.op(OP.i64_sub);
    code.op(OP.i32_wrap_i64);
    code.memory(OP.i32_store, JUMP_CACHE_OFFSET + JUMP_CACHE_DELTA);
  }

  /** What a region was left by (EXIT_AT, with its base in LAST_BASE) remembers where it led. */
  #link(): void {
    const { code } = this.#m;
    const done = code.block();
    code.get(EXIT_AT);
    code.op(OP.i32_eqz);
    code.brIf(done);
    this.#linkIndirect(done);
    this.#storeExitField(OP.i32_store, REGION_EXIT.TARGET, () => code.get(TARGET));
    this.#storeExitField(OP.i32_store, REGION_EXIT.TARGET_DELTA, () => {
      code.get(BASE);
      code.get(LAST_BASE);
      code.op(OP.i64_sub);
      code.op(OP.i32_wrap_i64);
    });
    code.end();
  }

  /** For which target the link is; to `none` where that is too far away. */
  #linkIndirect(none: Label): void {
    const { code } = this.#m;
    this.#exitField(OP.i32_load, REGION_EXIT.RECORD);
    code.i32(EXIT_INDIRECT);
    code.op(OP.i32_eq);
    code.if();
    code.get(LINEAR);
    code.get(LAST_BASE);
    code.op(OP.i64_sub);
    code.tee(LINEAR);
    code.get(LINEAR);
    code.op(OP.i64_extend32_s);
    code.op(OP.i64_ne);
    code.brIf(none);
    this.#storeExitField(OP.i32_store, REGION_EXIT.DELTA, () => {
      code.get(LINEAR);
      code.op(OP.i32_wrap_i64);
    });
    code.end();
  }

  /** The block that ran last is the one that the exit is of. */
  #noteExit(): void {
    noteSampleRip(this.#m, () => {
      this.#m.code.get(BASE);
      this.#exitField(OP.i64_load32_s, REGION_EXIT.DELTA);
      this.#m.code.op(OP.i64_add);
    });
  }

  #noteActivity(activity: number): void {
    this.#m.openState();
    this.#m.code.i32(activity);
    this.#m.closeState('hostActivity', 2);
  }

  #storeBudget(): void {
    this.#m.openState();
    this.#m.code.get(BUDGET);
    this.#m.closeState('executorBudget', 2);
  }

  /** On with the record in IP, of which the low bits tell whether it has raised a fault. */
  #resume(): void {
    const { code } = this.#m;
    this.#countEvent('countRegionResume');
    this.#countLeft();
    this.#storeBudget();
    this.#m.openState();
    code.get(BASE);
    this.#exitField(OP.i64_load32_s, REGION_EXIT.DELTA);
    code.op(OP.i64_add);
    this.#m.closeState('rip', 3);
    if (this.#sampling) noteSampleRip(this.#m, () => this.#m.rip());
    code.get(IP);
    code.get(IP);
    code.i32(~(EXIT_FAULT | EXIT_JUMP | EXIT_LIMITED));
    code.op(OP.i32_and);
    code.set(IP);
    code.i32(EXIT_FAULT);
    code.op(OP.i32_and);
    code.brIf(this.#labels.fault);
    code.get(IP);
    code.memory(OP.i32_load16_u, RECORD.OP);
    code.tee(OPERATION);
    code.i32(REGION);
    code.op(OP.i32_ne);
    code.brIf(this.#labels.again);
    this.#runFirstOperation();
  }

  /** Exits at accesses to a group count how often they are taken. */
  #countLeft(): void {
    const { code } = this.#m;
    this.#exitBits();
    code.op(OP.i32_eqz);
    code.if();
    this.#exitField(OP.i32_load, REGION_EXIT.LEFT);
    code.if();
    code.get(REGION_AT);
    code.get(EXIT_AT);
    code.i32(REGION_EXITS);
    code.op(OP.i32_add);
    this.#m.call('countLeft');
    code.end();
    code.end();
  }

  #countEvent(field: string): void {
    this.#m.code.get(CPU);
    this.#m.state(field, 3);
    this.#m.code.i64(1);
    this.#m.code.op(OP.i64_add);
    this.#m.code.memory(OP.i64_store, cpuOffset(field));
  }

  #runFirstOperation(): void {
    this.#header(OP.i32_load16_u, BLOCK.FIRST_OP);
    this.#m.code.set(OPERATION);
    this.#m.code.br(this.#labels.again);
  }

  /** Reads a field of the header of the block at IP. */
  #header(load: number, field: number): void {
    this.#m.code.get(IP);
    this.#m.code.i32(BLOCK.BYTES - field);
    this.#m.code.op(OP.i32_sub);
    this.#m.code.memory(load);
  }
}

/** Pushes what the budget must not be below: 0, or SAMPLE_ASKED when a sample is asked for. */
export function pushBudgetLimit(code: CodeWriter, sampling: boolean): void {
  if (!sampling) return code.i32(0);
  code.get(CPU);
  code.memory(OP.i32_load, cpuOffset('sampleAsked'));
}

/** `push` pushes the RIP of the block that begins, or has ended last. */
export function noteSampleRip(m: Lowering, push: () => void): void {
  m.openState();
  push();
  m.closeState('sampleRip', 3);
}

/** Sets IP to the block that the jump cache has in the place for LINEAR, a RIP; pushes whether it is the right one. */
export function probeJumpCache(code: CodeWriter): void {
  code.get(LINEAR);
  code.op(OP.i32_wrap_i64);
  code.get(LINEAR);
  code.i64(12);
  code.op(OP.i64_shr_u);
  code.op(OP.i32_wrap_i64);
  code.op(OP.i32_xor);
  code.i32(JUMP_CACHE_ENTRIES - 1);
  code.op(OP.i32_and);
  code.i32(Math.log2(JUMP_CACHE_ENTRY_BYTES));
  code.op(OP.i32_shl);
  code.get(CPU);
  code.op(OP.i32_add);
  code.tee(ENTRY);
  code.memory(OP.i32_load, JUMP_CACHE_OFFSET + 8);
  code.set(IP);
  code.get(ENTRY);
  code.memory(OP.i64_load, JUMP_CACHE_OFFSET);
  code.get(LINEAR);
  code.op(OP.i64_eq);
  code.get(ENTRY);
  code.memory(OP.i32_load, JUMP_CACHE_OFFSET + 12);
  code.get(CPU);
  code.memory(OP.i32_load, cpuOffset('modeKey'));
  code.op(OP.i32_eq);
  code.op(OP.i32_and);
}
