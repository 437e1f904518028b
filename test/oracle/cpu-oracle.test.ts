// What the processor oracle itself must get right: every kind of ending, in every mode.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openOracle } from './cpu-oracle.ts';
import type { Oracle } from './cpu-oracle.ts';
import { PAGE_BYTES, REGION, readOnlyPage } from './oracle-case.ts';
import type { OracleCase, OracleMode, OracleResult } from './oracle-case.ts';

const opened = await openOracle();
const skip = 'skip' in opened ? opened.skip : false;

type Registers = Partial<Record<'rax' | 'rcx' | 'rdx' | 'rbx' | 'rsp' | 'rsi' | 'rdi', bigint>>;
const NUMBERS = { rax: 0, rcx: 1, rdx: 2, rbx: 3, rsp: 4, rsi: 6, rdi: 7 } as const;

function caseOf(hex: string, registers: Registers = {}, more: Partial<OracleCase> = {}): OracleCase {
  const values = new BigUint64Array(16);
  values[4] = BigInt(REGION.DATA + PAGE_BYTES / 2);
  for (const [name, value] of Object.entries(registers)) values[NUMBERS[name as keyof Registers]] = value;
  const code = Uint8Array.from(hex.split(' '), (byte) => Number.parseInt(byte, 16));
  return { mode: 'long', code, codeOffset: 0x100, registers: values, flags: 0, data: new Uint8Array(), dataOffset: 0, ...more };
}

describe('the processor oracle', { skip }, () => {
  let oracle: Oracle;
  before(() => {
    assert(!('skip' in opened));
    oracle = opened;
  });
  after(() => oracle.close());
  const runOne = async (one: OracleCase): Promise<OracleResult> => (await oracle.run([one]))[0]!;

  test('an addition gives its sum and flags', async () => {
    const { outcome, registers, flags } = await runOne(caseOf('48 01 c8', { rax: 0x7fffffffffffffffn, rcx: 1n }));
    assert.equal(outcome, 'completed');
    assert.equal(registers[0], 0x8000000000000000n);
    assert.equal(flags & 0x8d5, 0x894); // OF SF AF PF
  });

  test('a store shows as the changed bytes', async () => {
    const result = await runOne(caseOf('89 08', { rax: BigInt(REGION.DATA + 8), rcx: 0x11ff3344n }, {
      data: Uint8Array.from([0xff]), dataOffset: 10,
    }));
    assert.deepEqual(result.changes.map(({ offset, bytes }) => [offset, ...bytes]), [[8, 0x44, 0x33], [11, 0x11]]);
  });

  test('a page fault reports error code and address', async () => {
    const read = await runOne(caseOf('8b 08', { rax: BigInt(REGION.DATA + PAGE_BYTES - 2) }));
    assert.deepEqual([read.outcome, read.vector, read.errorCode, read.cr2], ['trap', 14, 4, BigInt(REGION.DATA + PAGE_BYTES)]);
    const write = await runOne(caseOf('89 08', { rax: BigInt(REGION.READ_ONLY + 16) }));
    assert.deepEqual([write.vector, write.errorCode, write.cr2], [14, 7, BigInt(REGION.READ_ONLY + 16)]);
    const fetch = await runOne(caseOf('90', {}, { codeOffset: PAGE_BYTES - 1 }));
    assert.deepEqual([fetch.vector, fetch.cr2], [14, BigInt(REGION.CODE + PAGE_BYTES)]);
    assert.equal(fetch.errorCode & 7, 4);
  });

  test('the read-only page has its pattern', async () => {
    const { registers } = await runOne(caseOf('0f b6 08', { rax: BigInt(REGION.READ_ONLY + 100) }));
    assert.equal(registers[1], BigInt(readOnlyPage()[100]!));
  });

  test('exceptions are told apart', async () => {
    const vectorOf = async (hex: string, registers?: Registers): Promise<number> => (await runOne(caseOf(hex, registers))).vector;
    assert.equal(await vectorOf('48 f7 f1'), 0); // DIV by 0
    assert.equal(await vectorOf('0f 0b'), 6); // UD2
    assert.equal(await vectorOf('f4'), 13); // HLT
    assert.equal(await vectorOf('8b 08', { rax: 0x8000_0000_0000n }), 13); // not canonical
    assert.equal(await vectorOf('50', { rsp: 0x8000_0000_0010n }), oracle.tellsStackFaults ? 12 : 13);
    assert.equal(await vectorOf('cc 90'), 3);
  });

  test('a loop without end is stopped, the next case runs', async () => {
    const [late, next] = await oracle.run([caseOf('eb fe'), caseOf('90')]);
    assert.equal(late!.outcome, 'timeout');
    assert.equal(next!.outcome, 'completed');
  });

  test('system calls are refused', async () => {
    for (const hex of ['0f 05', '0f 34', 'cd 80', '90 cd 21']) assert.equal((await runOne(caseOf(hex))).outcome, 'refused');
  });

  test('AC, NT and ID left set do not disturb', async () => {
    const popped = { data: Uint8Array.from([0xd7, 0x40, 0x24, 0]), dataOffset: PAGE_BYTES / 2 };
    const [first, second] = await oracle.run([caseOf('9d', {}, popped), caseOf('90')]);
    assert.equal(first!.outcome, 'completed');
    assert.equal(first!.flags & 0x244000, 0x244000);
    assert.equal(second!.outcome, 'completed');
    assert.equal(second!.flags & 0x244000, 0);
  });

  test('x87, SSE and AVX state goes in and out', async () => {
    const fxsave = new Uint8Array(512);
    const view = new DataView(fxsave.buffer);
    view.setUint16(0, 0x37f, true);
    view.setUint32(24, 0x1f80, true);
    for (let n = 0; n < 4; n++) view.setFloat32(160 + 4 * n, n + 0.5, true);
    for (let n = 0; n < 4; n++) view.setFloat32(176 + 4 * n, 1, true);
    const sse = await runOne(caseOf('0f 58 c1', {}, { fxsave })); // ADDPS XMM0, XMM1
    assert.deepEqual([...new Float32Array(sse.fxsave!.slice(160, 176).buffer)], [1.5, 2.5, 3.5, 4.5]);
    const x87 = await runOne(caseOf('d9 e8 d9 eb', {}, { fxsave })); // FLD1; FLDPI
    const image = new DataView(x87.fxsave!.buffer);
    assert.equal(image.getUint16(2, true) & 0x3800, 6 << 11);
    assert.equal(image.getUint8(4), 0xc0);
    assert.equal(image.getBigUint64(32, true), 0xc90fdaa22168c235n);
    if (!oracle.hasYmm) return;
    const ymmHigh = new Uint8Array(256).map((_, index) => index);
    const avx = await runOne(caseOf('c5 fd 6f d3', {}, { fxsave, ymmHigh })); // VMOVDQA YMM2, YMM3
    assert.deepEqual(avx.ymmHigh!.subarray(32, 48), ymmHigh.subarray(48, 64));
  });

  test('FS and GS have their bases', async () => {
    const { changes } = await runOne(caseOf('64 89 08 65 89 08', { rcx: 0x55n }));
    assert.deepEqual(changes.map(({ offset }) => offset), [REGION.FS_BASE - REGION.DATA, REGION.GS_BASE - REGION.DATA]);
  });

  test('32-bit code', async (t) => {
    if (!oracle.modes.includes('flat32')) return t.skip('the host runs 64-bit code only');
    const inMode = (mode: OracleMode, hex: string, registers?: Registers): Promise<OracleResult> =>
      runOne(caseOf(hex, registers, { mode }));
    const aaa = await inMode('flat32', '37 41', { rax: 0x0fn, rcx: 0xffffffffn }); // AAA; INC ECX
    assert.equal(aaa.outcome, 'completed');
    assert.equal(aaa.registers[0], 0x105n);
    assert.equal(aaa.registers[1]! & 0xffffffffn, 0n);
    const pushed = await inMode('flat32', '60'); // PUSHA
    assert.equal(pushed.registers[4], BigInt(REGION.DATA + PAGE_BYTES / 2 - 32));
    assert.equal((await inMode('flat32', 'd4 00')).vector, 0); // AAM 0
    assert.equal((await inMode('flat32', '0f 0b')).rip, BigInt(REGION.CODE + 0x100));
  });

  test('segmented 16- and 32-bit code', async (t) => {
    if (!oracle.modes.includes('segmented16')) return t.skip('no LDT');
    const data = BigInt(REGION.DATA - REGION.BASE);
    const store: Partial<OracleCase> = { mode: 'segmented16' };
    const bx = await runOne(caseOf('89 0f 51', { rbx: data + 4n, rcx: 0x12345678n, rsp: data + 0x20n }, store)); // MOV [BX], CX; PUSH CX
    assert.deepEqual(bx.changes.map(({ offset, bytes }) => [offset, ...bytes]), [[4, 0x78, 0x56], [0x1e, 0x78, 0x56]]);
    const limit = await runOne(caseOf('66 8b 07', { rbx: 0xfffdn }, store));
    assert.deepEqual([limit.vector, limit.errorCode], [13, 0]);
    const wide = await runOne(caseOf('89 08', { rax: data, rcx: 0x12345678n }, { mode: 'segmented32' }));
    assert.equal(wide.changes[0]!.bytes.length, 4);
  });

  test('20,000 cases take about a second', async () => {
    const cases = Array.from({ length: 20_000 }, (_, n) => caseOf('48 01 c8', { rax: BigInt(n), rcx: 1n }));
    const results = await oracle.run(cases);
    assert(results.every(({ outcome, registers }, n) => outcome === 'completed' && registers[0] === BigInt(n + 1)));
  });
});
