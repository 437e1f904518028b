// Registers and saved state of a local APIC (Intel SDM volume 3A, chapter 12 "APIC").
import { bool, count, nanoseconds, u32, u8, words } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';

/** Register offsets in the xAPIC page; the x2APIC MSR is 0x800 + (offset >> 4). */
export const REG = {
  ID: 0x20, VERSION: 0x30, TPR: 0x80, APR: 0x90, PPR: 0xa0, EOI: 0xb0, RRD: 0xc0, LDR: 0xd0, DFR: 0xe0, SVR: 0xf0,
  ISR: 0x100, TMR: 0x180, IRR: 0x200, ESR: 0x280, ICR: 0x300, ICR_HIGH: 0x310,
  LVT_TIMER: 0x320, LVT_THERMAL: 0x330, LVT_PERFORMANCE: 0x340, LVT_LINT0: 0x350, LVT_LINT1: 0x360, LVT_ERROR: 0x370,
  TIMER_INITIAL: 0x380, TIMER_CURRENT: 0x390, TIMER_DIVIDE: 0x3e0, SELF_IPI: 0x3f0,
} as const;

/** Local vector table entries in register order. */
export const LVT = { TIMER: 0, THERMAL: 1, PERFORMANCE: 2, LINT0: 3, LINT1: 4, ERROR: 5 } as const;
export const LVT_COUNT = 6;
export const LVT_MASKED = 0x1_0000;
/** Writable bits of each entry. */
export const LVT_WRITABLE = [0x7_00ff, 0x1_07ff, 0x1_07ff, 0x1_a7ff, 0x1_a7ff, 0x1_00ff] as const;
export const TIMER_MODE = { ONE_SHOT: 0, PERIODIC: 1, TSC_DEADLINE: 2 } as const;

export const DELIVERY = { FIXED: 0, LOWEST: 1, SMI: 2, NMI: 4, INIT: 5, SIPI: 6, EXTINT: 7 } as const;
export const SHORTHAND = { NONE: 0, SELF: 1, ALL: 2, OTHERS: 3 } as const;
export const ICR = { LOGICAL: 0x800, PENDING: 0x1000, ASSERT: 0x4000, LEVEL: 0x8000, WRITABLE: 0xc_cfff } as const;
export const ESR = { SEND_ILLEGAL_VECTOR: 0x20, RECEIVE_ILLEGAL_VECTOR: 0x40, ILLEGAL_REGISTER: 0x80 } as const;
export const SVR = { ENABLE: 0x100, WRITABLE: 0x1ff } as const;
/** IA32_APIC_BASE. */
export const APIC_BASE = { BSP: 0x100, X2APIC: 0x400, ENABLE: 0x800, DEFAULT: 0xfee0_0000, ADDRESS: 0xffff_f000 } as const;
/** Integrated APIC, six LVT entries. */
export const VERSION = 0x14 | ((LVT_COUNT - 1) << 16);

export const localApicState = defineState({
  kind: 'local-apic', version: 1,
  fields: {
    apicBase: u32(APIC_BASE.DEFAULT | APIC_BASE.ENABLE),
    id: u32(), tpr: u8(), ldr: u32(), dfr: u32(0xffff_ffff), svr: u32(0xff),
    isr: words(8), irr: words(8), tmr: words(8),
    esr: u32(), esrPending: u32(),
    icr: u32(), icrHigh: u32(),
    lvt: words(LVT_COUNT, LVT_MASKED),
    timerInitial: u32(), timerDivide: u8(0, 0xb),
    timerTick: nanoseconds(Infinity), // when the count next reaches zero, on its own grid
    deadlineLow: u32(), deadlineHigh: u32(), // IA32_TSC_DEADLINE
    lint0: bool(), lint1: bool(),
    ticks: count(), // timer interrupts raised, for `info lapic`
  },
});
export type LocalApicState = ReturnType<typeof localApicState.initial>;

/** The highest set bit of 256, -1 when none. */
export function highestBit(set: Uint32Array): number {
  for (let word = 7; word >= 0; word--) {
    const bits = set[word]!;
    if (bits !== 0) return 32 * word + 31 - Math.clz32(bits);
  }
  return -1;
}

export const setBit = (set: Uint32Array, bit: number): void => { set[bit >> 5] = set[bit >> 5]! | (1 << (bit & 31)); };
export const clearBit = (set: Uint32Array, bit: number): void => { set[bit >> 5] = set[bit >> 5]! & ~(1 << (bit & 31)); };
export const hasBit = (set: Uint32Array, bit: number): boolean => ((set[bit >> 5]! >>> (bit & 31)) & 1) !== 0;
