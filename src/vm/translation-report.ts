// The text of `info jit`: what was translated, how often it was entered and left, and what the TLBs and the lookup of code did.
import type { Vcpu } from '../cpu/vcpu.ts';

export function translationReport(vcpu: Vcpu): string {
  const { statistics: region, options } = vcpu.regions;
  const count = (field: string): number => Number(vcpu.get64(field));
  const average = (sum: number, parts: number): string => (parts === 0 ? '-' : (sum / parts).toFixed(1));
  const entries = count('countRegionEntry');
  const rows: readonly (readonly [string, string | number])[] = [
    ['instructions executed', vcpu.instructions],
    ['decoded blocks, bytes', vcpu.translator.arenaBytesUsed],
    ['blocks are translated after', options.promoteAt === 0 ? 'never' : `${options.promoteAt} executions`],
    ['modules', region.modules],
    ['regions', region.regions],
    ['  made again with more entries', region.remade],
    ['  dropped', region.dropped],
    ['  instructions on average', average(region.instructions, region.regions)],
    ['instructions translated', region.instructions],
    ['module bytes', region.moduleBytes],
    ['  per instruction', average(region.moduleBytes, region.instructions)],
    ['flushes of everything', region.flushes],
    ['emitting, ms', region.emitMs.toFixed(0)],
    ['compiling, ms', region.compileMs.toFixed(0)],
    ['region entries', entries],
    ['  refused, mapped elsewhere', count('countRegionRefused')],
    ['  instructions per entry, at most', average(vcpu.instructions, entries)],
    ['exits to a record', count('countRegionResume')],
    ['exits to a looked-up RIP', Math.max(0, entries - count('countRegionResume'))],
    ['jump cache misses', count('countJumpCacheMiss')],
    ['TLB fills', count('countTlbFill')],
    ['TLB flushes', count('countTlbFlush')],
    ['page walks', count('countPageWalk')],
    ['writes to pages with code', count('countCodeWrite')],
    ['blocks dropped', count('countCodeDrop')],
  ];
  return rows.map(([name, value]) => `${name.padEnd(34)} ${value}`).join('\n');
}
