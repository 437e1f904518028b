// Decoded blocks as text, for `-d op` and the golden tests: a line an operation, with the fields that it uses. Which those are is found
// by running its meaning against a lowering that only takes notes.
import { CodeWriter } from '../../wasm/code-writer.ts';
import { CPU_FIELDS } from '../x86/state.ts';
import { REGION } from './ops-control.ts';
import type { Lowering } from './lowering.ts';
import { OPS } from './op.ts';
import { BLOCK, PC_STACK, RECORD } from './record.ts';

interface FieldUse {
  /** Operands that are read, and written: d, a, b. */
  readonly read: ReadonlySet<string>;
  readonly written: ReadonlySet<string>;
  /** Other fields: imm, imm2, imm64, c, segment, count (of instructions, in d), target. */
  readonly others: ReadonlySet<string>;
}

const OTHERS: Readonly<Record<string, readonly string[]>> = {
  immediate: ['imm'], immediate2: ['imm2'], immediate64: ['imm64'], fieldC: ['c'], segmentBase: ['segment'], callHelper: ['helper'],
  jump: ['next'], dispatch: ['count'], leave: ['count'],
};

/** Calls of any method are noted: operands by their letters, what is pushed by a callback by running that. */
function fieldUse(lower: (m: Lowering) => void): FieldUse {
  const read = new Set<string>(), written = new Set<string>(), others = new Set<string>();
  const constants = { code: new CodeWriter(256), i32: [0, 1, 2, 3], i64: [4, 5, 6, 7], v128: [8, 9] };
  const note = (method: string, words: readonly unknown[]): void => {
    for (const other of OTHERS[method] ?? []) others.add(other);
    for (const word of words) {
      if (word === 'd' || word === 'a' || word === 'b') (/^(open|close)/.test(method) ? written : read).add(word);
      else if (word === 'immediate') others.add('imm');
      else if (typeof word === 'function') word();
    }
  };
  const notes = new Proxy(constants, {
    get(target, name: string) {
      return Object.hasOwn(target, name) ? Reflect.get(target, name) : (...words: readonly unknown[]) => note(name, words);
    },
  });
  lower(notes as unknown as Lowering);
  return { read, written, others };
}

const uses = new Map<number, FieldUse>();
function useOf(operation: number): FieldUse {
  const known = uses.get(operation) ?? fieldUse(OPS[operation]!.lower);
  uses.set(operation, known);
  return known;
}

const slotNames: string[] = [];
for (const [n, { name, offset }] of CPU_FIELDS.entries()) {
  const end = CPU_FIELDS[n + 1]?.offset ?? offset + 8;
  for (let at = offset; at < end; at++) slotNames[at] = at === offset ? name : `${name}+${at - offset}`;
}
const slotName = (slot: number): string => slotNames[slot] ?? `+${slot}`;
function number(value: number): string {
  return Math.abs(value) < 10 ? String(value) : `${value < 0 ? '-' : ''}0x${Math.abs(value).toString(16)}`;
}

export interface RecordMemory {
  readonly u16: Uint16Array;
  readonly i32: Int32Array;
}

/** The operation of a record; what a region has put in the place of a block's first one does not count. */
export function recordOperation({ u16 }: RecordMemory, record: number): number {
  const operation = u16[record >> 1]!;
  return operation === REGION ? u16[(record - BLOCK.BYTES + BLOCK.FIRST_OP) >> 1]! : operation;
}

export const recordPc = ({ u16 }: RecordMemory, record: number): number => u16[(record + RECORD.PC) >> 1]! & (PC_STACK - 1);

/** `name d <- a, b, …`, with what is not used left out. */
export function recordText(memory: RecordMemory, record: number): string {
  const operation = recordOperation(memory, record);
  const { read, written, others } = useOf(operation);
  const field = (offset: number): number => memory.u16[(record + offset) >> 1]!;
  const word = (offset: number): number => memory.i32[(record + offset) >> 2]!;
  const { name } = OPS[operation]!;
  if (others.has('helper')) {
    const slots = [RECORD.D, RECORD.A, RECORD.B].map((offset) => slotName(field(offset)));
    return `${name}(${slots.join(', ')}, ${number(word(RECORD.IMM))})`;
  }
  const operands: string[] = [];
  if (read.has('a')) operands.push(slotName(field(RECORD.A)));
  if (read.has('b')) operands.push(slotName(field(RECORD.B)));
  if (read.has('d') && !written.has('d')) operands.push(slotName(field(RECORD.D)));
  if (others.has('imm')) operands.push(number(word(RECORD.IMM)));
  if (others.has('imm2')) operands.push(number(word(RECORD.IMM2)));
  if (others.has('imm64')) operands.push(`0x${((BigInt(word(RECORD.IMM2) >>> 0) << 32n) | BigInt(word(RECORD.IMM) >>> 0)).toString(16)}`);
  if (others.has('c')) operands.push(`c ${field(RECORD.C)}`);
  if (others.has('segment')) operands.push(`${slotName(field(RECORD.C) & ~3)} << ${field(RECORD.C) & 3}`);
  if (name === 'jump') operands.push(`+${number(word(RECORD.IMM))}`);
  if (others.has('count') || name === 'jump') operands.push(`counts ${field(RECORD.D)}`);
  const target = written.has('d') ? `${slotName(field(RECORD.D))} <- ` : '';
  return `${name.padEnd(18)} ${target}${operands.join(', ')}`.trimEnd();
}

export interface BlockLines {
  /** Offset of the guest instruction from the start of the block, and its operations. */
  readonly pc: number;
  readonly operations: readonly string[];
}

/** The block whose first record is at `block`, by guest instruction. */
export function blockLines(memory: RecordMemory & { readonly u32: Uint32Array }, block: number): BlockLines[] {
  const records = memory.u32[(block - BLOCK.BYTES + BLOCK.RECORDS) >> 2]!;
  const lines: { pc: number; operations: string[] }[] = [];
  for (let n = 0; n < records; n++) {
    const record = block + n * RECORD.BYTES;
    const pc = recordPc(memory, record);
    if (lines.at(-1)?.pc !== pc) lines.push({ pc, operations: [] });
    lines.at(-1)!.operations.push(recordText(memory, record));
  }
  return lines;
}
