// Sizes for people, both ways.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { humanSize, parseSizeArgument } from './human-size.ts';

// prettier-ignore
const SHOWN: readonly (readonly [bytes: number, text: string])[] = [
  [0, '0 B'], [512, '512 B'], [999, '999 B'], [1000, '0.977 KiB'], [1024, '1 KiB'], [1265664, '1.21 MiB'], [1023 * 1024, '0.999 MiB'],
  [3168256, '3.02 MiB'], [200704, '196 KiB'], [3 * 1024 ** 4, '3 TiB'],
];
for (const [bytes, text] of SHOWN) test(`${bytes} is ${text}`, () => assert.equal(humanSize(bytes), text));

// prettier-ignore
const TAKEN: readonly (readonly [text: string, bytes: bigint])[] = [
  ['1M', 1048576n], ['1.5k', 1536n], ['0x100', 256n], ['1.', 1n], ['0.1M', 104858n], ['7E', 8070450532247928832n], [' +3b', 3n],
];
for (const [text, bytes] of TAKEN) test(`${text} is ${bytes}`, () => assert.equal(parseSizeArgument('size', text), bytes));

for (const text of ['', 'x', '1.5', '1kk', '.5k', '-1', '1e3', '9E']) {
  test(`'${text}' is refused`, () => assert.throws(() => parseSizeArgument('size', text), /Invalid size specified/));
}
