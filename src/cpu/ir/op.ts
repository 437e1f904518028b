// The catalogue of IR operations: a number, a name and a meaning. Families are declared in ops-*.ts; opcode numbers are
// given in the order of declaration and are the cases of the interpreter's br_table.
import type { Lowering, Width } from './lowering.ts';
import { WIDTHS } from './lowering.ts';

export interface Op {
  readonly number: number;
  readonly name: string;
  readonly lower: (m: Lowering) => void;
}

const catalogue: Op[] = [];
export const OPS: readonly Op[] = catalogue;

export function op(name: string, lower: (m: Lowering) => void): number {
  catalogue.push({ number: catalogue.length, name, lower });
  return catalogue.length - 1;
}

/** One operation per operand size; index the result with the width. */
export function family(name: string, lower: (m: Lowering, width: Width) => void, widths: readonly Width[] = WIDTHS): readonly number[] {
  const numbers: number[] = [-1, -1, -1, -1];
  for (const width of widths) numbers[width] = op(`${name}.${8 << width}`, (m) => lower(m, width));
  return numbers;
}

export type Lower = (m: Lowering, width: Width) => void;
