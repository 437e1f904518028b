// A test case for the processor oracle and its result: types, the memory the code sees, and the binary records exchanged
// with cpu-oracle.c. The record layouts are declared here once; cHeader() gives the same constants to the C program.
// Not the driver (cpu-oracle.ts), nor the choice of cases (random-code.ts).
import { assert } from '../../src/base/assert.ts';

/** Linear addresses, the same in the runner's process and in an emulator's page tables. All user pages, 4 KiB each. */
export const REGION = {
  BASE: 0x200000, // base of the 64 KiB segments of the segmented modes
  CODE: 0x201000, // readable, executable; filled with INT3 around the code; the pages on both sides are not mapped
  DATA: 0x204000, // readable, writable, not executable; the pages on both sides are not mapped
  READ_ONLY: 0x206000, // readable only; the pages on both sides are not mapped
  END: 0x210000,
  FS_BASE: 0x204400, // 64-bit mode only; in the other modes FS and GS hold null selectors
  GS_BASE: 0x204800,
} as const;
export const PAGE_BYTES = 4096;
export const CODE_BYTES_MAX = 64;

/** The unchanging content of the read-only page. */
export function readOnlyPage(): Uint8Array {
  return Uint8Array.from({ length: PAGE_BYTES }, (_, index) => (index * 37 + 11) & 0xff);
}

export interface OracleSegment {
  readonly selector: number;
  readonly base: number;
  readonly limit: number;
  /** D/B bit. */
  readonly big: boolean;
}
/** What CS and the data segments (DS, ES, SS) hold in a mode. All of DPL 3; code readable; data writable, expand-up. */
export interface OracleModeSegments {
  readonly number: number;
  readonly bits: 16 | 32 | 64;
  readonly code: OracleSegment;
  readonly data: OracleSegment;
}

const flat = (selector: number): OracleSegment => ({ selector, base: 0, limit: 0xffffffff, big: true });
const small = (selector: number, big: boolean): OracleSegment => ({ selector, base: REGION.BASE, limit: 0xffff, big });

/** Selectors below 8 with bit 2 set are in the LDT: entries 0 and 1 (16-bit), 2 and 3 (32-bit). */
export const ORACLE_MODES = {
  long: { number: 0, bits: 64, code: flat(0x33), data: flat(0x2b) },
  flat32: { number: 1, bits: 32, code: flat(0x23), data: flat(0x2b) },
  segmented16: { number: 2, bits: 16, code: small(0x07, false), data: small(0x0f, false) },
  segmented32: { number: 3, bits: 32, code: small(0x17, true), data: small(0x1f, true) },
} as const satisfies Record<string, OracleModeSegments>;
export type OracleMode = keyof typeof ORACLE_MODES;

export interface OracleCase {
  readonly mode: OracleMode;
  /** 1 to CODE_BYTES_MAX bytes at REGION.CODE + codeOffset. An INT3 follows unless the code ends with its page. */
  readonly code: Uint8Array;
  readonly codeOffset: number;
  /** In encoding order: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15. */
  readonly registers: BigUint64Array;
  /** RFLAGS: the arithmetic flags, DF, TF and AC count; the rest is ignored. */
  readonly flags: number;
  /** x87, MMX, SSE and MXCSR as FXSAVE64 lays them out. Absent: the state after FNINIT, registers 0, MXCSR 1F80h. */
  readonly fxsave?: Uint8Array;
  /** Upper halves of YMM0..15. Only with fxsave. */
  readonly ymmHigh?: Uint8Array;
  /** Initial content of the data page from dataOffset; the rest of the page is 0. */
  readonly data: Uint8Array;
  readonly dataOffset: number;
}

/** completed: the INT3 behind the code was reached. crash: the runner died (the processor's answer is not known). */
export const ORACLE_OUTCOMES = ['completed', 'trap', 'timeout', 'refused', 'crash'] as const;
export type OracleOutcome = (typeof ORACLE_OUTCOMES)[number];

export interface MemoryChange {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface OracleResult {
  readonly outcome: OracleOutcome;
  /** Vector, error code, CR2 and saved RIP (an offset from CS.base) of the event that ended the case; CR2 only of a #PF. */
  readonly vector: number;
  readonly errorCode: number;
  readonly cr2: bigint;
  readonly rip: bigint;
  readonly registers: BigUint64Array;
  readonly flags: number;
  /** Present when the case brought them. */
  readonly fxsave?: Uint8Array;
  readonly ymmHigh?: Uint8Array;
  /** Bytes of the data page that differ from its initial content. */
  readonly changes: readonly MemoryChange[];
}

type FieldWidth = 1 | 2 | 4 | 8;
type Layout = readonly (readonly [name: string, width: FieldWidth, count: number])[];

// prettier-ignore
const CASE_FIELDS = [
  ['bytes', 4, 1],       // of the whole record, a multiple of 8
  ['mode', 1, 1], ['codeLength', 1, 1], ['parts', 1, 1], ['reserved', 1, 1],
  ['codeOffset', 2, 1], ['dataOffset', 2, 1], ['dataLength', 2, 1], ['reserved2', 2, 1],
  ['registers', 8, 16], ['flags', 8, 1],
  // then, each padded to 8: fxsave (512) if PART.FX, ymmHigh (256) if PART.YMM, code, data
] as const satisfies Layout;

// prettier-ignore
const RESULT_FIELDS = [
  ['bytes', 4, 1],
  ['outcome', 1, 1], ['vector', 1, 1], ['parts', 1, 1], ['reserved', 1, 1],
  ['errorCode', 4, 1], ['changeCount', 4, 1],
  ['cr2', 8, 1], ['rip', 8, 1], ['registers', 8, 16], ['flags', 8, 1],
  // then fxsave if PART.FX, ymmHigh if PART.YMM, changeCount times {offset u16, length u16, bytes padded to 4}, pad to 8
] as const satisfies Layout;

const PART = { FX: 1, YMM: 2 } as const;
const FX_BYTES = 512;
const YMM_HIGH_BYTES = 256;

type Offsets<L extends Layout> = { readonly [K in L[number][0]]: number } & { readonly size: number };
function offsetsOf<L extends Layout>(layout: L): Offsets<L> {
  const offsets: Record<string, number> = {};
  let cursor = 0;
  for (const [name, width, count] of layout) {
    assert(cursor % width === 0, `${name} is not aligned`);
    offsets[name] = cursor;
    cursor += width * count;
  }
  return { ...offsets, size: cursor } as unknown as Offsets<L>;
}
const CASE = offsetsOf(CASE_FIELDS);
const RESULT = offsetsOf(RESULT_FIELDS);

/** The text of cpu-oracle-layout.h: the records as structs, and every constant the runner needs. */
export function cHeader(): string {
  const struct = (name: string, layout: Layout): string =>
    `struct ${name} {\n${layout.map(([f, w, n]) => `  uint${w * 8}_t ${f}${n === 1 ? '' : `[${n}]`};\n`).join('')}};\n`;
  const constants = (prefix: string, values: Record<string, number>): string =>
    Object.entries(values).map(([name, value]) => `#define ${prefix}${name} 0x${value.toString(16)}\n`).join('');
  const outcomes = Object.fromEntries(ORACLE_OUTCOMES.map((name, index) => [name.toUpperCase(), index]));
  const modes = Object.values(ORACLE_MODES).map(({ code, data }: OracleModeSegments) =>
    `  {${[code.selector, data.selector, code.base, code.limit >>> 0, data.base].join(', ')}},\n`).join('');
  return [
    '// Generated by test/oracle/cpu-oracle.ts.\n#include <stdint.h>\n',
    constants('REGION_', REGION), constants('PART_', PART), constants('OUTCOME_', outcomes),
    `#define CODE_BYTES_MAX ${CODE_BYTES_MAX}\n#define MODE_COUNT ${Object.keys(ORACLE_MODES).length}\n`,
    struct('case_header', CASE_FIELDS), struct('result_header', RESULT_FIELDS),
    'struct mode_segments { uint32_t cs, ds, code_base, limit, data_base; };\n',
    `static const struct mode_segments modes[MODE_COUNT] = {\n${modes}};\n`,
  ].join('');
}

const padded = (length: number): number => (length + 7) & ~7;

function caseBytes(test: OracleCase): number {
  const parts = (test.fxsave === undefined ? 0 : FX_BYTES) + (test.ymmHigh === undefined ? 0 : YMM_HIGH_BYTES);
  return CASE.size + parts + padded(test.code.length) + padded(test.data.length);
}

function encodeCase(test: OracleCase, view: DataView, bytes: Uint8Array, start: number): number {
  assert(test.code.length > 0 && test.code.length <= CODE_BYTES_MAX && test.codeOffset + test.code.length <= PAGE_BYTES, 'code size');
  assert(test.dataOffset + test.data.length <= PAGE_BYTES, 'data size');
  assert(test.ymmHigh === undefined || test.fxsave !== undefined, 'ymmHigh needs fxsave');
  const length = caseBytes(test);
  view.setUint32(start + CASE.bytes, length, true);
  bytes[start + CASE.mode] = ORACLE_MODES[test.mode].number;
  bytes[start + CASE.codeLength] = test.code.length;
  bytes[start + CASE.parts] = (test.fxsave === undefined ? 0 : PART.FX) | (test.ymmHigh === undefined ? 0 : PART.YMM);
  view.setUint16(start + CASE.codeOffset, test.codeOffset, true);
  view.setUint16(start + CASE.dataOffset, test.dataOffset, true);
  view.setUint16(start + CASE.dataLength, test.data.length, true);
  for (let n = 0; n < 16; n++) view.setBigUint64(start + CASE.registers + 8 * n, test.registers[n]!, true);
  view.setUint32(start + CASE.flags, test.flags, true);
  let cursor = start + CASE.size;
  for (const part of [test.fxsave, test.ymmHigh, test.code, test.data]) {
    if (part === undefined) continue;
    bytes.set(part, cursor);
    cursor += padded(part.length);
  }
  return length;
}

/** A batch as the runner reads it: {u32 bytes that follow the pair, u32 count}, then the cases. */
export function encodeBatch(cases: readonly OracleCase[]): Uint8Array {
  const length = cases.reduce((sum, test) => sum + caseBytes(test), 0);
  const bytes = new Uint8Array(8 + length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setUint32(4, cases.length, true);
  let cursor = 8;
  for (const test of cases) cursor += encodeCase(test, view, bytes, cursor);
  return bytes;
}

function decodeChanges(view: DataView, bytes: Uint8Array, count: number, start: number): MemoryChange[] {
  const changes: MemoryChange[] = [];
  let cursor = start;
  for (let n = 0; n < count; n++) {
    const length = view.getUint16(cursor + 2, true);
    changes.push({ offset: view.getUint16(cursor, true), bytes: bytes.slice(cursor + 4, cursor + 4 + length) });
    cursor += 4 + ((length + 3) & ~3);
  }
  return changes;
}

function decodeResult(view: DataView, bytes: Uint8Array, start: number): OracleResult {
  const parts = bytes[start + RESULT.parts]!;
  const registers = new BigUint64Array(16);
  for (let n = 0; n < 16; n++) registers[n] = view.getBigUint64(start + RESULT.registers + 8 * n, true);
  let cursor = start + RESULT.size;
  const fxsave = (parts & PART.FX) === 0 ? undefined : bytes.slice(cursor, (cursor += FX_BYTES));
  const ymmHigh = (parts & PART.YMM) === 0 ? undefined : bytes.slice(cursor, (cursor += YMM_HIGH_BYTES));
  return {
    outcome: ORACLE_OUTCOMES[bytes[start + RESULT.outcome]!]!,
    vector: bytes[start + RESULT.vector]!,
    errorCode: view.getUint32(start + RESULT.errorCode, true),
    cr2: view.getBigUint64(start + RESULT.cr2, true),
    rip: view.getBigUint64(start + RESULT.rip, true),
    registers,
    flags: view.getUint32(start + RESULT.flags, true),
    ...(fxsave === undefined ? {} : { fxsave }),
    ...(ymmHigh === undefined ? {} : { ymmHigh }),
    changes: decodeChanges(view, bytes, view.getUint32(start + RESULT.changeCount, true), cursor),
  };
}

/** The results of a batch, without the leading {u32 bytes, u32 count}. */
export function decodeBatch(bytes: Uint8Array, count: number): OracleResult[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const results: OracleResult[] = [];
  let cursor = 0;
  for (let n = 0; n < count; n++) {
    results.push(decodeResult(view, bytes, cursor));
    cursor += view.getUint32(cursor, true);
  }
  assert(cursor === bytes.length, 'a result record is longer than it says');
  return results;
}
