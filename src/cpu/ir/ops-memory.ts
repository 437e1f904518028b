// Operations that access memory. Their address forms: 'b' base + displacement, 'x' base + (index << scale) + displacement,
// each in 64 bits or wrapped to 32 ('b32', 'x32': flat protected mode). Addresses are linear; a fault leaves the
// instruction with its state as before.
import { OP } from '../../wasm/opcodes.ts';
import type { Address, Lowering, Width } from './lowering.ts';
import { op, type MemoryAccess, type Traits } from './op.ts';
import { pushAddress } from './ops-integer.ts';

export const FORMS = ['b', 'x', 'b32', 'x32'] as const;
export type Form = (typeof FORMS)[number];

function pushLinear(m: Lowering, form: Form): void {
  if (form === 'x' || form === 'x32') pushAddress(m);
  else {
    m.get('a', 3);
    m.immediate(3);
    m.code.op(OP.i64_add);
  }
  if (form === 'b32' || form === 'x32') {
    m.code.op(OP.i32_wrap_i64);
    m.code.op(OP.i64_extend_i32_u);
  }
}

function addressOf(m: Lowering, form: Form): Address {
  const wraps = form === 'b32' || form === 'x32';
  const push = (): void => pushLinear(m, form);
  return form === 'b' || form === 'b32' ? { push, near: 'operand', wraps } : { push, wraps };
}

const BYTES = [1, 2, 4, 8] as const;
type ByForm = Readonly<Record<Form, number>>;
const byForm = (name: string, lower: (m: Lowering, form: Form) => void, traits: (form: Form) => Traits): ByForm =>
  Object.fromEntries(FORMS.map((form) => [form, op(`${name}.${form}`, (m) => lower(m, form), traits(form))])) as ByForm;

const accessing = (form: Form, bytes: number, writes: boolean): MemoryAccess =>
  ({ kind: form === 'b' || form === 'b32' ? 'operand' : 'indexed', bytes, writes });
const loading = (bytes: number, asStore = false) => (form: Form): Traits =>
  ({ flags: 'untouched', access: accessing(form, bytes, asStore) });
const storing = (bytes: number) => (form: Form): Traits =>
  ({ flags: 'untouched', writes: 'nothing', access: accessing(form, bytes, true) });

const loadOp = (name: string, from: Width, to: Width, signed: boolean, write = false): ByForm =>
  byForm(name, (m, form) => {
    m.open('d');
    m.load(addressOf(m, form), BYTES[from], signed, to === 3 ? 'i64' : 'i32', write);
    m.close('d', to);
  }, loading(BYTES[from], write));

/** Plain loads of the width of their destination. */
export const LOAD: readonly ByForm[] = ([0, 1, 2, 3] as const).map((w) => loadOp(`load.${8 << w}`, w, w, false));
/** Loads that will be followed by a store to the same address: they fault as the store would. */
export const LOAD_MODIFY: readonly ByForm[] = ([0, 1, 2, 3] as const).map((w) => loadOp(`load_modify.${8 << w}`, w, w, false, true));
/** Widening loads, `${from}${to}` in widths. */
export const LOAD_ZX: Readonly<Record<string, ByForm>> = {
  '01': loadOp('load_zx.8.16', 0, 1, false),
  '02': loadOp('load_zx.8.32', 0, 2, false),
  '12': loadOp('load_zx.16.32', 1, 2, false),
};
export const LOAD_SX: Readonly<Record<string, ByForm>> = {
  '01': loadOp('load_sx.8.16', 0, 1, true),
  '02': loadOp('load_sx.8.32', 0, 2, true),
  '03': loadOp('load_sx.8.64', 0, 3, true),
  '12': loadOp('load_sx.16.32', 1, 2, true),
  '13': loadOp('load_sx.16.64', 1, 3, true),
  '23': loadOp('load_sx.32.64', 2, 3, true),
};
/** Stores of operand d. */
export const STORE: readonly ByForm[] = ([0, 1, 2, 3] as const).map((w) =>
  byForm(`store.${8 << w}`, (m, form) => {
    m.store(addressOf(m, form), BYTES[w], w === 3 ? 'i64' : 'i32', () => m.get('d', w));
  }, storing(BYTES[w])),
);
/** Stores of the second immediate; forms with an index do not exist. */
export const STORE_IMMEDIATE: readonly { readonly b: number; readonly b32: number }[] = ([0, 1, 2, 3] as const).map((w) => {
  const make = (form: 'b' | 'b32'): number =>
    op(`storei.${8 << w}.${form}`, (m) => {
      m.store(addressOf(m, form), BYTES[w], w === 3 ? 'i64' : 'i32', () => {
        m.immediate2();
        if (w === 3) m.code.op(OP.i64_extend_i32_s);
      });
    }, storing(BYTES[w])(form));
  return { b: make('b'), b32: make('b32') };
});

export const LOAD_VECTOR = byForm('load.v128', (m, form) => {
  m.open('d');
  m.loadVector(addressOf(m, form));
  m.closeVector('d');
}, loading(16));
export const STORE_VECTOR = byForm('store.v128', (m, form) => {
  m.storeVector(addressOf(m, form), () => m.getVector('d'));
}, storing(16));
/** Raises #GP(0) unless the address is a multiple of 16. */
export const ALIGN16 = byForm('align16', (m, form) => {
  pushLinear(m, form);
  m.code.op(OP.i32_wrap_i64);
  m.code.i32(15);
  m.code.op(OP.i32_and);
  m.branch(() => {
    m.callHelper('generalProtection', false);
    m.fault();
  });
}, () => ({ writes: 'nothing' }));

/** Stack of 32 or 64 bits with a flat stack segment. RSP changes only when the access has succeeded. */
function pushTop(m: Lowering, w: 2 | 3): void {
  m.state('rsp', 3);
  m.code.i64(w === 3 ? -8 : -4);
  m.code.op(OP.i64_add);
  if (w === 3) return;
  m.code.op(OP.i32_wrap_i64);
  m.code.op(OP.i64_extend_i32_u);
}
function pushValue(m: Lowering, w: 2 | 3, push: () => void): void {
  const bytes = BYTES[w];
  m.store({ push: () => pushTop(m, w), near: -bytes, wraps: w === 2 }, bytes, w === 3 ? 'i64' : 'i32', push);
  m.raiseStack(w, -bytes);
}
function popValue(m: Lowering, w: 2 | 3): void {
  m.load({ push: () => m.state('rsp', 3), near: 0, wraps: w === 2 }, BYTES[w], false, w === 3 ? 'i64' : 'i32', false);
}
type StackAccess = 'push' | 'pop' | 'return';
const stackOp = (name: string, kind: StackAccess, lower: (m: Lowering, w: 2 | 3) => void, traits: Traits): readonly number[] => {
  const one = (w: 2 | 3): number =>
    op(`${name}.${8 << w}`, (m) => lower(m, w), { ...traits, access: { kind, bytes: BYTES[w], writes: kind === 'push' } });
  return [-1, -1, one(2), one(3)];
};
/** They write RSP, of which those who look for groups know. */
const PUSHES: Traits = { writes: 'nothing' };
const LEAVES: Traits = { writes: 'nothing', isLast: true };
export const PUSH = stackOp('push', 'push', (m, w) => pushValue(m, w, () => m.get('a', w)), PUSHES);
export const PUSH_IMMEDIATE = stackOp('pushi', 'push', (m, w) => pushValue(m, w, () => m.immediate(w)), PUSHES);
export const POP = stackOp('pop', 'pop', (m, w) => {
  const value = w === 3 ? m.i64[2]! : m.i32[2]!;
  popValue(m, w);
  m.code.set(value);
  m.raiseStack(w, BYTES[w]);
  m.open('d');
  m.code.get(value);
  m.close('d', w);
}, {});
/**
 * Raises #GP(0) when a local holds no address to branch to: not canonical, or beyond the limit of CS. A call that pushes to what
 * `pushTop` pushes (`w` says how much) faults for that first.
 */
export function checkTarget(m: Lowering, w: 2 | 3, target: number, pushTop?: () => void): void {
  m.code.get(target);
  if (w === 3) {
    m.code.i64(16);
    m.code.op(OP.i64_shl);
    m.code.i64(16);
    m.code.op(OP.i64_shr_s);
    m.code.get(target);
    m.code.op(OP.i64_ne);
  } else {
    m.state('csLimit', 2);
    m.code.op(OP.i64_extend_i32_u);
    m.code.op(OP.i64_gt_u);
  }
  m.branch(() => {
    if (pushTop !== undefined) {
      pushTop();
      m.prepareWrite(BYTES[w]);
    }
    m.callHelper('generalProtection', false);
    m.fault();
  });
}
function pushReturnAddress(m: Lowering, w: 2 | 3): void {
  pushValue(m, w, () => {
    m.rip();
    m.immediate(3);
    m.code.op(OP.i64_add);
    if (w === 2) m.code.op(OP.i32_wrap_i64);
  });
}
/** CALL: pushes the address of the next instruction (block RIP + imm); the next record is the jump. */
export const CALL = stackOp('call', 'push', (m, w) => {
  pushReturnAddress(m, w);
  m.jump(1);
}, LEAVES);
/** CALL through a register or temporary a, which is read first. d counts the block's instructions. */
export const CALL_INDIRECT = stackOp('call_indirect', 'push', (m, w) => {
  const target = m.i64[3]!;
  m.get('a', w);
  if (w === 2) m.code.op(OP.i64_extend_i32_u);
  m.code.set(target);
  checkTarget(m, w, target, () => pushTop(m, w));
  pushReturnAddress(m, w);
  m.openState();
  m.code.get(target);
  m.closeState('rip', 3);
  m.dispatch();
}, LEAVES);
/** RET, releasing imm more bytes. */
export const RETURN = stackOp('ret', 'return', (m, w) => {
  const target = m.i64[3]!;
  popValue(m, w);
  if (w === 2) m.code.op(OP.i64_extend_i32_u);
  m.code.set(target);
  checkTarget(m, w, target);
  m.raiseStack(w, BYTES[w], () => m.immediate(3));
  m.openState();
  m.code.get(target);
  m.closeState('rip', 3);
  m.dispatch();
}, LEAVES);
