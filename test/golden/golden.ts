// The golden texts: for each idiom the operations that it is decoded to and the WebAssembly of its region, with its size. They are in
// test/golden/*.txt; `npm run golden` writes them again, and the diff shows what a change of the translator does.
import { join } from 'node:path';
import { DEFAULT_REGION_OPTIONS } from '../../src/cpu/translator/regions.ts';
import { blockText, moduleListing } from '../../src/cpu/translator/listing.ts';
import { cpuFeatures } from '../../src/cpu/x86/cpuid.ts';
import { wasmModules } from '../../tools/fuzzers.ts';
import { repositoryRoot } from '../../tools/repository.ts';
import { RegionBench } from '../oracle/region-bench.ts';
import { END_VECTOR, LAYOUT } from '../oracle/region-program.ts';
import type { Idiom } from './idioms.ts';

const PROMOTE_AT = 9; // at once: from ten on they wait for company in their module
const LIMIT = 100_000;
const PAGE_BYTES = 4096;

export const goldenFile = (name: string): string => join(repositoryRoot, 'test', 'golden', `${name}.txt`);

export class GoldenBench {
  readonly #bench = new RegionBench(wasmModules(), cpuFeatures('max'), { ...DEFAULT_REGION_OPTIONS, promoteAt: PROMOTE_AT });

  text({ name, what, bits, code, table = [] }: Idiom): string {
    const bench = this.#bench;
    const { vcpu } = bench;
    const bytes = Buffer.from(code, 'hex');
    const control = new Uint8Array(PAGE_BYTES);
    table.forEach((offset, n) => new DataView(control.buffer).setUint32(8 * n, LAYOUT.CODE + offset, true));
    const empty = new Uint8Array(LAYOUT.CODE_PAGES * PAGE_BYTES);
    bench.load({ code: bytes, control, functions: [], slots: [], listing: [] }, new Uint8Array(2 * PAGE_BYTES), empty);
    bench.beginStep({ entry: LAYOUT.CODE, bits, privilege: 3, flags: 0, registers: new BigUint64Array(16), fxsave: undefined });
    const texts: string[] = [];
    const modules: string[] = [];
    vcpu.traceDecoded = (block) => {
      const rip = vcpu.get64('rip');
      if (rip < 0x8000_0000n) texts.push(blockText(vcpu.regions.memory, block, rip, vcpu.translator));
    };
    vcpu.regions.onModule = (codes, emitted) => modules.push(moduleListing(codes, emitted, vcpu.translator, vcpu.area));
    bench.resume({ kind: 'none' });
    while (bench.run(LIMIT).stop !== END_VECTOR) throw new Error(`${name} does not come to its end`);
    vcpu.traceDecoded = vcpu.regions.onModule = null;
    return symbolic([`${name}: ${what}, ${bits}-bit code`, '', ...texts, ...modules].join('\n'));
  }
}

/** Without the offsets of the vCPU's fields, which move when one is added. */
function symbolic(text: string): string {
  return `${text.replaceAll(/offset=\d+ \(;(\S+);\)/g, '[$1]').replaceAll(/(memory) \d+ \d+ /g, '$1 ').trimEnd()}\n`;
}
