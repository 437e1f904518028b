// The catalogue of IR operations: a number, a name and a meaning. Families are declared in ops-*.ts; opcode numbers are
// given in the order of declaration and are the cases of the interpreter's br_table.
import type { Lowering, Width } from './lowering.ts';
import { WIDTHS } from './lowering.ts';

/** What an operation that reads or writes memory accesses: 'operand' at its operand a + imm, 'indexed' at more than one register. */
export interface MemoryAccess {
  readonly kind: 'operand' | 'indexed' | 'push' | 'pop' | 'return';
  readonly bytes: number;
  readonly writes: boolean;
}

/** What a translator wants to know of an operation beside its meaning. */
export interface Traits {
  /**
   * Untouched: it neither reads flags nor sets any. Replaced: it sets all of them and does not look at them before. Asked: it gets what it
   * reads by `condition`, before it sets any. Without it: another way.
   */
  readonly flags?: 'untouched' | 'replaced' | 'asked';
  readonly access?: MemoryAccess;
  /** No record of the block is executed after it, but for the jumps that it chooses from. */
  readonly isLast?: true;
  /** It only works out an address or an operand, so that it may be done again. */
  readonly isRepeatable?: true;
  /** What it writes if not its operand d. */
  readonly writes?: 'nothing' | 'sources';
  /** After it, memory may be mapped in another way, or something else is executed. */
  readonly endsGroups?: true;
}

export interface Op {
  readonly number: number;
  readonly name: string;
  readonly lower: (m: Lowering) => void;
  readonly traits: Traits;
}

const catalogue: Op[] = [];
export const OPS: readonly Op[] = catalogue;

export function op(name: string, lower: (m: Lowering) => void, traits: Traits = {}): number {
  catalogue.push({ number: catalogue.length, name, lower, traits });
  return catalogue.length - 1;
}

/** One operation per operand size; index the result with the width. */
export function family(
  name: string, lower: (m: Lowering, width: Width) => void, traits: Traits = {}, widths: readonly Width[] = WIDTHS,
): readonly number[] {
  const numbers: number[] = [-1, -1, -1, -1];
  for (const width of widths) numbers[width] = op(`${name}.${8 << width}`, (m) => lower(m, width), traits);
  return numbers;
}

export type Lower = (m: Lowering, width: Width) => void;
