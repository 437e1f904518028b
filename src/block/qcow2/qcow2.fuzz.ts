// Damaged qcow2 images: a small image of every kind is made, some of its bytes (headers, tables, anything) are changed, and then it
// is opened, read and mapped as a whole, and perhaps written to. Every request ends in a result or a Failure, in bounded
// time, and an image that is opened read-only is not changed.
import { fuzzHost, type HostParts } from '../image-format/fuzz-host.ts';
import { assert } from '../../base/assert.ts';
import { Failure } from '../../base/failure.ts';
import { Prng } from '../../base/prng.ts';
import { BlockBackend } from '../backend.ts';
import { nodeStatus } from '../chain-status.ts';
import type { CreateValues } from '../driver.ts';
import { BlockGraph } from '../graph.ts';
import { WRITE } from '../driver.ts';
import { OptionDict } from '../options.ts';
import { MemoryFiles } from './memory-files.ts';

const PATH = 'fuzz.qcow2';
const BASE_PATH = 'base.raw';
const CLUSTER_SIZES = [512, 4096, 65536];
const INTERESTING = [0, 1, 0x7f, 0x80, 0xff, 0xfe, 0x40, 0xc0];
/** An image that claims to be bigger is not read to its end. */
const MAX_READ_BYTES = 4 << 20;
const MAX_EXTENTS = 2000;

export class Qcow2OpenBench {
  readonly #parts: HostParts;

  constructor(parts: HostParts) {
    this.#parts = parts;
  }

  async run(seed: number): Promise<void> {
    const random = new Prng(seed);
    const files = new MemoryFiles();
    const graph = new BlockGraph(fuzzHost(this.#parts, files));
    await makeImage(graph, files, random);
    damage(files, random);
    const readOnly = !random.oneIn(3);
    const before = readOnly ? files.files.get(PATH)!.contents() : undefined;
    await failing(() => useImage(graph, random, readOnly));
    if (before === undefined) return;
    const after = files.files.get(PATH)!.contents();
    assert(after.length === before.length && after.every((byte, index) => byte === before[index]), 'a read-only image is not changed');
  }
}

/** Operating errors are as good an end as any; others are thrown on. */
async function failing(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
  }
}

async function makeImage(graph: BlockGraph, files: MemoryFiles, random: Prng): Promise<void> {
  const clusterSize = random.pick(CLUSTER_SIZES);
  const size = random.oneIn(4) ? 1 << 20 : 300 * 1024;
  const values = new Map<string, string | number | boolean>([['size', size], ['cluster_size', clusterSize]]);
  if (random.oneIn(4)) values.set('compat', 'v2');
  else {
    if (clusterSize >= 16384 && random.oneIn(2)) values.set('extended_l2', true);
    values.set('refcount_bits', 2 ** random.below(7));
    if (random.oneIn(4)) values.set('lazy_refcounts', true);
  }
  if (random.oneIn(3)) {
    files.open(BASE_PATH, { write: true, create: true }).write(0, new Uint8Array(100_000).fill(9));
    values.set('backing_file', BASE_PATH).set('backing_fmt', 'raw');
  }
  await graph.createImage('qcow2', PATH, values as CreateValues);
  const backend = await openBackend(graph, false);
  for (let n = 0; n < 8; n++) await change(backend, random, clusterSize);
  if (random.oneIn(3)) {
    // Refcounts of one bit cannot count it.
    const state = { vmStateSize: 0, dateSeconds: 1, dateNanoseconds: 0, vmClockNs: 0n };
    await failing(() => backend.node.instance.snapshots!.create('snap', state));
    await change(backend, random, clusterSize);
  }
  await backend.close();
}

function openBackend(graph: BlockGraph, readOnly: boolean): Promise<BlockBackend> {
  const options = new OptionDict([['driver', 'qcow2']]);
  return BlockBackend.open(graph, { filename: PATH, options, flags: { readOnly, unmap: true, noFlush: true }, resize: !readOnly });
}

async function change(backend: BlockBackend, random: Prng, clusterSize: number): Promise<void> {
  const cluster = random.below(Math.ceil(backend.size / clusterSize)) * clusterSize;
  const count = Math.min(clusterSize, backend.size - cluster);
  const bytes = new Uint8Array(count).fill(random.below(256));
  await failing(async () => {
    switch (random.below(4)) {
      case 0:
        return backend.writeZeroes(cluster, count, random.oneIn(2) ? WRITE.MAY_UNMAP : 0);
      case 1:
        return backend.discard(cluster, count);
      case 2:
        return backend.write(cluster, bytes, WRITE.COMPRESSED);
      default:
        return backend.write(cluster + random.below(count), bytes.subarray(0, 1));
    }
  });
}

/** Changes bytes: mostly in the header and at the beginning of clusters, where tables are. */
function damage(files: MemoryFiles, random: Prng): void {
  const file = files.files.get(PATH)!;
  for (let n = 1 + random.below(6); n > 0; n--) {
    const place = random.below(4);
    const cluster = 512 * random.below(Math.max(1, Math.min(2000, Math.floor(file.size / 512))));
    const offset = [random.below(112), random.below(600), cluster + random.below(64), random.below(file.size)][place]!;
    file.write(offset, Uint8Array.of(random.oneIn(2) ? random.pick(INTERESTING) : random.below(256)));
  }
  if (random.oneIn(10)) file.truncate(random.below(file.size));
}

async function useImage(graph: BlockGraph, random: Prng, readOnly: boolean): Promise<void> {
  const backend = await openBackend(graph, readOnly);
  try {
    await failing(() => readAll(backend));
    await failing(() => mapAll(backend));
    if (!readOnly) for (let n = 0; n < 10; n++) await change(backend, random, backend.node.instance.info!()!.clusterSize);
    if (!readOnly) await failing(() => backend.resize(backend.size + 512 * random.below(1000)));
  } finally {
    await backend.close();
  }
}

async function readAll(backend: BlockBackend): Promise<void> {
  const end = Math.min(backend.size, MAX_READ_BYTES);
  const target = new Uint8Array(100_000);
  for (let at = 0; at < end; at += target.length) {
    await failing(async () => backend.read(at, target.subarray(0, Math.min(target.length, end - at))));
  }
}

async function mapAll(backend: BlockBackend): Promise<void> {
  const { size } = backend;
  for (let at = 0, n = 0; at < size && n < MAX_EXTENTS; n++) {
    const { count } = await nodeStatus(backend.node, true, at, size - at);
    assert(count > 0 && at + count <= size, 'block status moves on');
    at += count;
  }
}

/** Runs the cases of `seed`, `seed` + 1, …; the message of an error names its seed. */
export async function fuzzQcow2Open(parts: HostParts, seed: number, cases: number): Promise<void> {
  const bench = new Qcow2OpenBench(parts);
  for (let n = 0; n < cases; n++) {
    try {
      await bench.run(seed + n);
    } catch (error) {
      throw new Error(`seed ${seed + n}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }
}
