// Arithmetic flags out of the lazy triple (src/cpu/ir/flags.ts says what ccA and ccB hold for each kind), and back.

import { cpu } from './host'
import { CC_A, CC_B, CC_OP, KIND_ADC, KIND_ADD, KIND_DEC, KIND_FLAGS, KIND_INC, KIND_LOGIC, KIND_MUL, KIND_SBB, KIND_SHL, KIND_SHR,
  KIND_SUB } from './generated/layout'

export const CF: u32 = 1;
export const PF: u32 = 4;
export const AF: u32 = 16;
export const ZF: u32 = 64;
export const SF: u32 = 128;
export const OF: u32 = 2048;

// @ts-ignore: decorator
@inline function bit(value: bool, flag: u32): u32 { return value ? flag : 0; }

// @ts-ignore: decorator
@inline function resultFlags<T>(result: T): u32 {
  const parity = popcnt<u32>(<u32>result & 0xff) & 1;
  return bit(parity == 0, PF) | bit(result == 0, ZF) | bit((result >> <T>(sizeof<T>() * 8 - 1)) != 0, SF);
}

function flagsOf<T>(kind: u32): u32 {
  const a = load<T>(cpu + CC_A), b = load<T>(cpu + CC_B);
  const top: T = <T>(sizeof<T>() * 8 - 1);
  switch (kind) {
    case KIND_ADD:
    case KIND_ADC: {
      const first: T = a - b - (kind == KIND_ADC ? <T>1 : <T>0);
      const carry = kind == KIND_ADC ? a <= b : a < b;
      return resultFlags<T>(a) | bit(carry, CF) | (<u32>(first ^ b ^ a) & AF) | bit((((first ^ a) & (b ^ a)) >> top) != 0, OF);
    }
    case KIND_SUB:
    case KIND_SBB: {
      const result: T = a - b - (kind == KIND_SBB ? <T>1 : <T>0);
      const borrow = kind == KIND_SBB ? a <= b : a < b;
      return resultFlags<T>(result) | bit(borrow, CF) | (<u32>(a ^ b ^ result) & AF) | bit((((a ^ b) & (a ^ result)) >> top) != 0, OF);
    }
    case KIND_LOGIC: return resultFlags<T>(a);
    case KIND_INC: return resultFlags<T>(a) | (<u32>b & 1) | bit((a & 15) == 0, AF) | bit(a == (<T>1 << top), OF);
    case KIND_DEC: return resultFlags<T>(a) | (<u32>b & 1) | bit((a & 15) == 15, AF) | bit(a == (<T>1 << top) - <T>1, OF);
    case KIND_SHL: {
      const carry = <u32>(b >> top) & 1;
      return resultFlags<T>(a) | carry | bit((<u32>(a >> top) ^ carry) != 0, OF);
    }
    case KIND_SHR: return resultFlags<T>(a) | (<u32>b & 1) | bit(((a ^ b) >> top) != 0, OF);
    case KIND_MUL: return resultFlags<T>(a) | (load<u8>(cpu + CC_B) != 0 ? CF | OF : 0);
    default: return load<u32>(cpu + CC_A) & (CF | PF | AF | ZF | SF | OF);
  }
}

/** OF SF ZF AF PF CF in their EFLAGS positions. */
export function readFlags(): u32 {
  const op = load<u32>(cpu + CC_OP);
  switch (op & 3) {
    case 0: return flagsOf<u8>(op >> 2);
    case 1: return flagsOf<u16>(op >> 2);
    case 2: return flagsOf<u32>(op >> 2);
    default: return flagsOf<u64>(op >> 2);
  }
}

export function writeFlags(bits: u32): void {
  store<u32>(cpu + CC_OP, KIND_FLAGS << 2);
  store<u64>(cpu + CC_A, bits & (CF | PF | AF | ZF | SF | OF));
}

/** CF becomes 0 or 1; the other flags stay. */
export function setCarry(carry: u32): void { writeFlags((readFlags() & ~CF) | carry); }

export function setCarryAndOverflow(carry: bool, overflow: bool): void {
  writeFlags((readFlags() & ~(CF | OF)) | (carry ? CF : 0) | (overflow ? OF : 0));
}

function subCondition<S, U>(code: u32): bool {
  const a = load<U>(cpu + CC_A), b = load<U>(cpu + CC_B);
  switch (code >> 1) {
    case 1: return a < b;
    case 2: return a == b;
    case 3: return a <= b;
    case 4: return <S>(a - b) < 0;
    case 6: return <S>a < <S>b;
    case 7: return <S>a <= <S>b;
    default: return generalCondition(code);
  }
}

function generalCondition(code: u32): bool {
  const flags = readFlags();
  switch (code >> 1) {
    case 0: return (flags & OF) != 0;
    case 1: return (flags & CF) != 0;
    case 2: return (flags & ZF) != 0;
    case 3: return (flags & (CF | ZF)) != 0;
    case 4: return (flags & SF) != 0;
    case 5: return (flags & PF) != 0;
    case 6: return ((flags >> 7) & 1) != ((flags >> 11) & 1);
    default: return (flags & ZF) != 0 || ((flags >> 7) & 1) != ((flags >> 11) & 1);
  }
}

/** Whether condition `code` (SDM 1 appendix B) holds: 0 or 1. */
export function condition(code: u32): u32 {
  const op = load<u32>(cpu + CC_OP);
  let holds: bool;
  switch (op) {
    case KIND_SUB << 2: holds = subCondition<i8, u8>(code); break;
    case (KIND_SUB << 2) | 1: holds = subCondition<i16, u16>(code); break;
    case (KIND_SUB << 2) | 2: holds = subCondition<i32, u32>(code); break;
    case (KIND_SUB << 2) | 3: holds = subCondition<i64, u64>(code); break;
    default: holds = generalCondition(code);
  }
  return u32(holds) ^ (code & 1);
}
