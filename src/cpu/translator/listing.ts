// What `-d op` and `-d out_asm` show, and the golden tests hold: the operations of a block, and the WebAssembly of a module of regions
// with the guest's instructions between. A view: nothing is decoded or emitted for it beyond the instructions' texts.
import { CPU_FIELDS, CPU_STATE_BYTES, GENERAL_REGISTERS } from '../x86/state.ts';
import { disassemble } from '../x86/disassembler.ts';
import type { Decoder } from '../x86/decoder.ts';
import { BLOCK } from '../ir/record.ts';
import { blockLines } from '../ir/text.ts';
import { moduleText } from '../../wasm/module-text.ts';
import type { EmittedRegions } from './emit-region.ts';
import type { CodeMemory, RegionCode } from './region-blocks.ts';
import * as locals from './region-locals.ts';

/** The decoder at the instruction at a guest-physical address. */
export interface InstructionSource {
  decodeAt(physical: number, mode: number): Decoder | undefined;
}

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

function instructionText(source: InstructionSource, physical: number, mode: number, rip: bigint): string {
  const decoder = source.decodeAt(physical, mode);
  return `${hex(rip)}: ${decoder === undefined ? '(not an instruction of one page)' : disassemble(decoder, rip)}`;
}

/** The block whose first record is at `block` and whose first instruction is at `rip`. */
export function blockText(memory: CodeMemory, block: number, rip: bigint, source: InstructionSource): string {
  const header = (field: number): number => memory.u32[(block - BLOCK.BYTES + field) >> 2]!;
  const physical = header(BLOCK.PHYSICAL), mode = header(BLOCK.KEY), records = header(BLOCK.RECORDS);
  const lines = blockLines(memory, block).flatMap(({ pc, operations }) => [
    ` ---- ${instructionText(source, physical + pc, mode, rip + BigInt(pc))}`, ...operations.map((operation) => `  ${operation}`),
  ]);
  return `${[`OP: physical ${hex(physical)}, mode ${hex(mode)}, ${records} operations`, ...lines].join('\n')}\n\n`;
}

/** Names of a region's locals: those that region-locals.ts gives them, the registers their own. */
const localNames: string[] = [];
const named = (name: string, value: unknown): void => {
  if (typeof value === 'number') localNames[value] = name;
  else if (value === locals.GENERAL) locals.GENERAL.forEach((local, n) => (localNames[local] = GENERAL_REGISTERS[n]!));
  else if (Array.isArray(value)) value.forEach((local, n) => named(`${name}_${n}`, local));
  else if (typeof value === 'object' && value !== null) Object.entries(value).forEach(([part, local]) => named(`${name}_${part}`, local));
};
for (const [name, value] of Object.entries(locals)) {
  if (/^[A-Z0-9_]+$/.test(name) && name !== 'LOCAL_TYPES' && name !== 'FIELD_LOCALS') named(name.toLowerCase(), value);
}

/** What lies at an offset in the vCPU area: a field, and how far in it. */
function stateName(offset: number): string | undefined {
  if (offset < 0 || offset >= CPU_STATE_BYTES) return undefined;
  const field = CPU_FIELDS.findLast((one) => one.offset <= offset)!;
  return offset === field.offset ? field.name : `${field.name}+${offset - field.offset}`;
}

/** Guest-physical address of a place in a region; undefined in a page that is not the region's. */
function physicalOf({ baseOffset, pages }: RegionCode, delta: number): number | undefined {
  const offset = baseOffset + delta;
  const page = pages.find((one) => one.delta === offset - (offset & 0xfff));
  return page === undefined ? undefined : page.physical + (offset & 0xfff);
}

function regionLine(code: RegionCode, number: number, madeEntries: readonly number[]): string {
  const { rip, key, blocks, entries, pages, instructions } = code;
  const size = `${blocks.length} blocks, ${instructions} instructions, ${pages.length} pages`;
  const where = [...new Set([...entries, ...madeEntries])].map((entry) => hex(rip + BigInt(blocks.delta(entry))));
  return `OUT: region${number} at ${hex(rip)}, mode ${hex(key)}: ${size}; entries ${where.join(' ')}`;
}

/** `area` is the address of the vCPU's. */
export function moduleListing(
  codes: readonly RegionCode[], { bytes, regions }: EmittedRegions, source: InstructionSource, area: number,
): string {
  const comments = (functionName: string): ReadonlyMap<number, string> => {
    const number = Number(functionName.replace('region', ''));
    const code = codes[number]!;
    return new Map(regions[number]!.marks.map(({ at, delta }) => {
      const physical = physicalOf(code, delta);
      const rip = BigInt.asUintN(64, code.rip + BigInt(delta));
      return [at, physical === undefined ? hex(rip) : instructionText(source, physical, code.key, rip)];
    }));
  };
  const heads = codes.map((code, number) => regionLine(code, number, regions[number]!.entries));
  const addressName = (offset: number): string | undefined => stateName(offset - area);
  return `${heads.join('\n')}\n${bytes.length} bytes\n${moduleText(bytes, { localNames, comments, addressName })}\n`;
}
