// A sampled profile beside the counted one of the same work: each function's share of the time and of the instructions, and what an
// instruction of it takes. Where the shares differ is where instructions are slow or fast; why, say the last columns.
import { Failure } from '../base/failure.ts';
import { COUNTED } from './counts.ts';
import type { CountedProfile } from './counts-report.ts';
import type { Profile } from './report.ts';

/** What of a counted profile is compared. */
export type CountedShares = Pick<CountedProfile, 'total' | 'functions'>;

export interface ComparedRow {
  readonly name: string;
  /** Per cent of the samples in the guest, with what was done for it. */
  readonly timePercent: number;
  /** Per cent of the samples in the guest's own instructions. */
  readonly codePercent: number;
  readonly instructionPercent: number;
  /** Of the time in its own instructions; NaN where there are none. */
  readonly nsPerInstruction: number;
  /** Of its samples, per cent in the interpreter, and in neither it nor translated code. */
  readonly interpretedPercent: number;
  readonly aroundPercent: number;
}

const INSTRUCTIONS = COUNTED.indexOf('instructions');

/** The functions of either, those first that have most of the time or of the instructions. */
export function compareWithCounts(profile: Profile, counted: CountedShares): ComparedRow[] {
  const counts = new Map(counted.functions.map(({ name, counts: row }) => [name, row[INSTRUCTIONS]!]));
  const sampled = new Map(profile.code.map((row) => [row.name, row]));
  const all = counted.total[INSTRUCTIONS]!;
  const samples = sum(profile.code.map(({ self }) => self));
  const own = sum(profile.code.map(({ translated, interpreted }) => translated + interpreted));
  const sampleNs = (profile.seconds * 1e9) / profile.count;
  return [...new Set([...counts.keys(), ...sampled.keys()])].map((name) => {
    const { self, translated, interpreted } = sampled.get(name) ?? { self: 0, translated: 0, interpreted: 0 };
    const instructions = counts.get(name) ?? 0;
    return {
      name, timePercent: percent(self, samples), codePercent: percent(translated + interpreted, own),
      instructionPercent: percent(instructions, all),
      nsPerInstruction: instructions === 0 ? Number.NaN : ((translated + interpreted) * sampleNs) / instructions,
      interpretedPercent: percent(interpreted, self), aroundPercent: percent(self - translated - interpreted, self),
    };
  }).sort((a, b) => weight(b) - weight(a));
}

const weight = ({ timePercent, instructionPercent }: ComparedRow): number => Math.max(timePercent, instructionPercent);
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const percent = (part: number, of: number): number => (of === 0 ? 0 : (100 * part) / of);

const HEAD = ['time', 'own code', 'instr.', 'ns/instr.', 'interpr.', 'around'];
const WIDTH = 10;

export function comparedText(rows: readonly ComparedRow[], top: number): string {
  const cell = (value: number, digits: number): string => (Number.isNaN(value) ? '-' : value.toFixed(digits)).padStart(WIDTH);
  const line = (row: ComparedRow): string => [
    cell(row.timePercent, 1), cell(row.codePercent, 1), cell(row.instructionPercent, 1), cell(row.nsPerInstruction, 2),
    cell(row.interpretedPercent, 0), cell(row.aroundPercent, 0), `  ${row.name}`,
  ].join('');
  return [
    'beside the counts of the same work: per cent of the time, of that in the guest\'s own code, of the instructions; what one takes;',
    'per cent of the function\'s time in the interpreter, and around its code (page walks, translation, devices)',
    `${HEAD.map((word) => word.padStart(WIDTH)).join('')}  function`, ...rows.slice(0, top).map(line), '',
  ].join('\n');
}

/** The file that `nandu profile --count -o FILE.json` writes. */
export function parseCounts(text: string): CountedShares {
  const value = parsed(text);
  if (!isCounts(value)) throw new Failure('invalid-format', 'not a counted profile as nandu profile --count -o FILE.json writes it');
  return value;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isCounts(value: unknown): value is CountedShares {
  const { columns, total, functions } = (value ?? {}) as Partial<Record<string, unknown>>;
  return Array.isArray(columns) && columns[INSTRUCTIONS] === COUNTED[INSTRUCTIONS] && isRow(total) && Array.isArray(functions)
    && functions.every((row: unknown) => {
      const { name, counts } = (row ?? {}) as Partial<Record<string, unknown>>;
      return typeof name === 'string' && isRow(counts);
    });
}

const isRow = (value: unknown): boolean => Array.isArray(value) && typeof value[INSTRUCTIONS] === 'number';
