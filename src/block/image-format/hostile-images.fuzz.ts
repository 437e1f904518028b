// Hostile images of a format, the part that all formats share: an image is made and filled in memory, its metadata is changed at
// random, and then it is opened, read, mapped, checked and written to. Every step ends in a result or a Failure, in bounded
// time and memory, and an image that is only read is not changed. What to change and where is the format's (NAME.fuzz.ts).
import { assert } from '../../base/assert.ts';
import { Failure } from '../../base/failure.ts';
import { Prng } from '../../base/prng.ts';
import { BlockBackend } from '../backend.ts';
import { statusAbove } from '../chain-status.ts';
import type { CreateValues, OpenFlags } from '../driver.ts';
import { BlockGraph } from '../graph.ts';
import type { BlockHost } from '../host.ts';
import { OptionDict } from '../options.ts';
import { MemoryFileContent, MemoryFiles } from './memory-files.ts';

export interface HostileFormat {
  readonly driver: string;
  /** Kinds of images to begin with. */
  readonly variants: readonly { readonly values: CreateValues; readonly compressed?: boolean }[];
  /** Where one file has its metadata: [start, end) in bytes. */
  regions(image: Uint8Array): readonly (readonly [number, number])[];
  /** Makes checksums right again, so that what is behind them is reached. */
  seal?(image: Uint8Array, random: Prng): void;
}

const MAX_FILE_BYTES = 96 << 20;
const MAX_READ_BYTES = 24 << 20;
const PART_BYTES = 1 << 20;
const MAX_STATUS_STEPS = 200;
/** By the host's clock, which is processor time where the machine is shared. A case takes some 20 ms. */
const MAX_CASE_MS = 20_000;
const IMAGE = '/image';
// prettier-ignore
const INTERESTING = [
  0, 1, 2, 3, 6, 7, 8, 127, 128, 255, 511, 512, 513, 4096,
  0xffff, 0x10000, 0xfffff, 0x100000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff,
];

type Files = ReadonlyMap<string, Uint8Array>;

/** Images as they should be, made once. */
async function pristineImages(format: HostileFormat, host: BlockHost): Promise<Files[]> {
  const images: Files[] = [];
  for (const { values, compressed = false } of format.variants) {
    const files = new MemoryFiles(MAX_FILE_BYTES);
    const graph = new BlockGraph({ ...host, files });
    await graph.createImage(format.driver, IMAGE, values);
    const backend = await openBackend(graph, format, {});
    const grain = 65536;
    for (const n of [0, 3, 4, 20, 77]) {
      if ((n + 1) * grain > backend.size) continue;
      const source = new Uint8Array(compressed ? grain : 5000).fill(n + 1);
      await backend.write(n * grain, source.subarray(0, source.length - (source.length % 512)));
    }
    await backend.close();
    images.push(new Map([...files.contents].map(([path, content]) => [path, content.bytes()])));
  }
  return images;
}

const openBackend = (graph: BlockGraph, { driver }: HostileFormat, flags: Partial<OpenFlags>): Promise<BlockBackend> =>
  BlockBackend.open(graph, { filename: IMAGE, options: new OptionDict([['driver', driver]]), flags });

function mutate(format: HostileFormat, pristine: Uint8Array, random: Prng): Uint8Array {
  const image = pristine.slice();
  const view = new DataView(image.buffer);
  const regions = format.regions(pristine).filter(([start, end]) => end <= image.length && end - start >= 8);
  if (regions.length === 0) return image;
  for (let n = 1 + random.below(4); n > 0; n--) {
    const [start, end] = random.pick(regions);
    const at = start + random.below(end - start);
    const aligned = Math.min(at - ((at - start) % 4), end - 4);
    const value = random.oneIn(3) ? random.u32() : random.pick(INTERESTING);
    const kind = random.below(5);
    if (kind === 0) image[at] = random.u32();
    else if (kind === 1) image[at] = image[at]! ^ (1 << random.below(8));
    else view.setUint32(aligned, value, kind !== 2);
  }
  if (format.seal !== undefined && !random.oneIn(10)) format.seal(image, random);
  return random.oneIn(12) ? image.subarray(0, random.below(image.length)) : image;
}

/** Undefined when it ended in a Failure; any other error is ours. */
async function attempt<T>(step: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof Failure) return undefined;
    throw error;
  }
}

async function readAndMap(backend: BlockBackend, random: Prng): Promise<void> {
  const { size } = backend;
  const part = new Uint8Array(PART_BYTES);
  for (let n = 0; n * PART_BYTES < Math.min(size, MAX_READ_BYTES); n++) {
    const offset = size <= MAX_READ_BYTES ? n * PART_BYTES : Math.floor(random.below(2 ** 31) * (size / 2 ** 31));
    await attempt(() => backend.read(offset, part.subarray(0, Math.min(PART_BYTES, size - offset))));
  }
  for (let offset = 0, steps = 0; offset < size && steps < MAX_STATUS_STEPS; steps++) {
    const status = await attempt(() => statusAbove(backend.node, offset, size - offset));
    if (status === undefined) break;
    assert(status.count > 0 && offset + status.count <= size, 'a status covers something, and nothing beyond the end');
    offset += status.count;
  }
}

async function inspect(backend: BlockBackend, random: Prng): Promise<void> {
  const { instance } = backend.node;
  await attempt(() => instance.info?.());
  await attempt(() => instance.specificInfo?.());
  await readAndMap(backend, random);
  let lines = 0;
  await attempt(() => instance.check?.({ fixLeaks: false, fixErrors: false, report: () => lines++ }));
}

async function change(backend: BlockBackend, random: Prng): Promise<void> {
  const sectors = Math.floor(backend.size / 512);
  for (let n = 0; n < 6 && sectors > 0; n++) {
    const first = Math.floor(random.below(2 ** 31) * (sectors / 2 ** 31));
    const count = Math.min(sectors - first, 1 + random.below(300));
    const step = random.oneIn(4)
      ? () => backend.writeZeroes(first * 512, count * 512)
      : () => backend.write(first * 512, new Uint8Array(count * 512).fill(n + 1));
    await attempt(step);
  }
  await attempt(() => backend.flush());
}

async function oneCase(format: HostileFormat, host: BlockHost, images: readonly Files[], random: Prng): Promise<void> {
  const pristine = random.pick(images);
  const victim = random.pick([...pristine.keys()]);
  const files = new MemoryFiles(MAX_FILE_BYTES);
  for (const [path, bytes] of pristine) {
    const content = path === victim ? mutate(format, bytes, random) : bytes;
    files.contents.set(path, MemoryFileContent.of(content, MAX_FILE_BYTES));
  }
  const graph = new BlockGraph({ ...host, files, warn: () => {} });
  const reader = await attempt(() => openBackend(graph, format, { readOnly: true, check: random.oneIn(2) }));
  if (reader !== undefined) {
    await inspect(reader, random);
    await attempt(() => reader.close());
  }
  assert([...files.contents.values()].every(({ changes }) => changes === 0), 'an image that is only read is not changed');
  const writer = await attempt(() => openBackend(graph, format, {}));
  if (writer === undefined) return;
  await change(writer, random);
  await attempt(() => writer.close());
}

/** Runs the cases of `seed`, `seed` + 1, …; the message of an error names its seed. */
export async function fuzzHostileImages(format: HostileFormat, host: BlockHost, seed: number, cases: number): Promise<void> {
  const images = await pristineImages(format, host);
  for (let n = 0; n < cases; n++) {
    const startMs = host.nowNs() / 1e6;
    try {
      await oneCase(format, host, images, new Prng(seed + n));
      assert(host.nowNs() / 1e6 - startMs < MAX_CASE_MS, 'a hostile image is done with in bounded time');
    } catch (error) {
      throw new Error(`seed ${seed + n}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }
}
