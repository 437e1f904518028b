// ELF executables as boot images (System V ABI, gABI chapter 5, both classes, little endian, x86 only): program headers and
// notes. Loading is by physical address. Not a linker: sections, symbols and relocations are ignored.
import { Failure } from '../../base/failure.ts';
import { layout, le16, le32, le64, safeNumber, u8 } from '../../struct/layout.ts';
import { isUsableRam, type MemoryMap } from '../e820.ts';
import { alignUp, zeroRam, type RamWriter } from '../guest-ram.ts';
import type { LoadedRange } from './loader-area.ts';

const ident = layout('ELF ident', { magic: le32(0), class: u8(4), data: u8(5), version: u8(6) }, 16);
// prettier-ignore
const header32 = layout('ELF32 header', {
  type: le16(16), machine: le16(18), version: le32(20), entry: le32(24), phoff: le32(28), phentsize: le16(42), phnum: le16(44),
}, 52);
// prettier-ignore
const header64 = layout('ELF64 header', {
  type: le16(16), machine: le16(18), version: le32(20), entry: le64(24), phoff: le64(32), phentsize: le16(54), phnum: le16(56),
}, 64);
// prettier-ignore
const program32 = layout('ELF32 program header', {
  type: le32(0), offset: le32(4), vaddr: le32(8), paddr: le32(12), filesz: le32(16), memsz: le32(20), flags: le32(24), align: le32(28),
});
// prettier-ignore
const program64 = layout('ELF64 program header', {
  type: le32(0), flags: le32(4), offset: le64(8), vaddr: le64(16), paddr: le64(24), filesz: le64(32), memsz: le64(40), align: le64(48),
});
const noteHeader = layout('ELF note', { nameBytes: le32(0), descBytes: le32(4), type: le32(8) });

const ELF_MAGIC = 0x464c457f;
const CLASS = { ELF32: 1, ELF64: 2 } as const;
const LITTLE_ENDIAN = 1;
const MACHINE_X86 = new Set([3, 6, 62]); // EM_386, EM_486, EM_X86_64
const TYPE_LOADABLE = new Set([2, 3]); // ET_EXEC, ET_DYN
const PT = { LOAD: 1, NOTE: 4 } as const;

/** Bounds on what a hostile file can make us look at; real kernels have a handful of segments and small notes. */
const PROGRAM_HEADERS_MAX = 128;
const NOTE_BYTES_MAX = 64 * 1024;

export interface ElfSegment {
  readonly type: number;
  readonly offset: number;
  readonly physical: number;
  readonly fileBytes: number;
  readonly memoryBytes: number;
  readonly alignment: number;
}

export interface ElfImage {
  readonly file: Uint8Array;
  readonly is64: boolean;
  readonly entry: number;
  readonly segments: readonly ElfSegment[];
}

export function isElf(file: Uint8Array): boolean {
  return file.length >= 4 && new DataView(file.buffer, file.byteOffset).getUint32(0, true) === ELF_MAGIC;
}

export const elfFailure = (detail: string): Failure => new Failure('invalid-format', `Error while loading elf kernel (${detail})`);

const number = (value: number | bigint, what: string): number => (typeof value === 'number' ? value : safeNumber(value, what));

function decodeSegment(file: Uint8Array, is64: boolean, at: number): ElfSegment {
  const raw = is64 ? program64.decode(file, at) : program32.decode(file, at);
  const ignored = raw.type !== PT.LOAD && raw.type !== PT.NOTE;
  if (ignored) return { type: raw.type, offset: 0, physical: 0, fileBytes: 0, memoryBytes: 0, alignment: 0 };
  return {
    type: raw.type,
    offset: number(raw.offset, 'ELF segment offset'),
    physical: number(raw.paddr, 'ELF segment address'),
    fileBytes: number(raw.filesz, 'ELF segment size'),
    memoryBytes: number(raw.memsz, 'ELF segment size'),
    alignment: number(raw.align, 'ELF segment alignment'),
  };
}

/** Header and program headers; every segment lies inside the file. */
export function parseElf(file: Uint8Array): ElfImage {
  const { class: elfClass, data } = ident.decode(file);
  if (data !== LITTLE_ENDIAN || (elfClass !== CLASS.ELF32 && elfClass !== CLASS.ELF64)) throw elfFailure('not a little-endian image');
  const is64 = elfClass === CLASS.ELF64;
  const header = is64 ? header64.decode(file) : header32.decode(file);
  if (!MACHINE_X86.has(header.machine)) throw elfFailure(`machine ${header.machine} is not x86`);
  if (!TYPE_LOADABLE.has(header.type)) throw elfFailure('not an executable');
  const entryBytes = (is64 ? program64 : program32).sizeBytes;
  if (header.phnum > 0 && header.phentsize !== entryBytes) throw elfFailure('bad program header size');
  if (header.phnum > PROGRAM_HEADERS_MAX) throw elfFailure(`${header.phnum} program headers`);
  const table = number(header.phoff, 'ELF program header offset');
  const segments = Array.from({ length: header.phnum }, (_, n) => decodeSegment(file, is64, table + n * entryBytes));
  for (const { offset, fileBytes } of segments) {
    if (offset + fileBytes > file.length) throw elfFailure('the file is truncated');
  }
  return { file, is64, entry: number(header.entry, 'ELF entry'), segments };
}

/** Copies the loadable segments; their sum is bounded by the RAM, so a hostile table cannot keep it busy. */
export function loadElfSegments(ram: RamWriter, image: ElfImage, memory: MemoryMap): readonly LoadedRange[] {
  const loadable = image.segments.filter((segment) => segment.type === PT.LOAD && segment.memoryBytes > 0);
  if (loadable.length === 0) throw elfFailure('nothing to load');
  let totalBytes = 0;
  for (const { physical, fileBytes, memoryBytes } of loadable) {
    totalBytes += memoryBytes;
    if (fileBytes > memoryBytes) throw elfFailure('a segment is longer in the file than in memory');
    if (!isUsableRam(memory, physical, memoryBytes)) throw elfFailure(`segment at 0x${physical.toString(16)} does not lie in RAM`);
  }
  if (totalBytes > memory.ramBytes) throw elfFailure('segments are larger than the RAM');
  for (const { offset, physical, fileBytes, memoryBytes } of loadable) {
    ram(physical, image.file.subarray(offset, offset + fileBytes));
    zeroRam(ram, physical + fileBytes, memoryBytes - fileBytes);
  }
  return loadable.map(({ physical, memoryBytes }) => ({ start: physical, end: physical + memoryBytes }));
}

/** The description of the first note with this owner and type. */
export function findNote(image: ElfImage, owner: string, type: number): Uint8Array | undefined {
  for (const segment of image.segments) {
    if (segment.type !== PT.NOTE) continue;
    const notes = image.file.subarray(segment.offset, segment.offset + Math.min(segment.fileBytes, NOTE_BYTES_MAX));
    const alignment = segment.alignment === 8 ? 8 : 4;
    for (let at = 0; at + noteHeader.sizeBytes <= notes.length; ) {
      const note = noteHeader.decode(notes, at);
      const nameAt = at + noteHeader.sizeBytes;
      const descAt = alignUp(nameAt + note.nameBytes, alignment);
      const next = alignUp(descAt + note.descBytes, alignment);
      if (descAt + note.descBytes > notes.length) break;
      const name = String.fromCharCode(...notes.subarray(nameAt, nameAt + Math.min(note.nameBytes, owner.length + 1)));
      if (note.type === type && name === `${owner}\0`) return notes.subarray(descAt, descAt + note.descBytes);
      at = next;
    }
  }
  return undefined;
}
