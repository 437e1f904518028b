// The fuzzers of the block layer: damaged images of every format, and NBD sessions. Rows of the table in fuzzers.ts.
import type { BlockHost } from '../src/block/host.ts';
import { fuzzBlkdebug } from '../src/block/blkdebug/blkdebug.fuzz.ts';
import { SmallFormatsBench } from '../src/block/image-format/small-formats.fuzz.ts';
import { fuzzNbd } from '../src/block/nbd/nbd.fuzz.ts';
import { Qcow2OpenBench } from '../src/block/qcow2/qcow2.fuzz.ts';
import { fuzzVdi } from '../src/block/vdi/vdi.fuzz.ts';
import { fuzzVhdx } from '../src/block/vhdx/vhdx.fuzz.ts';
import { fuzzVmdk } from '../src/block/vmdk/vmdk.fuzz.ts';
import { fuzzVpc } from '../src/block/vpc/vpc.fuzz.ts';
import { createBlockHost } from '../src/platform/node/block-host.ts';

export interface SeededFuzzer {
  readonly what: string;
  readonly cases: number;
  readonly smokeCases: number;
  /** Prepares what all cases share; the result runs the case of one seed, and throws when it finds something. */
  prepare(): (seed: number) => Promise<void>;
}

/** Its clock is the processor time of this process: who was stopped, or waited for others, has not worked longer for it. */
function fuzzedHost(): BlockHost {
  const nowNs = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) * 1000;
  };
  return { ...createBlockHost({ files: 'sync' }), nowNs };
}

const images = (what: string, run: (host: BlockHost, seed: number, cases: number) => Promise<void>): SeededFuzzer => ({
  what: `damaged ${what} images`,
  cases: 2_000,
  smokeCases: 20,
  prepare() {
    const host = fuzzedHost();
    return (seed) => run(host, seed, 1);
  },
});

export const BLOCK_FUZZERS: Readonly<Record<string, SeededFuzzer>> = {
  'qcow2-open': {
    what: 'damaged qcow2 images',
    cases: 5_000,
    smokeCases: 50,
    prepare() {
      const bench = new Qcow2OpenBench(fuzzedHost());
      return (seed) => bench.run(seed);
    },
  },
  'vdi-open': images('vdi', fuzzVdi),
  'vhdx-open': images('vhdx', fuzzVhdx),
  'vmdk-open': images('vmdk', fuzzVmdk),
  'vpc-open': images('vpc', fuzzVpc),
  'small-formats-open': {
    what: 'damaged luks, qcow, qed, parallels, bochs, cloop and dmg images',
    cases: 2_000,
    smokeCases: 30,
    prepare() {
      const bench = new SmallFormatsBench(fuzzedHost());
      return (seed) => bench.run(seed);
    },
  },
  blkdebug: {
    what: "requests under random rule files of blkdebug's",
    cases: 2_000,
    smokeCases: 60,
    prepare() {
      const host = fuzzedHost();
      return (seed) => fuzzBlkdebug(host, seed);
    },
  },
  nbd: { what: 'NBD sessions of hostile clients and servers', cases: 10_000, smokeCases: 100, prepare: () => fuzzNbd },
};
