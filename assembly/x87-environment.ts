// The x87 environment and state images: FNSTENV, FLDENV, FNSAVE, FRSTOR (SDM 1 figures 8-9 to 8-12).
// Helpers NAME(d, a, b, imm): b: slot with the linear address; imm: operand size 2 or 4 | 0x100 for the protected-mode layout.
// Of an image only its start is checked for alignment, as its registers never are aligned. Not here: FXSAVE and XSAVE (xsave.ts).
import { cpu } from './host';
import { FCS, FCW, FDP, FDS, FIP, FOP, FPR0, FTW_EMPTY } from './generated/layout';
import { faulted } from './faults';
import { prepareRead, prepareWrite, readAs, readMemory, writeAs, writeMemory } from './memory';
import { mmuIndex } from './mode';
import { EXCEPTIONS } from './softfloat';
import { initializeX87, setControlWord } from './x87-control';
import { highOf, setStatusWord, significandOf, st, statusWord, updateSummary } from './x87-stack';

const PROTECTED: i32 = 0x100;
const REGISTER_BYTES: u32 = 10;
const TAG_VALID: u32 = 0;
const TAG_ZERO: u32 = 1;
const TAG_SPECIAL: u32 = 2;
const TAG_EMPTY: u32 = 3;

function tagOf(register: usize): u32 {
  const significand = significandOf(register), field = highOf(register) & 0x7fff;
  if (field == 0 && significand == 0) return TAG_ZERO;
  return field == 0 || field == 0x7fff || significand >> 63 == 0 ? TAG_SPECIAL : TAG_VALID;
}

/** Two bits for each physical register. */
function fullTagWord(): u32 {
  const empty: u32 = load<u8>(cpu + FTW_EMPTY);
  let tags: u32 = 0;
  for (let n: u32 = 0; n < 8; n++) tags |= ((empty >> n) & 1 ? TAG_EMPTY : tagOf(cpu + FPR0 + (n << 4))) << (n * 2);
  return tags;
}

function setFullTagWord(tags: u32): void {
  let empty: u32 = 0;
  for (let n: u32 = 0; n < 8; n++) empty |= u32(((tags >> (n * 2)) & 3) == TAG_EMPTY) << n;
  store<u8>(cpu + FTW_EMPTY, empty);
}

// @ts-ignore: decorator
@inline function environmentBytes(size: u32): u32 { return size * 7; }

/** Words 3 to 6: the instruction and operand pointers. */
function pointerWord(n: u32, size: u32, protectedLayout: bool): u32 {
  const pointer = load<u32>(cpu + (n < 5 ? FIP : FDP));
  const opcode: u32 = n == 4 ? load<u16>(cpu + FOP) : 0;
  if (n & 1) return !protectedLayout && size == 4 ? pointer & 0xffff : pointer;
  if (!protectedLayout) return size == 4 ? ((pointer >> 16) << 12) | opcode : ((pointer >> 4) & 0xf000) | opcode;
  const selector: u32 = load<u16>(cpu + (n == 4 ? FCS : FDS));
  return size == 4 ? selector | (opcode << 16) : selector;
}

function writeEnvironment(linear: u64, size: u32, protectedLayout: bool): void {
  const reserved: u32 = size == 4 ? 0xffff0000 : 0;
  writeMemory(linear, size, reserved | load<u16>(cpu + FCW));
  writeMemory(linear + size, size, reserved | statusWord());
  writeMemory(linear + size * 2, size, reserved | fullTagWord());
  for (let n: u32 = 3; n < 7; n++) {
    // Of the pointers, only a selector or offset of 16 bits that stands alone leaves the upper half reserved.
    const short = protectedLayout ? n == 6 : (n & 1) != 0;
    writeMemory(linear + n * size, size, (short ? reserved : 0) | pointerWord(n, size, protectedLayout));
  }
}

function readEnvironment(linear: u64, size: u32, protectedLayout: bool): void {
  setStatusWord(u32(readMemory(linear + size, 2)));
  setFullTagWord(u32(readMemory(linear + size * 2, 2)));
  const ip = u32(readMemory(linear + size * 3, size)), second = u32(readMemory(linear + size * 4, size));
  const operand = u32(readMemory(linear + size * 5, size)), last = u32(readMemory(linear + size * 6, size));
  if (protectedLayout) {
    store<u64>(cpu + FIP, ip);
    store<u64>(cpu + FDP, operand);
    store<u16>(cpu + FCS, second);
    store<u16>(cpu + FDS, last);
    if (size == 4) store<u16>(cpu + FOP, (second >> 16) & 0x7ff);
  } else {
    const shift: u32 = 4;
    store<u64>(cpu + FIP, (ip & 0xffff) | (size == 4 ? (second & 0x0ffff000) << shift : (second & 0xf000) << shift));
    store<u64>(cpu + FDP, (operand & 0xffff) | (size == 4 ? (last & 0x0ffff000) << shift : (last & 0xf000) << shift));
    store<u16>(cpu + FOP, second & 0x7ff);
  }
  setControlWord(u32(readMemory(linear, 2)));
}

export function fnstenv(d: usize, a: usize, b: usize, imm: i32): void {
  const linear = load<u64>(b), size = u32(imm & 0xff);
  prepareWrite(linear, size); // alignment comes first
  if (!faulted()) prepareWrite(linear, environmentBytes(size));
  if (faulted()) return;
  writeEnvironment(linear, size, (imm & PROTECTED) != 0);
  store<u16>(cpu + FCW, load<u16>(cpu + FCW) | EXCEPTIONS);
  updateSummary();
}

export function fldenv(d: usize, a: usize, b: usize, imm: i32): void {
  const linear = load<u64>(b), size = u32(imm & 0xff);
  readMemory(linear, size); // alignment comes first
  if (!faulted()) prepareRead(linear, environmentBytes(size));
  if (!faulted()) readEnvironment(linear, size, (imm & PROTECTED) != 0);
}

export function fnsave(d: usize, a: usize, b: usize, imm: i32): void {
  const size = u32(imm & 0xff), linear = load<u64>(b);
  const registers = linear + environmentBytes(size);
  prepareWrite(linear, size); // alignment comes first
  if (!faulted()) prepareWrite(linear, environmentBytes(size) + 8 * REGISTER_BYTES);
  if (faulted()) return;
  writeEnvironment(linear, size, (imm & PROTECTED) != 0);
  for (let n: u32 = 0; n < 8; n++) {
    writeAs(registers + n * REGISTER_BYTES, 8, significandOf(st(n)), mmuIndex());
    writeAs(registers + n * REGISTER_BYTES + 8, 2, highOf(st(n)), mmuIndex());
  }
  initializeX87();
}

export function frstor(d: usize, a: usize, b: usize, imm: i32): void {
  const size = u32(imm & 0xff), linear = load<u64>(b);
  const registers = linear + environmentBytes(size);
  readMemory(linear, size); // alignment comes first
  if (!faulted()) prepareRead(linear, environmentBytes(size) + 8 * REGISTER_BYTES);
  if (faulted()) return;
  readEnvironment(linear, size, (imm & PROTECTED) != 0);
  for (let n: u32 = 0; n < 8; n++) {
    store<u64>(st(n), readAs(registers + n * REGISTER_BYTES, 8, mmuIndex()));
    store<u64>(st(n), readAs(registers + n * REGISTER_BYTES + 8, 2, mmuIndex()), 8);
  }
}
