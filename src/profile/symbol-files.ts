// Symbols out of files: ELF symbol tables (System V ABI, gABI chapter 4, both classes, little endian), and the text that a kernel's
// build makes of them (System.map: address, type, name a line). A hostile file costs time and memory by its size only.
import { Failure } from '../base/failure.ts';
import { layout, le16, le32, le64, u8 } from '../struct/layout.ts';
import { parseAddress } from './address.ts';
import { plainSymbols, type PlainSymbol, type SymbolSource } from './symbols.ts';

const ident = layout('ELF ident', { magic: le32(0), class: u8(4), data: u8(5) }, 16);
const header32 = layout('ELF32 header', { shoff: le32(32), shentsize: le16(46), shnum: le16(48) }, 52);
const header64 = layout('ELF64 header', { shoff: le64(40), shentsize: le16(58), shnum: le16(60) }, 64);
// prettier-ignore
const section32 = layout('ELF32 section', { type: le32(4), flags: le32(8), offset: le32(16), size: le32(20), link: le32(24) }, 40);
// prettier-ignore
const section64 = layout('ELF64 section', { type: le32(4), flags: le64(8), offset: le64(24), size: le64(32), link: le32(40) }, 64);

const ELF_MAGIC = 0x464c457f;
const SHT_SYMTAB = 2;
const SHT_DYNSYM = 11;
const STT_SECTION = 3;
const STT_FILE = 4;
const SYMBOL_BYTES = { 32: 16, 64: 24 } as const;

interface Section {
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}

/** `name` is for messages. */
export function readSymbolFile(name: string, bytes: Uint8Array): SymbolSource {
  const symbols = isElf(bytes) ? elfSymbols(name, bytes) : mapSymbols(name, bytes);
  if (symbols.length === 0) throw new Failure('invalid-format', `${name}: no symbols in it`);
  return plainSymbols(symbols);
}

const isElf = (bytes: Uint8Array): boolean => bytes.length >= 16 && ident.decode(bytes).magic === ELF_MAGIC;

function mapSymbols(name: string, bytes: Uint8Array): PlainSymbol[] {
  const symbols: PlainSymbol[] = [];
  for (const [number, line] of new TextDecoder('latin1').decode(bytes).split('\n').entries()) {
    if (line === '') continue;
    const [, digits = '', symbol = ''] = /^([0-9a-f]+) \S (\S+)/i.exec(line) ?? [];
    const address = parseAddress(digits);
    if (address === undefined) throw new Failure('invalid-format', `${name}:${number + 1}: neither an ELF file nor a System.map`);
    symbols.push({ address, name: symbol });
  }
  return symbols;
}

function elfSymbols(name: string, bytes: Uint8Array): PlainSymbol[] {
  const { class: elfClass, data } = ident.decode(bytes);
  if (data !== 1 || (elfClass !== 1 && elfClass !== 2)) throw new Failure('invalid-format', `${name}: not a little-endian ELF file`);
  const is64 = elfClass === 2;
  const sections = elfSections(bytes, is64);
  const table = sections.find(({ type }) => type === SHT_SYMTAB) ?? sections.find(({ type }) => type === SHT_DYNSYM);
  if (table === undefined) throw new Failure('invalid-format', `${name}: it has no symbol table`);
  const strings = sections[table.link];
  if (strings === undefined) throw new Failure('invalid-format', `${name}: its symbol table has no names`);
  return tableSymbols(contents(bytes, table), contents(bytes, strings), is64);
}

function elfSections(bytes: Uint8Array, is64: boolean): Section[] {
  const { shoff, shentsize, shnum } = (is64 ? header64 : header32).decode(bytes);
  return Array.from({ length: shnum }, (_, n) => {
    const { type, offset, size, link } = (is64 ? section64 : section32).decode(bytes, Number(shoff) + n * shentsize);
    return { type, offset: Number(offset), size: Number(size), link };
  });
}

const contents = (bytes: Uint8Array, { offset, size }: Section): Uint8Array =>
  bytes.subarray(Math.min(offset, bytes.length), offset + size);

function tableSymbols(table: Uint8Array, strings: Uint8Array, is64: boolean): PlainSymbol[] {
  const view = new DataView(table.buffer, table.byteOffset, table.length);
  const entryBytes = SYMBOL_BYTES[is64 ? 64 : 32];
  const symbols: PlainSymbol[] = [];
  for (let at = 0; at + entryBytes <= table.length; at += entryBytes) {
    const info = view.getUint8(at + (is64 ? 4 : 12));
    const section = view.getUint16(at + (is64 ? 6 : 14), true);
    const kind = info & 15;
    if (section === 0 || kind === STT_SECTION || kind === STT_FILE) continue;
    const address = is64 ? Number(view.getBigInt64(at + 8, true)) : view.getUint32(at + 4, true);
    const name = stringAt(strings, view.getUint32(at, true));
    if (name !== '' && Number.isSafeInteger(address)) symbols.push({ address, name });
  }
  return symbols;
}

function stringAt(strings: Uint8Array, at: number): string {
  const end = strings.indexOf(0, at);
  return end < 0 ? '' : String.fromCharCode(...strings.subarray(at, Math.min(end, at + 512)));
}
