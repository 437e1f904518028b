// The opcode maps: that the declared rows of an opcode exclude each other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildDecodeTable, checkUnambiguous, type Candidate } from './decode-table.ts';
import './isa/all.ts';
import { row } from './row.ts';

test('no two rows of an opcode could both match', () => {
  const opcodes = buildDecodeTable().flat().filter((entry) => entry !== undefined);
  for (const { candidates } of opcodes) checkUnambiguous(candidates);
  assert(opcodes.length > 500, `only ${opcodes.length} opcodes`);
});

test('two rows that could both match are noticed', () => {
  const { instruction, prefixClass } = buildDecodeTable()[0]![0x00]!.candidates[0]!;
  const candidate = (text: string): Candidate => ({ row: row(text, ['Ev']), instruction, prefixClass });
  checkUnambiguous([candidate('FF /0'), candidate('FF /1')]);
  assert.throws(() => checkUnambiguous([candidate('FF /0'), candidate('FF /0')]), /ambiguous/);
});
