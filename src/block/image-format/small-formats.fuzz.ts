// Damaged images of luks, qcow, qed, parallels, bochs, cloop and dmg: bytes of a small image are changed, then it is opened, read and
// mapped as a whole, checked and perhaps written to. Everything ends in a result or a Failure, in bounded time, and an image that is
// opened read-only is not changed.
import { fuzzHost, type HostParts } from './fuzz-host.ts';
import { assert } from '../../base/assert.ts';
import { Failure } from '../../base/failure.ts';
import { Prng } from '../../base/prng.ts';
import type { Cryptography } from '../../ports/codec.ts';
import { BlockBackend } from '../backend.ts';
import { nodeStatus } from '../chain-status.ts';
import { WRITE } from '../driver.ts';
import { BlockGraph } from '../graph.ts';
import type { BlockHost } from '../host.ts';
import { OptionDict, type OptionValue } from '../options.ts';
import { MemoryFiles } from '../qcow2/memory-files.ts';
import { bochsSample, cloopSample, dmgSample } from './sample-images.ts';

const PATH = 'fuzz.image';
const INTERESTING = [0, 1, 0x7f, 0x80, 0xff, 0xfe, 0x40, 0xc0];
/** An image that claims to be bigger is not read to its end. */
const READ_BYTES_MAX = 4 << 20;
const EXTENTS_MAX = 1000;
/** A header may ask for hours; a fuzzer does not wait. */
const ITERATIONS_MAX = 20_000;
const IMAGE_BYTES = 300 * 1024;

type Values = readonly (readonly [string, string | number])[];

interface Format {
  readonly driver: string;
  readonly values?: Values;
  readonly options?: readonly (readonly [string, OptionValue])[];
  /** For formats that cannot be created. */
  readonly sample?: (host: BlockHost) => Promise<Uint8Array>;
}

// prettier-ignore
const FORMATS: readonly Format[] = [
  { driver: 'luks', values: [['key-secret', 's'], ['iter-time', 0]], options: [['key-secret', 's']] },
  { driver: 'qcow', values: [] },
  { driver: 'qcow', values: [['encrypt.format', 'aes'], ['encrypt.key-secret', 's']], options: [['encrypt.key-secret', 's']] },
  { driver: 'qed', values: [['cluster_size', 4096], ['table_size', 2]] },
  { driver: 'parallels', values: [['cluster_size', 16384]] },
  { driver: 'bochs', sample: async () => bochsSample(2).image },
  { driver: 'cloop', sample: async ({ compression }) => (await cloopSample(compression)).image },
  { driver: 'dmg', sample: async ({ compression }) => (await dmgSample(compression, false)).image },
  { driver: 'dmg', sample: async ({ compression }) => (await dmgSample(compression, true)).image },
];

async function failing(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
  }
}

function impatient(cryptography: Cryptography): Cryptography {
  return {
    ...cryptography,
    pbkdf2(hash, password, salt, iterations, keyBytes) {
      if (iterations > ITERATIONS_MAX) throw new Failure('limit', 'too many iterations for a fuzzer');
      return cryptography.pbkdf2(hash, password, salt, iterations, keyBytes);
    },
  };
}

export class SmallFormatsBench {
  readonly #parts: HostParts;
  /** Undamaged images: making one costs more than a case. */
  readonly #images = new Map<Format, Uint8Array>();

  constructor({ compression, cryptography }: HostParts) {
    this.#parts = { compression, cryptography: impatient(cryptography) };
  }

  async #image(format: Format): Promise<Uint8Array> {
    const known = this.#images.get(format);
    if (known !== undefined) return known;
    const files = new MemoryFiles();
    const host = fuzzHost(this.#parts, files);
    const image = format.sample === undefined ? await created(host, files, format) : await format.sample(host);
    this.#images.set(format, image);
    return image;
  }

  async run(seed: number): Promise<void> {
    const random = new Prng(seed);
    const format = FORMATS[seed % FORMATS.length]!;
    const image = (await this.#image(format)).slice();
    damage(image, random);
    const damaged = random.oneIn(10) ? image.slice(0, random.below(image.length)) : image;
    const files = new MemoryFiles();
    await files.open(PATH, { write: true, create: true }).write(0, damaged);
    const readOnly = format.values === undefined || !random.oneIn(3);
    await failing(() => useImage(new BlockGraph(fuzzHost(this.#parts, files)), format, random, readOnly));
    if (!readOnly) return;
    const after = files.files.get(PATH)!.contents();
    assert(after.length === damaged.length && after.every((byte, index) => byte === damaged[index]), 'a read-only image is not changed');
  }
}

async function created(host: BlockHost, files: MemoryFiles, format: Format): Promise<Uint8Array> {
  const graph = new BlockGraph(host);
  await graph.createImage(format.driver, PATH, new Map<string, string | number>([['size', IMAGE_BYTES], ...(format.values ?? [])]));
  const backend = await openBackend(graph, format, false);
  await backend.write(10_000, new Uint8Array(50_000).fill(5));
  await backend.write(200_000, new Uint8Array(1000).fill(6));
  const isPlainQcow = format.driver === 'qcow' && format.options === undefined;
  if (isPlainQcow) await backend.write(65536 * 2, new Uint8Array(4096).fill(7), WRITE.COMPRESSED);
  await backend.close();
  return files.files.get(PATH)!.contents();
}

function openBackend(graph: BlockGraph, { driver, options = [] }: Format, readOnly: boolean): Promise<BlockBackend> {
  const dict = new OptionDict([['driver', driver], ['file.driver', 'file'], ['file.filename', PATH], ...options]);
  return BlockBackend.open(graph, { options: dict, flags: { readOnly, unmap: true, noFlush: true }, resize: !readOnly });
}

/** Mostly in the header and in what comes soon after it, or near the end. */
function damage(image: Uint8Array, random: Prng): void {
  for (let n = 1 + random.below(5); n > 0; n--) {
    const place = random.below(4);
    const sector = 512 * random.below(Math.ceil(image.length / 512));
    const nearEnd = image.length - 1 - random.below(Math.min(900, image.length));
    const offset = [random.below(112), random.below(1024), sector + random.below(64), nearEnd][place]!;
    image[Math.min(offset, image.length - 1)] = random.oneIn(2) ? random.pick(INTERESTING) : random.below(256);
  }
}

async function useImage(graph: BlockGraph, format: Format, random: Prng, readOnly: boolean): Promise<void> {
  const backend = await openBackend(graph, format, readOnly);
  try {
    const step = 1 + random.below(200_000);
    for (let at = 0; at < Math.min(backend.size, READ_BYTES_MAX); at += step) {
      await failing(async () => backend.read(at, new Uint8Array(Math.min(step, backend.size - at))));
      if (readOnly) continue;
      await failing(async () => backend.write(at, new Uint8Array(Math.min(random.below(30_000), backend.size - at)).fill(3)));
      await failing(async () => backend.writeZeroes(at, Math.min(random.below(30_000), backend.size - at)));
    }
    await failing(async () => {
      for (let at = 0, extents = 0; at < backend.size && extents < EXTENTS_MAX; extents++) {
        const { count } = await nodeStatus(backend.node, true, at, backend.size - at);
        assert(count > 0, 'a status answer says something');
        at += count;
      }
    });
    await failing(async () => backend.node.instance.check?.({ fixErrors: !readOnly, fixLeaks: !readOnly, report: () => {} }));
  } finally {
    await backend.close();
  }
}
