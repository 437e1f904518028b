// JSON as QEMU reads it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseJson } from './json.ts';

test('values', () => {
  assert.deepEqual(parseJson(`{'a': [1, -2.5e1, "x\\u0041\\'"], "b": {"__proto__": true}, 'c': null, 'd': {}, 'e': []} `), {
    a: [1, -25, "xA'"],
    b: Object.fromEntries([['__proto__', true]]),
    c: null,
    d: {},
    e: [],
  });
});

test('errors are those of QEMU 7.2', () => {
  // prettier-ignore
  const errors: readonly (readonly [text: string, message: string])[] = [
    ['{', 'premature EOI'], ["{'a':1", 'premature EOI'], ["{'a':1,}", 'expecting value'], ['{1:2}', 'key is not a string in object'],
    ["{'a' 1}", 'missing : in object pair'], ["{'a':[1 2]}", 'expected separator in list'], ["{'a':tru}", "invalid keyword 'tru'"],
    ["{'a':'x", "stray ''x'"], ["{'a':01}", "stray '01'"], ["{'a':-}", "stray '-}'"], ["{'a':1.5e}", "stray '1.5e}'"],
    ["{'a':'\\q'}", 'invalid escape sequence in string'], ["{'a':'\\u12'}", "\\u12' is not a valid Unicode character"],
    ["{'a':@}", "stray '@'"], ["{'a':1,'a':1}", 'duplicate key'], ['{,}', 'expecting value'],
  ];
  for (const [text, message] of errors) assert.throws(() => parseJson(text), { message: `JSON parse error, ${message}` }, text);
  for (const text of ["{'a':1}}", "{'a':1} x", '1 @']) {
    assert.throws(() => parseJson(text), { message: 'Expecting at most one JSON value' });
  }
  assert.throws(() => parseJson(' '), { message: 'Expecting a JSON value' });
  assert.throws(() => parseJson('['.repeat(2000)), { message: 'JSON nesting depth limit exceeded' });
});
