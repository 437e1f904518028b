// Tests of property.ts and size.ts.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bool, choice, identifier, propertiesFromJson, propertiesFromText, propertiesHelp, size, str, uint } from './property.ts';
import { formatSize, sizeFromText } from './size.ts';

const declared = {
  name: { type: str },
  wait: { type: bool, default: true },
  memory: { type: size('m') },
  port: { type: uint(16), help: 'I/O port', default: 0x501 },
  mode: { type: choice('fast', 'slow') },
  id: { type: identifier },
} as const;

test('values have the types that are declared', () => {
  const values = propertiesFromText(declared, 'x,nowait,memory=2,port=0x3f8,mode=slow,id=a-1', { impliedName: 'name' });
  assert.deepEqual(values, { name: 'x', wait: false, memory: 2097152, port: 0x3f8, mode: 'slow', id: 'a-1' });
});

test('JSON gives the same values', () => {
  const values = propertiesFromJson(declared, { name: 'x', wait: false, memory: 2097152, port: 0x3f8, mode: 'slow' });
  assert.deepEqual(values, { name: 'x', wait: false, memory: 2097152, port: 0x3f8, mode: 'slow' });
});

// prettier-ignore
const refused: readonly [text: string, message: string][] = [
  ['foo=1', "Invalid parameter 'foo'"],
  ['nofoo', "Invalid parameter 'nofoo'"],
  ['constructor=1', "Invalid parameter 'constructor'"],
  ['wait=maybe', "Parameter 'wait' expects 'on' or 'off'"],
  ['port=zz', "Parameter 'port' expects integer"],
  ['port=-1', "Parameter 'port' expects uint16_t"],
  ['port=65536', "Parameter 'port' expects uint16_t"],
  ['memory=', "Parameter 'memory' expects a non-negative number below 2^64"],
  ['memory=16E', "Value '16E' is out of range for parameter 'memory'"],
  ['mode=medium', "Parameter 'mode' does not accept value 'medium'"],
  ['id=1a', "Parameter 'id' expects an identifier"],
];
for (const [text, message] of refused) {
  test(`'${text}' is refused`, () => assert.throws(() => propertiesFromText(declared, text), { name: 'Failure', message }));
}

test('a number of the wrong kind in JSON is refused', () => {
  assert.throws(() => propertiesFromJson(declared, { port: '4' }), { message: "Parameter 'port' expects uint64" });
});

test('help shows type, explanation and default', () => {
  const { port, wait } = declared;
  assert.equal(
    propertiesHelp('x', { port, wait }),
    'x options:\n  port=<uint16>          - I/O port (default: 1281)\n  wait=<bool>            -  (default: on)\n',
  );
});

describe('sizes', () => {
  // prettier-ignore
  const sizes: readonly [text: string, unit: string, bytes: number | undefined][] = [
    ['0', 'b', 0], ['12', 'b', 12], ['12', 'm', 12 * 2 ** 20], ['1k', 'm', 1024], ['1.5G', 'm', 1.5 * 2 ** 30], ['0x10', 'b', 16],
    ['2T', 'b', 2 ** 41], ['1.', 'b', 1], ['-1', 'b', undefined], ['1x', 'b', undefined], ['', 'b', undefined], ['1 k', 'b', undefined],
    ['k', 'b', undefined], ['.5G', 'b', undefined],
  ];
  for (const [text, unit, bytes] of sizes) {
    test(`'${text}' in ${unit}`, () => assert.equal(sizeFromText(text, unit), bytes));
  }

  test('are written as short as exact', () => {
    assert.deepEqual([0, 1000, 1024, 3 * 2 ** 30, 2 ** 20 + 1].map(formatSize), ['0', '1000', '1K', '3G', '1048577']);
  });
});
