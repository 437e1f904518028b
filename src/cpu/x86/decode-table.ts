// Opcode maps built from the rows at load: for every map and opcode byte the candidates in order of their demands, the
// most demanding first. Two rows that could both match are an error of declaration, for which a test looks (decode-table.test.ts).
import { assert } from '../../base/assert.ts';
import { INSTRUCTIONS, type Instruction, type Row } from './row.ts';

export interface Candidate {
  readonly row: Row;
  readonly instruction: Instruction;
  /** Bits of PREFIX that must all match the prefixes present; -1 for any. */
  readonly prefixClass: number;
}

/** Prefix classes that select among rows: F3 and F2 win over 66. */
export const PREFIX_CLASS = { NP: 0, '66': 1, F3: 2, F2: 3 } as const;

export interface OpcodeEntry {
  readonly candidates: readonly Candidate[];
  readonly hasModrm: boolean;
}

const specificity = (row: Row): number =>
  (row.modrm >= 0 ? 16 : 0) + (row.digit >= 0 ? 8 : 0) + (row.mod !== 'any' ? 4 : 0) + (row.prefix !== 'any' ? 2 : 0) +
  (row.w !== 'any' ? 1 : 0);

type Table = (OpcodeEntry | undefined)[];

/** [map + 4 if VEX][opcode]. */
export function buildDecodeTable(): readonly Table[] {
  const lists: Candidate[][][] = Array.from({ length: 8 }, () => Array.from({ length: 256 }, () => []));
  for (const instruction of INSTRUCTIONS)
    for (const row of instruction.rows) {
      const prefixClass = row.prefix === 'any' ? -1 : PREFIX_CLASS[row.prefix];
      const opcodes = row.plusRegister ? [0, 1, 2, 3, 4, 5, 6, 7].map((n) => row.opcode + n) : [row.opcode];
      for (const opcode of opcodes) lists[row.map + (row.vex ? 4 : 0)]![opcode]!.push({ row, instruction, prefixClass });
    }
  return lists.map((map) =>
    map.map((candidates) => {
      if (candidates.length === 0) return undefined;
      candidates.sort((x, y) => specificity(y.row) - specificity(x.row));
      const hasModrm = candidates.some(({ row }) => row.hasModrm);
      assert(candidates.every(({ row }) => row.hasModrm === hasModrm), `opcode ${candidates[0]!.row.text}: ModRM or not`);
      return { candidates, hasModrm };
    }),
  );
}

/** Fails when two rows could both match, and neither demands more than the other. */
export function checkUnambiguous(candidates: readonly Candidate[]): void {
  for (const [i, { row: x }] of candidates.entries())
    for (const { row: y } of candidates.slice(i + 1)) {
      const apart = (a: number | string, b: number | string, any: number | string): boolean => a !== any && b !== any && a !== b;
      const disjoint = apart(x.digit, y.digit, -1) || apart(x.modrm, y.modrm, -1) || apart(x.mod, y.mod, 'any') ||
        apart(x.prefix, y.prefix, 'any') || apart(x.w, y.w, 'any') ||
        (x.no64 && y.only64) || (y.no64 && x.only64);
      assert(disjoint || specificity(x) !== specificity(y), `rows ${x.text} and ${y.text} are ambiguous`);
    }
}
