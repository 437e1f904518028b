// Tests of smbios.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../base/failure.ts';
import { buildSmbios, entryPoint, parseUuid } from './smbios.ts';

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => total + byte, 0) & 0xff;
const CONFIG = { cpuCount: 2, ramBytes: 4096 * 2 ** 20, lowRamBytes: 3072 * 2 ** 20 };

/** Types in the order of the table, with their strings, walked as a guest does. */
function walk(table: Uint8Array): { type: number; strings: string[] }[] {
  const result = [];
  for (let at = 0; at < table.length; ) {
    const type = table[at]!;
    let end = at + table[at + 1]!;
    const start = end;
    while (table[end] !== 0 || table[end + 1] !== 0) end++;
    result.push({ type, strings: String.fromCharCode(...table.subarray(start, end)).split('\0').filter((s) => s !== '') });
    at = end + 2;
  }
  return result;
}

test('the table holds the types in order and the entry point describes it', () => {
  const { entryPoint: entry, table } = buildSmbios({ ...CONFIG, product: 'Board', serial: 'S1' }, 0xf0060);
  const found = walk(table);
  assert.deepEqual(found.map(({ type }) => type), [0, 1, 3, 4, 4, 16, 17, 19, 19, 32, 127]);
  assert.deepEqual(found[1]!.strings, ['nandu', 'Board', 'pc', 'S1']);
  const fields = entryPoint.decode(entry);
  assert.equal(fields.structureCount, found.length);
  assert.equal(fields.tableBytes, table.length);
  assert.equal(fields.tableAddress, 0xf0060);
  assert.equal(sum(entry), 0);
  assert.equal(sum(entry.subarray(0x10)), 0);
});

test('the first three groups of a UUID are little endian', () => {
  const bytes = parseUuid('00112233-4455-6677-8899-aabbccddeeff');
  assert.equal(Buffer.from(bytes).toString('hex'), '33221100554477668899aabbccddeeff');
  assert.throws(() => parseUuid('0011'), Failure);
});
