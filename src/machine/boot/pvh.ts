// PVH: direct boot of an ELF kernel through the entry of its Xen note (Xen's "x86/HVM direct boot ABI", start info
// version 1). 32-bit protected mode, paging off; EBX points to the start info.
import { Failure } from '../../base/failure.ts';
import { concatBytes, cString, layout, le32, le64 } from '../../struct/layout.ts';
import type { MemoryRange } from '../e820.ts';
import { alignDown, type RamWriter } from '../guest-ram.ts';
import { moduleTooLarge, type BootInput } from './boot-input.ts';
import { protectedModeState, type BootState } from './boot-state.ts';
import { findNote, loadElfSegments, parseElf, type ElfImage } from './elf.ts';
import { LoaderArea, type LoadedRange } from './loader-area.ts';

// prettier-ignore
export const startInfo = layout('hvm_start_info', {
  magic: le32(0), version: le32(4), flags: le32(8), moduleCount: le32(12), moduleList: le64(16), commandLine: le64(24),
  rsdp: le64(32), memoryMap: le64(40), memoryMapEntries: le32(48),
}, 56);
export const startInfoModule = layout('hvm_modlist_entry', { address: le64(0), sizeBytes: le64(8), commandLine: le64(16) }, 32);
const memoryMapEntry = layout('hvm_memmap_table_entry', { address: le64(0), sizeBytes: le64(8), type: le32(16) }, 24);

const START_MAGIC = 0x336ec578;
const NOTE_OWNER = 'Xen';
const NOTE_PHYS32_ENTRY = 18;

/** The 32-bit entry of the note, which may be 4 or 8 bytes wide. */
function pvhEntry(image: ElfImage): number {
  const note = findNote(image, NOTE_OWNER, NOTE_PHYS32_ENTRY);
  if (note === undefined || note.length < 4) {
    throw new Failure('invalid-format', 'Error loading uncompressed kernel without PVH ELF Note');
  }
  return new DataView(note.buffer, note.byteOffset).getUint32(0, true);
}

/** As high in low RAM as possible, so that it is out of the way of a kernel that grows. */
function placeModules(ram: RamWriter, input: BootInput, kernel: readonly LoadedRange[]): readonly LoadedRange[] {
  const kernelEnd = Math.max(...kernel.map(({ end }) => end));
  let top = input.memory.tableAddress;
  return input.modules.map(({ bytes }) => {
    const start = alignDown(top - bytes.length, 4096);
    if (start < kernelEnd) throw moduleTooLarge(top - kernelEnd, bytes.length);
    ram(start, bytes);
    top = start;
    return { start, end: start + bytes.length };
  });
}

function encodeModules(area: LoaderArea, input: BootInput, places: readonly LoadedRange[]): Uint8Array {
  const entries = input.modules.map(({ bytes, commandLine }, n) => {
    const text = commandLine === '' ? 0 : area.add(cString(commandLine));
    return startInfoModule.encode({ address: BigInt(places[n]!.start), sizeBytes: BigInt(bytes.length), commandLine: BigInt(text) });
  });
  return concatBytes(...entries);
}

const encodeMemoryMap = (ranges: readonly MemoryRange[]): Uint8Array =>
  concatBytes(
    ...ranges.map(({ start, sizeBytes, type }) => memoryMapEntry.encode({ address: BigInt(start), sizeBytes: BigInt(sizeBytes), type })),
  );

export function loadPvh(ram: RamWriter, input: BootInput): BootState {
  const image = parseElf(input.kernel);
  const rip = pvhEntry(image);
  const ranges = loadElfSegments(ram, image, input.memory);
  const modules = placeModules(ram, input, ranges);
  const area = new LoaderArea(ram, [...ranges, ...modules], input.memory);
  const info = area.add(
    startInfo.encode({
      magic: START_MAGIC,
      version: 1,
      moduleCount: input.modules.length,
      moduleList: input.modules.length === 0 ? 0n : BigInt(area.add(encodeModules(area, input, modules))),
      commandLine: BigInt(area.add(cString(input.commandLine))),
      rsdp: BigInt(input.rsdpAddress),
      memoryMap: BigInt(area.add(encodeMemoryMap(input.memory.ranges))),
      memoryMapEntries: input.memory.ranges.length,
    }),
  );
  return protectedModeState(area, { rip, registers: { rbx: info } });
}
