// WebAssembly of one function, written behind EMITTER_CODE: instructions, immediates, nesting. The same as CodeWriter in
// src/wasm/code-writer.ts, for code that is made while a guest runs. Specification: WebAssembly core 2.0 section 5.4.
import {
  EMITTER_CODE, EMITTER_CODE_BYTES, TYPE_EMPTY, WASM_BLOCK, WASM_BR, WASM_BR_TABLE, WASM_CALL, WASM_ELSE, WASM_END, WASM_I32_CONST,
  WASM_I64_CONST, WASM_IF, WASM_LOCAL_GET, WASM_LOCAL_SET, WASM_LOOP,
} from '../generated/layout';

/** No instruction of the guest, and no block's way in and out, becomes as much. */
const ROOM: u32 = 128 * 1024;

/** Where the next byte goes. */
let at: usize = EMITTER_CODE;
let depth: i32 = 0;

export function beginCode(): void {
  at = EMITTER_CODE;
  depth = 0;
}

export function codeLength(): u32 { return <u32>(at - EMITTER_CODE); }
function nesting(): i32 { return depth; }
export function nest(by: i32): void { depth += by; }
/** False when what is there is nearly all that fits. */
export function hasRoom(): bool { return at < EMITTER_CODE + EMITTER_CODE_BYTES - ROOM; }

function byte(value: u32): void {
  store<u8>(at, value);
  at++;
}

export function bytes(from: usize, count: u32): void {
  memory.copy(at, from, count);
  at += count;
}

/** Unsigned LEB128. */
function u32Leb(value: u32): void {
  while (value >= 0x80) {
    byte(value | 0x80);
    value >>= 7;
  }
  byte(value);
}

/** Signed LEB128. */
function i64Leb(value: i64): void {
  while (value < -64 || value > 63) {
    byte(<u32>value | 0x80);
    value >>= 7;
  }
  byte(<u32>value & 0x7f);
}

/** An opcode, numbered as in src/wasm/opcodes.ts. */
export function op(code: u32): void {
  if (code <= 0xff) return byte(code);
  byte(code >> 12);
  u32Leb(code & 0xfff);
}

export function i32Const(value: i32): void {
  byte(WASM_I32_CONST);
  i64Leb(value);
}

export function i64Const(value: i64): void {
  byte(WASM_I64_CONST);
  i64Leb(value);
}

export function get(local: u32): void {
  byte(WASM_LOCAL_GET);
  u32Leb(local);
}

export function set(local: u32): void {
  byte(WASM_LOCAL_SET);
  u32Leb(local);
}

/** A load or store that promises no alignment. */
export function access(code: u32, offset: u32): void {
  op(code);
  byte(0);
  u32Leb(offset);
}

/** One at a constant address: of a store the value follows the address, so the two are apart. */
export function loadAt(code: u32, address: u32): void {
  i32Const(0);
  access(code, address);
}

export function call(index: u32): void {
  byte(WASM_CALL);
  u32Leb(index);
}

/** A label is the depth of what it belongs to. */
export function openBlock(): i32 { return open(WASM_BLOCK); }
export function openLoop(): i32 { return open(WASM_LOOP); }
export function openIf(): i32 { return open(WASM_IF); }

function open(code: u32): i32 {
  byte(code);
  byte(TYPE_EMPTY);
  return ++depth;
}

export function otherwise(): void { byte(WASM_ELSE); }

export function end(): void {
  byte(WASM_END);
  depth--;
}

export function br(label: i32): void {
  byte(WASM_BR);
  u32Leb(depth - label);
}

/** The head of a br_table; its labels and the one for all other values follow. */
export function brTable(labels: u32): void {
  byte(WASM_BR_TABLE);
  u32Leb(labels);
}

export function brTableLabel(label: i32): void { u32Leb(depth - label); }
