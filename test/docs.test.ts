// The generated reference pages are what the declarations say now.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quirksIn, stalePages } from '../tools/docs.ts';

test('generated pages are fresh (else: npm run docs)', () => assert.deepEqual(stalePages(), []));

test('a quirk is the rest of its comment', () => {
  const lines = ['// A. QUIRK: one', '// and two.', 'code(); // QUIRK: three', '/** QUIRK: four. */', '/* x', ' * QUIRK: five', ' */'];
  assert.deepEqual(quirksIn(lines.join('\n')), ['one and two.', 'three', 'four.', 'five']);
});
