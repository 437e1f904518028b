// Regions as modules of WebAssembly: what the emitter in the support module (assembly/translator/) is given, in EMITTER_TABLES, and what is
// made of its functions. How code is emitted is not here.
import {
  EMITTER_CODE, EMITTER_ENTRIES, EMITTER_IMPORTS, EMITTER_MARKS, EMITTER_OPTION, REGION_EXIT, REGION_EXIT_COUNT, REGION_EXITS,
} from '../../memory/memory-map.ts';
import { CodeWriter, ModuleWriter } from '../../wasm/code-writer.ts';
import { REGION_TYPE } from '../ir/record.ts';
import { writeRegion, type CodeMemory, type RegionCode } from './region-blocks.ts';
import { LOCAL_TYPES } from './region-locals.ts';
import { SUPPORT_FUNCTIONS, supportType } from './support-functions.ts';

/** The emitter's functions: see assembly/translator/emit.ts. */
export interface Emitter {
  beginModule(): void;
  importCount(): number;
  emitRegion(blocks: number, entries: number, ungrouped: number, key: number, slot: number, options: number, firstExit: number,
    lastExit: number): number;
  exitCount(): number;
  entryCount(): number;
  markCount(): number;
}

export interface MemoryPages {
  readonly initial: number;
  readonly maximum: number;
}

export interface EmitOptions {
  readonly pages: MemoryPages;
  /** Emitted code counts how it is left. */
  readonly counting: boolean;
  /** It is said where the code of each guest instruction begins. */
  readonly marking: boolean;
  /** A region also ends when a sample is asked for, where it may leave a function or go round a loop; it says where that was. */
  readonly sampling: boolean;
  /** A group of accesses is given up when it is once not in the TLB as a whole. */
  readonly eager: boolean;
}

/** At `at` in a function's code begins the guest instruction `delta` bytes from the region's base. */
export interface InstructionMark {
  readonly at: number;
  readonly delta: number;
}

export interface EmittedRegion {
  /** Its number among the regions that were to be emitted: one that is too large is left out. */
  readonly number: number;
  /** Block numbers of its entries. */
  readonly entries: readonly number[];
  /** Its exits have the numbers from `firstExit` on. */
  readonly firstExit: number;
  readonly exits: number;
  /** With `marking`. */
  readonly marks: readonly InstructionMark[];
}

export interface EmittedRegions {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Functions of the support module that it imports. */
  readonly imports: readonly string[];
  readonly regions: readonly EmittedRegion[];
}

/** Makes one module of several regions, whose records will be those from `firstSlot` on: the functions `region0`, `region1`, …. */
export function emitRegions(
  emitter: Emitter, codes: readonly RegionCode[], firstSlot: number, firstExit: number, memory: CodeMemory, options: EmitOptions,
): EmittedRegions {
  emitter.beginModule();
  const regions: EmittedRegion[] = [];
  const functions: CodeWriter[] = [];
  let exit = firstExit;
  codes.forEach((code, number) => {
    const length = emitCode(emitter, code, firstSlot + regions.length, exit, memory, options);
    if (length === 0) return;
    functions.push(codeOf(memory, length));
    const exits = emitter.exitCount();
    const entries = [...u16At(memory, EMITTER_ENTRIES, emitter.entryCount())];
    regions.push({ number, entries, firstExit: exit, exits, marks: marksOf(memory, emitter.markCount()) });
    exit += exits;
  });
  const imports = Array.from(u16At(memory, EMITTER_IMPORTS, emitter.importCount()), (number) => SUPPORT_FUNCTIONS[number]!);
  const module = new ModuleWriter(options.pages, 'regions');
  for (const name of imports) module.importFunction('support', name, supportType(name));
  functions.forEach((code, number) => module.addFunction(`region${number}`, REGION_TYPE, LOCAL_TYPES, code));
  return { bytes: module.encode(), imports, regions };
}

function emitCode(
  emitter: Emitter, code: RegionCode, slot: number, firstExit: number, memory: CodeMemory, wanted: EmitOptions,
): number {
  if (!writeRegion(memory, code)) return 0;
  const { counting, marking, sampling, eager } = wanted;
  const options = (counting ? EMITTER_OPTION.COUNTING : 0) | (marking ? EMITTER_OPTION.MARKING : 0) |
    (sampling ? EMITTER_OPTION.SAMPLING : 0) | (eager ? EMITTER_OPTION.EAGER : 0);
  const exits = REGION_EXITS + firstExit * REGION_EXIT.BYTES;
  const exitsEnd = REGION_EXITS + REGION_EXIT_COUNT * REGION_EXIT.BYTES;
  return emitter.emitRegion(code.blocks.length, code.entries.length, code.ungrouped.size, code.key, slot, options, exits, exitsEnd);
}

const u16At = ({ u16 }: CodeMemory, address: number, count: number): Uint16Array => u16.subarray(address >> 1, (address >> 1) + count);

function codeOf({ u8 }: CodeMemory, length: number): CodeWriter {
  const code = new CodeWriter(length);
  code.bytes.set(u8.subarray(EMITTER_CODE, EMITTER_CODE + length));
  code.length = length;
  return code;
}

function marksOf({ u32, i32 }: CodeMemory, count: number): InstructionMark[] {
  const first = EMITTER_MARKS >> 2;
  return Array.from({ length: count }, (_, n) => ({ at: u32[first + 2 * n]!, delta: i32[first + 2 * n + 1]! }));
}
