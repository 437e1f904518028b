// Symbols of ELF files and of System.map.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concatBytes, cString, layout, le16, le32, le64, u8 } from '../struct/layout.ts';
import { Failure } from '../base/failure.ts';
import { readSymbolFile } from './symbol-files.ts';
import { SymbolTable } from './symbols.ts';

// prettier-ignore
const header = layout('ELF64', { magic: le32(0), class: u8(4), data: u8(5), shoff: le64(40), shentsize: le16(58), shnum: le16(60) }, 64);
const section = layout('section', { type: le32(4), offset: le64(24), size: le64(32), link: le32(40) }, 64);
const symbol = layout('symbol', { name: le32(0), info: u8(4), section: le16(6), value: le64(8) }, 24);

function elf(): Uint8Array {
  const strings = concatBytes(cString(''), cString('alpha'), cString('beta'), cString('undefined'));
  const table = concatBytes(
    symbol.encode({}),
    symbol.encode({ name: 1, info: 0x12, section: 1, value: 0xffff_ffff_8100_0000n }),
    symbol.encode({ name: 7, info: 0x12, section: 1, value: 0xffff_ffff_8100_0100n }),
    symbol.encode({ name: 12, info: 0x12, section: 0, value: 0n }),
    symbol.encode({ name: 1, info: 0x03, section: 1, value: 0x1000n }),
  );
  const at = header.sizeBytes + 3 * section.sizeBytes;
  return concatBytes(
    header.encode({ magic: 0x464c457f, class: 2, data: 1, shoff: BigInt(header.sizeBytes), shentsize: section.sizeBytes, shnum: 3 }),
    section.encode({}),
    section.encode({ type: 2, offset: BigInt(at), size: BigInt(table.length), link: 2 }),
    section.encode({ type: 3, offset: BigInt(at + table.length), size: BigInt(strings.length) }),
    table, strings,
  );
}

test('the symbol table of an ELF file', () => {
  const table = new SymbolTable(readSymbolFile('a', elf()), 0x1000);
  assert.equal(table.count, 2);
  assert.equal(table.nameOf(-0x7f00_0000 + 0x1010), 'alpha');
  assert.equal(table.nameOf(-0x7f00_0000 + 0x1100), 'beta');
});

test('System.map, where the shorter of two names stands for both', () => {
  const text = 'ffffffff81000000 T startup_64\nffffffff81000000 T _text\nffffffff81000040 t beta\n000000000001fbc0 A current_task\n';
  const table = new SymbolTable(readSymbolFile('System.map', new TextEncoder().encode(text)));
  assert.equal(table.nameOf(-0x7f00_0000), '_text');
  assert.deepEqual([...table.find(['startup_64', 'current_task'])].sort(), [['current_task', 0x1fbc0], ['startup_64', -0x7f00_0000]]);
});

test('what is neither, or cut off, is said in one line', () => {
  const wrong = (bytes: Uint8Array, pattern: RegExp): void => {
    assert.throws(() => readSymbolFile('x', bytes), (error) => error instanceof Failure && pattern.test(error.message));
  };
  wrong(new TextEncoder().encode('hello\n'), /^x:1: neither an ELF file nor a System.map$/);
  wrong(new Uint8Array(0), /no symbols/);
  wrong(elf().subarray(0, 40), /ELF64/);
  wrong(elf().subarray(0, 200), /section/);
  wrong(elf().fill(1, 5, 6).fill(2, 5, 6), /little-endian/);
});
