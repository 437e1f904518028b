// Tests of key-value.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseKeyValue } from './key-value.ts';

// prettier-ignore
const cases: readonly [text: string, implied: string | undefined, pairs: readonly string[]][] = [
  ['', undefined, []],
  ['a=1', undefined, ['a=1']],
  ['a=1,b=2', undefined, ['a=1', 'b=2']],
  ['pc,accel=tcg', 'type', ['type=pc', 'accel=tcg']],
  ['accel=tcg', 'type', ['accel=tcg']],
  ['path=a,,b,,,c=1', undefined, ['path=a,b,', 'c=1']],
  ['a=x=y', undefined, ['a=x=y']],
  ['/a,,b,server,nowait', 'path', ['path=/a,b', 'server', 'nowait']],
  ['a=,b=', undefined, ['a=', 'b=']],
  ['', 'driver', ['driver=']],
];

for (const [text, implied, expected] of cases) {
  test(`'${text}' with implied ${implied}`, () => {
    const pairs = parseKeyValue(text, implied).map(({ name, value, bare }) => (bare ? name : `${name}=${value}`));
    assert.deepEqual(pairs, expected);
  });
}
