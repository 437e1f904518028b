// The text of `info jit` and of `-accel tcg,report=`: what was decoded and translated, how long that took, how often regions were
// entered and left, and what the TLBs and the lookup of code did. Rows are name and value; an indented one is a part of the one above.
import type { Vcpu } from '../cpu/vcpu.ts';
import { EXIT_CAUSES, type ExitCause } from '../cpu/translator/exit-counts.ts';

type Row = readonly [name: string, value: string | number];

/** Name and value of each row, the values below each other. */
export const rowsText = (rows: readonly Row[]): string => rows.map(([name, value]) => `${name.padEnd(44)} ${value}`).join('\n');

const average = (sum: number, parts: number): string => (parts === 0 ? '-' : (sum / parts).toFixed(1));
const percent = (part: number, whole: number): string => `${part} (${whole === 0 ? '-' : ((100 * part) / whole).toFixed(1)} %)`;
const ms = (value: number): string => value.toFixed(0);
const SHOWN = 15;

export function translationReport(vcpu: Vcpu): string {
  const count = (field: string): number => Number(vcpu.get64(field));
  const exits = vcpu.regions.options.counting ? exitRows(vcpu) : [];
  const rows = [...madeRows(vcpu), ...entryRows(vcpu, count), ...exits, ...memoryRows(count)];
  return rowsText(rows);
}

function madeRows({ regions, translator, decodedBlocks, decodeMs, instructions }: Vcpu): Row[] {
  const { statistics: region, options } = regions;
  return [
    ['instructions executed', instructions],
    ['blocks decoded', decodedBlocks],
    ['  bytes in use', translator.arenaBytesUsed],
    ['  decoding, ms', ms(decodeMs)],
    ['blocks are translated after', options.promoteAt === 0 ? 'never' : `${options.promoteAt} executions`],
    ['modules', region.modules],
    ['regions', region.regions],
    ['  made again with more entries', region.remade],
    ['  dropped', region.dropped],
    ['  instructions on average', average(region.instructions, region.regions)],
    ['instructions translated', region.instructions],
    ['module bytes', region.moduleBytes],
    ['  per instruction', average(region.moduleBytes, region.instructions)],
    ['  in use, of at most', `${regions.moduleBytesInUse} of ${options.moduleBytesMax}`],
    ['flushes of everything', region.flushes],
    ['forming regions, ms', ms(region.formMs)],
    ['emitting, ms', ms(region.emitMs)],
    ['compiling in V8, first tier, ms', ms(region.compileMs)],
  ];
}

function entryRows({ instructions, regions }: Vcpu, count: (field: string) => number): Row[] {
  const entries = count('countRegionEnter');
  const resumed = count('countRegionResume');
  return [
    ['region entries', entries],
    ['  refused, mapped elsewhere', count('countRegionRefused')],
    ...(regions.options.counting
      ? ([
          ['  instructions in regions', percent(regions.exits.instructions, instructions)],
          ['  instructions interpreted', instructions - regions.exits.instructions],
          ['  instructions per entry', average(regions.exits.instructions, entries)],
        ] as const)
      : ([['  instructions per entry, at most', average(instructions, entries)]] as const)),
    ['exits to a record', resumed],
    ['exits to a looked-up RIP', Math.max(0, entries - resumed)],
  ];
}

/** Only with counting. */
function exitRows({ regions: { exits } }: Vcpu): Row[] {
  const causes = Object.keys(EXIT_CAUSES) as ExitCause[];
  const all = causes.reduce((sum, cause) => sum + exits.ofCause(cause), 0);
  const byCause = causes.map((cause): Row => [`  ${EXIT_CAUSES[cause]}`, percent(exits.ofCause(cause), all)]);
  const shown = (list: readonly Row[]): Row[] => list.slice(0, SHOWN).map(([name, n]) => [`  ${name}`, n]);
  return [
    ['exits by cause', all], ...byCause,
    ['exits by place', ''], ...shown(exits.sites(SHOWN)),
    ["exits to the interpreter's instructions", ''], ...shown(exits.interpreted()),
    ['exits for the TLB', ''], ...shown(exits.missed()),
  ];
}

function memoryRows(count: (field: string) => number): Row[] {
  const fills = count('countTlbFill');
  return [
    ['jump cache misses', count('countJumpCacheMiss')],
    ['TLB fills', fills],
    ['  in the place of another page', percent(count('countTlbConflict'), fills)],
    ['  again after a flush', percent(count('countTlbFlushed'), fills)],
    ['  cold', percent(count('countTlbCold'), fills)],
    ['  ahead, as a space comes back to CR3', percent(count('countTlbAhead'), fills)],
    ['TLB flushes', count('countTlbFlush')],
    ['page walks', count('countPageWalk')],
    ['MMIO accesses', count('countMmio')],
    ['port accesses', count('countPort')],
    ['faults', count('countFault')],
    ['interrupts', count('countInterrupt')],
    ['writes to pages with code', count('countCodeWrite')],
    ['blocks dropped', count('countCodeDrop')],
  ];
}
