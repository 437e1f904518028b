// Differential bench for floating point: the same random cases through the support module and through the processor
// of this machine (fp-oracle.c), compared field by field. Not a test itself; src/cpu/fp.test.ts says which cases.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cpuOffset } from '../../src/cpu/x86/state.ts';
import { PHYS, PHYS_MAP, VCPU_AREA } from '../../src/memory/memory-map.ts';
import { sameButForNans } from './compare-vectors.ts';

/** Layout of a record, as in fp-oracle.c. */
export const RECORD = { BYTES: 272, MXCSR: 4, FCW: 8, FSW: 10, FTW: 12, RAX: 16, RFLAGS: 24, ST: 32, XMM: 160, MEMORY: 208 } as const;
const STUB_BYTES = 32;
const MEMORY_BYTES = 64;
const ARITHMETIC_FLAGS = 0x8d5;
const FAULT_NONE = 0xffffffff;

/** Addresses a case may use inside the shared memory. */
export const SLOT = {
  xmm: (n: number): number => VCPU_AREA + cpuOffset(`ymm${n}`),
  fpr: (n: number): number => VCPU_AREA + cpuOffset(`fpr${n}`),
  rax: VCPU_AREA + cpuOffset('rax'),
  /** Holds the linear address of `memory`. */
  tmp0: VCPU_AREA + cpuOffset('tmp0'),
  memory: 60 * 1024 * 1024,
  /** Holds the linear address of `image`, a place for state images. */
  tmp1: VCPU_AREA + cpuOffset('tmp1'),
  image: 60 * 1024 * 1024 + 4096,
} as const;

export type SupportFunction = (d: number, a: number, b: number, imm: number) => void;
export type Support = Readonly<Record<string, SupportFunction>>;

export interface FpOp {
  readonly name: string;
  readonly code: readonly number[];
  readonly run: (support: Support) => void;
  /** Compare EFLAGS as well. */
  readonly flags?: boolean;
  /** Bits of the x87 status word that are compared. */
  readonly statusMask?: number;
  /** How much of the memory operand is compared. */
  readonly memoryBytes?: number;
  /** How far apart, in units of the last place, an x87 result may be. */
  readonly ulps?: number;
  /** Bytes of a lane where processors differ in which NaN they keep. */
  readonly anyNan?: 4 | 8;
}

export interface Bench {
  readonly support: Support;
  readonly memory: WebAssembly.Memory;
}

/** Why the real processor cannot be asked, or undefined. */
export function oracleMissing(): string | undefined {
  if (process.arch !== 'x64' || process.platform !== 'linux') return 'needs Linux on x86-64';
  try {
    execFileSync('cc', ['--version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'needs a C compiler (cc)';
  }
}

export async function loadBench(): Promise<Bench> {
  const bytes = readFileSync(fileURLToPath(new URL('../../wasm/support.wasm', import.meta.url)));
  const memory = new WebAssembly.Memory({ initial: 2560, maximum: 65536, shared: true });
  const module = await WebAssembly.compile(bytes);
  const env: Record<string, unknown> = {};
  for (const { name, kind } of WebAssembly.Module.imports(module)) if (kind === 'function') env[name] = () => 0;
  const { exports } = await WebAssembly.instantiate(module, { env: { ...env, memory, cpu: VCPU_AREA } });
  const support = exports as unknown as Support;
  support['resetCpu']!(0, 0, 0, 0);
  const view = new DataView(memory.buffer);
  // Paging stays off, and these pages of guest memory are at the same address in the shared memory.
  for (const page of [SLOT.memory, SLOT.image]) view.setUint32(PHYS_MAP + (page >>> 12) * 4, page | PHYS.READABLE | PHYS.WRITABLE, true);
  return { support, memory };
}

let folder: string | undefined;

/** Compiles the oracle once; the folder goes when the process ends. */
function oracleFolder(): string {
  if (folder !== undefined) return folder;
  const created = mkdtempSync(join(tmpdir(), 'nandu-fp-'));
  process.once('exit', () => rmSync(created, { recursive: true, force: true }));
  const source = fileURLToPath(new URL('../../../test/oracle/fp-oracle.c', import.meta.url));
  execFileSync('cc', ['-O1', '-o', join(created, 'oracle'), source]);
  folder = created;
  return folder;
}

/** Runs `records` (filled in by the caller) through the processor; returns what they became. */
function runOracle(ops: readonly FpOp[], records: Uint8Array): Uint8Array {
  const at = oracleFolder();
  const stubs = new Uint8Array(4 + ops.length * STUB_BYTES);
  new DataView(stubs.buffer).setUint32(0, ops.length, true);
  ops.forEach(({ code }, n) => stubs.set([code.length, ...code], 4 + n * STUB_BYTES));
  writeFileSync(join(at, 'in'), Buffer.concat([stubs, records]));
  execFileSync(join(at, 'oracle'), [join(at, 'in'), join(at, 'out')]);
  return readFileSync(join(at, 'out'));
}

// prettier-ignore
const FIELD_NAMES = ['mxcsr', 'fcw', 'fsw', 'ftwEmpty', 'rax', 'rdx', 'ccA', 'cr0', 'cr4', 'xcr0', 'modeKey', 'faultVector'];
const FIELDS = Object.fromEntries(FIELD_NAMES.map((name) => [name, VCPU_AREA + cpuOffset(name)]));
function loadState(view: DataView, bytes: Uint8Array, records: Uint8Array, record: DataView, at: number): void {
  const fsw = record.getUint16(at + RECORD.FSW, true);
  view.setUint32(FIELDS['mxcsr']!, record.getUint32(at + RECORD.MXCSR, true), true);
  view.setUint16(FIELDS['fcw']!, record.getUint16(at + RECORD.FCW, true), true);
  view.setUint16(FIELDS['fsw']!, fsw, true);
  view.setUint8(FIELDS['ftwEmpty']!, ~record.getUint16(at + RECORD.FTW, true));
  bytes.set(records.subarray(at + RECORD.RAX, at + RECORD.RAX + 8), FIELDS['rax']!);
  view.setUint32(FIELDS['ccA']!, record.getUint32(at + RECORD.RFLAGS, true), true);
  view.setUint32(FIELDS['faultVector']!, FAULT_NONE, true);
  view.setUint32(FIELDS['cr0']!, 0x31, true);
  view.setUint32(FIELDS['cr4']!, 0x40600, true);
  view.setUint32(FIELDS['xcr0']!, 7, true);
  view.setUint32(FIELDS['rdx']!, 0, true);
  view.setUint32(FIELDS['modeKey']!, 2, true); // 64-bit code
  const top = (fsw >> 11) & 7;
  for (let n = 0; n < 8; n++) {
    const target = SLOT.fpr((top + n) & 7);
    bytes.set(records.subarray(at + RECORD.ST + 16 * n, at + RECORD.ST + 16 * n + 16), target);
  }
  for (let n = 0; n < 3; n++) bytes.set(records.subarray(at + RECORD.XMM + 16 * n, at + RECORD.XMM + 16 * n + 16), SLOT.xmm(n));
  bytes.set(records.subarray(at + RECORD.MEMORY, at + RECORD.MEMORY + MEMORY_BYTES), SLOT.memory);
  view.setUint32(SLOT.tmp0, SLOT.memory, true);
  view.setUint32(SLOT.tmp0 + 4, 0, true);
  view.setUint32(SLOT.tmp1, SLOT.image, true);
  view.setUint32(SLOT.tmp1 + 4, 0, true);
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).reverse().toString('hex');

/** Position of an 80-bit value among all of its sign. */
function ordinal(bytes: Uint8Array): bigint {
  const words = Buffer.from(bytes);
  return (BigInt(words.readUInt16LE(8)) << 63n) + BigInt.asUintN(63, words.readBigUInt64LE());
}

function unitsApart(got: Uint8Array, want: Uint8Array): number {
  return Math.abs(Number(ordinal(got) - ordinal(want)));
}

/** Differences between the state in the shared memory and a record of the processor. */
function differences(op: FpOp, view: DataView, bytes: Uint8Array, record: DataView, at: number): string[] {
  const wanted = new Uint8Array(record.buffer, record.byteOffset, record.byteLength);
  const found: string[] = [];
  const number = (name: string, got: number, want: number): void => {
    if (got !== want) found.push(`${name} ${got.toString(16)}, processor ${want.toString(16)}`);
  };
  const block = (name: string, address: number, offset: number, length: number, ulps = 0): void => {
    const got = bytes.subarray(address, address + length);
    const want = wanted.subarray(offset, offset + length);
    if (Buffer.compare(got, want) === 0) return;
    if (ulps > 0 && unitsApart(got, want) <= ulps) return;
    found.push(`${name} ${hex(got)}, processor ${hex(want)}`);
  };
  number('fault', Number(view.getUint32(FIELDS['faultVector']!, true) !== FAULT_NONE), Number(record.getUint32(at, true) !== 0));
  number('mxcsr', view.getUint32(FIELDS['mxcsr']!, true), record.getUint32(at + RECORD.MXCSR, true));
  number('fcw', view.getUint16(FIELDS['fcw']!, true), record.getUint16(at + RECORD.FCW, true));
  const fsw = view.getUint16(FIELDS['fsw']!, true);
  const mask = op.statusMask ?? 0xffff;
  number('fsw', fsw & mask, record.getUint16(at + RECORD.FSW, true) & mask);
  number('ftw', ~view.getUint8(FIELDS['ftwEmpty']!) & 0xff, record.getUint8(at + RECORD.FTW));
  const top = (fsw >> 11) & 7;
  for (let n = 0; n < 8; n++) block(`st${n}`, SLOT.fpr((top + n) & 7), at + RECORD.ST + 16 * n, 10, op.ulps);
  for (let n = 0; n < 3; n++) {
    const [address, offset] = [SLOT.xmm(n), at + RECORD.XMM + 16 * n];
    const [got, want] = [bytes.subarray(address, address + 16), wanted.subarray(offset, offset + 16)];
    if (op.anyNan === undefined || !sameButForNans(got, want, op.anyNan)) block(`xmm${n}`, address, offset, 16);
  }
  block('rax', FIELDS['rax']!, at + RECORD.RAX, 8);
  block('memory', SLOT.memory, at + RECORD.MEMORY, op.memoryBytes ?? MEMORY_BYTES);
  if (op.flags) {
    const flags = view.getUint32(FIELDS['ccA']!, true); // a helper that writes flags leaves them materialised there
    number('eflags', flags & ARITHMETIC_FLAGS, record.getUint32(at + RECORD.RFLAGS, true) & ARITHMETIC_FLAGS);
  }
  return found;
}

function describe(records: Uint8Array, record: DataView, at: number): string {
  const part = (offset: number, length: number): string => hex(records.subarray(at + offset, at + offset + length));
  const st = [0, 1, 2].map((n) => part(RECORD.ST + 16 * n, 10)).join(' ');
  const xmm = [0, 1, 2].map((n) => part(RECORD.XMM + 16 * n, 16)).join(' ');
  const words = `mxcsr ${part(RECORD.MXCSR, 4)} fcw ${part(RECORD.FCW, 2)} fsw ${part(RECORD.FSW, 2)} ftw ${part(RECORD.FTW, 2)}`;
  return `in: ${words} rax ${part(RECORD.RAX, 8)} st ${st} xmm ${xmm} memory ${part(RECORD.MEMORY, 16)}`;
}

/** Runs `count` cases that `fill` makes; returns a description of the first failures. */
export function compareWithProcessor(
  bench: Bench,
  ops: readonly FpOp[],
  count: number,
  fill: (record: DataView, at: number, op: number) => void,
  failuresMax = 5,
): string[] {
  const records = new Uint8Array(count * RECORD.BYTES);
  const record = new DataView(records.buffer);
  for (let n = 0; n < count; n++) {
    const op = n % ops.length;
    fill(record, n * RECORD.BYTES, op);
    record.setUint32(n * RECORD.BYTES, op, true);
  }
  const wanted = runOracle(ops, records);
  const outcome = new DataView(wanted.buffer, wanted.byteOffset, wanted.byteLength);
  const view = new DataView(bench.memory.buffer);
  const bytes = new Uint8Array(bench.memory.buffer);
  const failures: string[] = [];
  for (let n = 0; n < count && failures.length < failuresMax; n++) {
    const at = n * RECORD.BYTES;
    const op = ops[n % ops.length]!;
    loadState(view, bytes, records, record, at);
    op.run(bench.support);
    const found = differences(op, view, bytes, outcome, at);
    if (found.length > 0) failures.push(`${op.name}: ${found.join('; ')}\n  ${describe(records, record, at)}`);
  }
  return failures;
}
