// Multiboot 1 (Multiboot Specification 0.6.96): header, a.out kludge or ELF32, modules, information structure, and the
// machine state at entry. No video mode, drives, symbols or APM. QUIRK: a kernel that asks for a video mode gets none.
import { Failure } from '../../base/failure.ts';
import { concatBytes, cString, layout, le32, le64 } from '../../struct/layout.ts';
import { EBDA_ADDRESS, HIGH_MEMORY, isUsableRam, type MemoryMap, type MemoryRange } from '../e820.ts';
import { alignUp, zeroRam, type RamWriter } from '../guest-ram.ts';
import { LOADER_NAME, moduleTooLarge, type BootInput, type BootModule } from './boot-input.ts';
import { protectedModeState, type BootState } from './boot-state.ts';
import { isElf, loadElfSegments, parseElf } from './elf.ts';
import { LoaderArea, type LoadedRange } from './loader-area.ts';

const headerLayout = layout('Multiboot header', { magic: le32(0), flags: le32(4), checksum: le32(8) });
// prettier-ignore
const addressLayout = layout('Multiboot address fields', {
  headerAddr: le32(12), loadAddr: le32(16), loadEndAddr: le32(20), bssEndAddr: le32(24), entryAddr: le32(28),
});
// prettier-ignore
export const multibootInfo = layout('Multiboot information', {
  flags: le32(0), memLower: le32(4), memUpper: le32(8), bootDevice: le32(12), cmdline: le32(16), modsCount: le32(20),
  modsAddr: le32(24), mmapLength: le32(44), mmapAddr: le32(48), bootLoaderName: le32(64),
}, 88);
export const multibootModule = layout('Multiboot module', { start: le32(0), end: le32(4), string: le32(8), reserved: le32(12) });
/** `size` does not count itself. */
const mmapEntry = layout('Multiboot memory map entry', { size: le32(0), base: le64(4), length: le64(12), type: le32(20) });

const HEADER_MAGIC = 0x1badb002;
const LOADER_MAGIC = 0x2badb002;
const SEARCH_BYTES = 8192;
const HEADER_FLAG = { PAGE_ALIGN: 1, MEMORY: 2, VIDEO: 4, REQUIRED: 0xffff, ADDRESSES: 0x10000 } as const;
const INFO_FLAG = { MEMORY: 1, CMDLINE: 4, MODULES: 8, MMAP: 0x40, LOADER_NAME: 0x200 } as const;

interface Header {
  readonly fileOffset: number;
  readonly flags: number;
}

/** The header is 4-byte aligned within the first 8 KiB. */
export function findMultibootHeader(file: Uint8Array): Header | undefined {
  const end = Math.min(file.length, SEARCH_BYTES) - headerLayout.sizeBytes;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 0; at <= end; at += 4) {
    if (view.getUint32(at, true) !== HEADER_MAGIC) continue;
    const { magic, flags, checksum } = headerLayout.decode(file, at);
    if ((magic + flags + checksum) % 2 ** 32 === 0) return { fileOffset: at, flags };
  }
  return undefined;
}

interface LoadedKernel {
  readonly entry: number;
  readonly ranges: readonly LoadedRange[];
}

/** Load addresses from the header itself (specification 3.1.3). */
function loadByAddresses(ram: RamWriter, file: Uint8Array, header: Header, memory: MemoryMap): LoadedKernel {
  const invalid = (field: string): Failure => new Failure('invalid-format', `invalid ${field} address`);
  const { headerAddr, loadAddr, loadEndAddr, bssEndAddr, entryAddr } = addressLayout.decode(file, header.fileOffset);
  const fileStart = header.fileOffset - (headerAddr - loadAddr);
  if (headerAddr < loadAddr) throw invalid('load_addr');
  if (fileStart < 0) throw invalid('header_addr');
  const loadBytes = loadEndAddr === 0 ? file.length - fileStart : loadEndAddr - loadAddr;
  if (loadBytes <= 0) throw invalid('load_end_addr');
  if (fileStart + loadBytes > file.length) throw new Failure('corrupt', 'kernel file is truncated');
  const loadEnd = loadAddr + loadBytes;
  if (bssEndAddr !== 0 && bssEndAddr < loadEnd) throw invalid('bss_end_addr');
  const end = Math.max(loadEnd, bssEndAddr);
  if (!isUsableRam(memory, loadAddr, end - loadAddr)) throw new Failure('no-space', 'the kernel does not fit into RAM');
  ram(loadAddr, file.subarray(fileStart, fileStart + loadBytes));
  zeroRam(ram, loadEnd, end - loadEnd);
  return { entry: entryAddr, ranges: [{ start: loadAddr, end }] };
}

function loadElf32(ram: RamWriter, file: Uint8Array, memory: MemoryMap): LoadedKernel {
  if (!isElf(file)) throw new Failure('invalid-format', 'Error while loading elf kernel');
  const image = parseElf(file);
  if (image.is64) throw new Failure('unsupported', 'Cannot load x86-64 image, give a 32bit one.');
  return { entry: image.entry, ranges: loadElfSegments(ram, image, memory) };
}

function encodeMemoryMap(ranges: readonly MemoryRange[]): Uint8Array {
  const size = mmapEntry.sizeBytes - 4;
  return concatBytes(
    ...ranges.map((range) => mmapEntry.encode({ size, base: BigInt(range.start), length: BigInt(range.sizeBytes), type: range.type })),
  );
}

/** Modules follow the kernel, each on a page of its own. */
function placeModules(ram: RamWriter, input: BootInput, kernelEnd: number): readonly LoadedRange[] {
  let cursor = Math.max(kernelEnd, HIGH_MEMORY);
  return input.modules.map(({ bytes }) => {
    const start = alignUp(cursor, 4096);
    cursor = start + bytes.length;
    if (cursor > input.memory.tableAddress) throw moduleTooLarge(input.memory.tableAddress - start, bytes.length);
    ram(start, bytes);
    return { start, end: cursor };
  });
}

function encodeModules(area: LoaderArea, input: BootInput, places: readonly LoadedRange[]): Uint8Array {
  const entries = input.modules.map(({ name, commandLine }, n) =>
    multibootModule.encode({ ...places[n]!, string: area.add(cString(withArguments(name, commandLine))) }),
  );
  return concatBytes(...entries);
}

const withArguments = (name: string, commandLine: string): string => (commandLine === '' ? name : `${name} ${commandLine}`);

export function loadMultiboot(ram: RamWriter, input: BootInput): BootState {
  const header = findMultibootHeader(input.kernel);
  if (header === undefined) throw new Failure('invalid-format', 'no Multiboot header');
  const unknown = header.flags & HEADER_FLAG.REQUIRED & ~(HEADER_FLAG.PAGE_ALIGN | HEADER_FLAG.MEMORY | HEADER_FLAG.VIDEO);
  if (unknown !== 0) throw new Failure('unsupported', `the Multiboot kernel requires an unknown feature (flags 0x${unknown.toString(16)})`);
  const byAddresses = (header.flags & HEADER_FLAG.ADDRESSES) !== 0;
  const { memory } = input;
  const kernel = byAddresses ? loadByAddresses(ram, input.kernel, header, memory) : loadElf32(ram, input.kernel, memory);

  const modules = placeModules(ram, input, Math.max(...kernel.ranges.map(({ end }) => end)));
  const area = new LoaderArea(ram, [...kernel.ranges, ...modules], memory);
  const mmap = encodeMemoryMap(memory.ranges);
  const info = area.add(
    multibootInfo.encode({
      flags: INFO_FLAG.MEMORY | INFO_FLAG.CMDLINE | INFO_FLAG.MODULES | INFO_FLAG.MMAP | INFO_FLAG.LOADER_NAME,
      memLower: EBDA_ADDRESS / 1024,
      memUpper: Math.floor((memory.tableAddress - HIGH_MEMORY) / 1024),
      cmdline: area.add(cString(withArguments(input.kernelName, input.commandLine))),
      modsCount: input.modules.length,
      modsAddr: area.add(encodeModules(area, input, modules)),
      mmapLength: mmap.length,
      mmapAddr: area.add(mmap),
      bootLoaderName: area.add(cString(LOADER_NAME)),
    }),
  );
  return protectedModeState(area, { rip: kernel.entry, registers: { rax: LOADER_MAGIC, rbx: info } });
}

/** What `-initrd "file args,file2 args"` names; a comma in a name is written twice. */
export function parseModuleList(text: string): readonly Pick<BootModule, 'name' | 'commandLine'>[] {
  const COMMA = '\0';
  const items = text.replaceAll(',,', COMMA).split(',').map((item) => item.replaceAll(COMMA, ',').trimStart());
  return items.filter((item) => item !== '').map((item) => {
    const space = item.indexOf(' ');
    return space < 0 ? { name: item, commandLine: '' } : { name: item.slice(0, space), commandLine: item.slice(space + 1) };
  });
}
