// What the interpreter and the region translator emit alike for guest memory: the plain loads and stores by size, the look into the
// software TLB, and the stack pointer after a RET. What happens on a hit or a miss is theirs.
import { TLB_ENTRIES, TLB_ENTRY_BYTES } from '../../memory/memory-map.ts';
import type { CodeWriter } from '../../wasm/code-writer.ts';
import { OP } from '../../wasm/opcodes.ts';
import type { Lowering } from './lowering.ts';

/** By type, bytes, and whether the value is sign-extended. */
export const PLAIN_LOAD = {
  i32: { 1: [OP.i32_load8_u, OP.i32_load8_s], 2: [OP.i32_load16_u, OP.i32_load16_s], 4: [OP.i32_load, OP.i32_load], 8: [0, 0] },
  i64: {
    1: [OP.i64_load8_u, OP.i64_load8_s], 2: [OP.i64_load16_u, OP.i64_load16_s], 4: [OP.i64_load32_u, OP.i64_load32_s],
    8: [OP.i64_load, OP.i64_load],
  },
} as const;
export const PLAIN_STORE = {
  i32: { 1: OP.i32_store8, 2: OP.i32_store16, 4: OP.i32_store, 8: 0 },
  i64: { 1: OP.i64_store8, 2: OP.i64_store16, 4: OP.i64_store32, 8: OP.i64_store },
} as const;

export interface TlbProbe {
  /** Pushes the address of the table. */
  readonly pushTable: () => void;
  /** Local with the linear address, and local for the address of its entry. */
  readonly linear: number;
  readonly entry: number;
  /** Local for the offset in the page. */
  readonly offset: number;
  /** Pushes the largest distance from the page with which the whole access hits. */
  readonly pushReach: () => void;
}

/** Pushes the distance from the entry's page and the largest one with which the access hits, both unsigned. */
export function probeTlb(code: CodeWriter, { pushTable, linear, entry, offset, pushReach }: TlbProbe): void {
  pushTable();
  code.get(linear);
  code.op(OP.i32_wrap_i64);
  code.i32(12 - Math.log2(TLB_ENTRY_BYTES));
  code.op(OP.i32_shr_u);
  code.i32((TLB_ENTRIES - 1) * TLB_ENTRY_BYTES);
  code.op(OP.i32_and);
  code.op(OP.i32_add);
  code.tee(entry);
  code.memory(OP.i64_load);
  code.get(linear);
  code.op(OP.i64_xor);
  code.tee(offset);
  pushReach();
}

/** Pushes the host address of the byte `offset` into the page of an entry that hit. */
export function pushHostAddress(code: CodeWriter, offset: number, entry: number): void {
  code.get(entry);
  code.memory(OP.i32_load, 8);
  code.get(offset);
  code.op(OP.i32_wrap_i64);
  code.op(OP.i32_add);
}

/** Pushes RSP risen by `bytes` and by what `pushMore` pushes. [2]: to 32 bits. */
export function pushRaisedStack(m: Lowering, width: 2 | 3, bytes: number, pushMore: (() => void) | undefined): void {
  const { code } = m;
  m.state('rsp', 3);
  code.i64(bytes);
  code.op(OP.i64_add);
  if (pushMore !== undefined) {
    pushMore();
    code.op(OP.i64_add);
  }
  if (width === 3) return;
  code.op(OP.i32_wrap_i64);
  code.op(OP.i64_extend_i32_u);
}
