// A counted profile by guest symbol, as text and as plain data.
import { EXIT } from '../cpu/x86/state.ts';
import { COUNTED, KERNEL, type CountedPlace, type Counts } from './counts.ts';
import { codeName, programCodeName, type KnownSymbols } from './symbols.ts';

export interface CountedFunction {
  readonly name: string;
  readonly counts: readonly number[];
}

export interface CountedProfile {
  readonly columns: readonly string[];
  readonly total: readonly number[];
  readonly stringElements: number;
  /** The most instructions first. */
  readonly functions: readonly CountedFunction[];
  readonly faults: readonly (readonly [what: string, count: number])[];
  readonly interrupts: readonly (readonly [what: string, count: number])[];
  readonly devices: readonly { readonly name: string; readonly reads: number; readonly writes: number; readonly bytes: number }[];
  readonly exits: readonly (readonly [reason: string, count: number])[];
}

const EXIT_TEXTS: Readonly<Record<number, string>> = {
  [EXIT.BUDGET]: 'slice used up, or asked to stop', [EXIT.DECODE]: 'a block to decode', [EXIT.HALT]: 'HLT', [EXIT.SHUTDOWN]: 'shutdown',
  [EXIT.REQUEST]: 'request', [EXIT.INTERRUPT]: 'interrupt',
};

export function buildCountedProfile(counts: Counts, names: KnownSymbols): CountedProfile {
  const byName = new Map<string, number[]>();
  const total = COUNTED.map(() => 0);
  const add = (name: string, row: readonly number[]): void => {
    const sums = byName.get(name) ?? COUNTED.map(() => 0);
    byName.set(name, sums);
    row.forEach((count, column) => {
      sums[column]! += count;
      total[column]! += count;
    });
  };
  for (const [place, row] of counts.places.entries()) add(nameOf(place, names, counts.programs.names), row);
  if (counts.places.elsewhere.some((count) => count > 0)) add('[places beyond the table]', [...counts.places.elsewhere]);
  const ranked = (map: ReadonlyMap<string, number>): (readonly [string, number])[] =>
    [...map].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const exits = new Map([...counts.exits].map(([reason, count]) => [EXIT_TEXTS[reason] ?? `reason ${reason}`, count]));
  return {
    columns: COUNTED, total, stringElements: counts.stringElements,
    functions: [...byName].map(([name, row]) => ({ name, counts: row }))
      .sort((a, b) => b.counts[0]! - a.counts[0]! || (a.name < b.name ? -1 : 1)),
    faults: ranked(counts.faults), interrupts: ranked(counts.interrupts), exits: ranked(exits),
    devices: [...counts.devices].map(([name, count]) => ({ name, ...count }))
      .sort((a, b) => b.reads + b.writes - a.reads - a.writes || (a.name < b.name ? -1 : 1)),
  };
}

function nameOf({ rip, program }: CountedPlace, names: KnownSymbols, programs: readonly string[]): string {
  if (program === KERNEL || !names.isLinux) return codeName(names, rip, program !== KERNEL);
  return programCodeName(programs[program]!);
}

const WIDTH = 16;
const cell = (count: number): string => String(count).padStart(WIDTH);

export function countedText(profile: CountedProfile, top: number): string {
  const { columns, total, functions, stringElements, faults, interrupts, devices, exits } = profile;
  const pairs = (list: readonly (readonly [string, number])[]): string[] =>
    list.slice(0, top).map(([what, count]) => `${cell(count)}  ${what}`);
  return [
    'counted, not estimated', '',
    `${columns.map((column) => column.padStart(WIDTH)).join('')}  function`, `${total.map(cell).join('')}  all`,
    ...functions.slice(0, top).map(({ name, counts }) => `${counts.map(cell).join('')}  ${name}`), '',
    `${cell(stringElements)}  elements of string instructions, which reads and writes leave out`, '',
    'page faults, by page, cause and function', ...pairs(faults), '',
    'exceptions and interrupts, by vector', ...pairs(interrupts), '',
    `${'reads'.padStart(WIDTH)}${'writes'.padStart(WIDTH)}${'bytes'.padStart(WIDTH)}  device`,
    ...devices.slice(0, top).map(({ name, reads, writes, bytes }) => `${cell(reads)}${cell(writes)}${cell(bytes)}  ${name}`), '',
    'exits of the executor', ...pairs(exits), '',
  ].join('\n');
}
