// x87 control instructions, and what MMX does to the x87 state. Helpers NAME(d, a, b, imm).
// None of them waits for pending exceptions: the waiting forms begin with fpCheck.
import { cpu } from './host';
import { CS_SELECTOR, DS_SELECTOR, FCS, FCW, FDP, FDS, FERR, FIP, FOP, FSW, FTW_EMPTY } from './generated/layout';
import { setTop, statusWord, top, updateSummary, C1, setStatusWord } from './x87-stack';

const CONTROL_INITIAL: u32 = 0x37f;
const CONTROL_WRITABLE: u32 = 0x1f3f;
const CONTROL_FIXED: u32 = 0x40;
const EXCEPTION_BITS: u32 = 0x80ff;

/** Sets the control word; a pending exception may become unmasked by it. */
export function setControlWord(value: u32): void {
  store<u16>(cpu + FCW, (value & CONTROL_WRITABLE) | CONTROL_FIXED);
  updateSummary();
}

export function initializeX87(): void {
  store<u16>(cpu + FCW, CONTROL_INITIAL);
  store<u16>(cpu + FSW, 0);
  store<u8>(cpu + FTW_EMPTY, 0xff);
  store<u64>(cpu + FIP, 0);
  store<u64>(cpu + FDP, 0);
  store<u16>(cpu + FOP, 0);
  store<u16>(cpu + FCS, 0);
  store<u16>(cpu + FDS, 0);
  store<u32>(cpu + FERR, 0);
}

export function fninit(d: usize, a: usize, b: usize, imm: i32): void { initializeX87(); }

export function fnclex(d: usize, a: usize, b: usize, imm: i32): void {
  setStatusWord(statusWord() & ~EXCEPTION_BITS);
  store<u32>(cpu + FERR, 0);
}

/** a: slot with the new control word. */
export function fldcw(d: usize, a: usize, b: usize, imm: i32): void { setControlWord(load<u16>(a)); }
/** d: slot; its low 16 bits are written. */
export function fnstcw(d: usize, a: usize, b: usize, imm: i32): void { store<u16>(d, load<u16>(cpu + FCW)); }
export function fnstsw(d: usize, a: usize, b: usize, imm: i32): void { store<u16>(d, statusWord()); }

function turn(by: u32): void {
  setTop(top() + by);
  setStatusWord(statusWord() & ~C1);
}

export function fincstp(d: usize, a: usize, b: usize, imm: i32): void { turn(1); }
export function fdecstp(d: usize, a: usize, b: usize, imm: i32): void { turn(7); }

/** Remembers the running instruction. a: slot with its IP; b: slot with the operand's offset (ignored without imm bit 16); imm: opcode. */
export function fpRecord(d: usize, a: usize, b: usize, imm: i32): void {
  store<u64>(cpu + FIP, load<u64>(a));
  store<u16>(cpu + FCS, load<u16>(cpu + CS_SELECTOR));
  store<u16>(cpu + FOP, imm & 0x7ff);
  if ((imm & 0x10000) == 0) return;
  store<u64>(cpu + FDP, load<u64>(b));
  store<u16>(cpu + FDS, load<u16>(cpu + DS_SELECTOR));
}

/** Before an MMX instruction: TOP 0, all registers in use. */
export function mmxEnter(d: usize, a: usize, b: usize, imm: i32): void {
  setTop(0);
  store<u8>(cpu + FTW_EMPTY, 0);
}

/** After an MMX instruction wrote the low 64 bits of the x87 register d: its sign and exponent become all ones. */
export function mmxWritten(d: usize, a: usize, b: usize, imm: i32): void { store<u64>(d, 0xffff, 8); }

export function emms(d: usize, a: usize, b: usize, imm: i32): void {
  setTop(0);
  store<u8>(cpu + FTW_EMPTY, 0xff);
}
