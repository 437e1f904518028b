// Images of the simple formats (vdi, vpc, vhdx, vmdk) for tests: made by our drivers or by the reference, written to by both in
// the same way, and compared.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Prng } from '../../src/base/prng.ts';
import { BlockBackend } from '../../src/block/backend.ts';
import type { CreateValues, OpenFlags } from '../../src/block/driver.ts';
import { BlockGraph } from '../../src/block/graph.ts';
import type { BlockHost } from '../../src/block/host.ts';
import { OptionDict } from '../../src/block/options.ts';
import { createBlockHost } from '../../src/platform/node/block-host.ts';
import { mustRun } from './reference.ts';

export const testHost = (): BlockHost => createBlockHost({ files: 'sync' });

export type Values = Readonly<Record<string, string | number | boolean>>;

export const valuesOf = (values: Values): CreateValues => new Map(Object.entries(values));

export class ImageFolder {
  readonly path: string;
  readonly warnings: string[] = [];
  readonly graph: BlockGraph;

  constructor(t: TestContext) {
    this.path = mkdtempSync(join(tmpdir(), 'nandu-format-'));
    t.after(() => rmSync(this.path, { recursive: true }));
    this.graph = new BlockGraph(createBlockHost({ files: 'sync', warn: (line) => this.warnings.push(line) }));
  }

  file(name: string): string {
    return join(this.path, name);
  }

  bytes(name: string): Uint8Array {
    return new Uint8Array(readFileSync(this.file(name)));
  }

  put(name: string, bytes: Uint8Array | string): void {
    writeFileSync(this.file(name), bytes);
  }

  create(format: string, name: string, values: Values): Promise<void> {
    return this.graph.createImage(format, this.file(name), valuesOf(values));
  }

  /** The same by the reference: `size` is the image's, the rest are its options. */
  createByReference(format: string, name: string, { size, ...values }: Values): void {
    const options = Object.entries(values).map(([key, value]) => `${key}=${typeof value === 'boolean' ? (value ? 'on' : 'off') : value}`);
    const words = options.length === 0 ? [] : ['-o', options.join(',')];
    mustRun('img', ['create', '-q', '-f', format, ...words, name, String(size)], this.path);
  }

  async open(format: string, name: string, flags: Partial<OpenFlags> = {}): Promise<BlockBackend> {
    return BlockBackend.open(this.graph, { filename: this.file(name), options: new OptionDict([['driver', format]]), flags });
  }

  async using<T>(format: string, name: string, flags: Partial<OpenFlags>, use: (backend: BlockBackend) => T | Promise<T>): Promise<T> {
    const backend = await this.open(format, name, flags);
    try {
      return await use(backend);
    } finally {
      await backend.close();
    }
  }

  contents(format: string, name: string): Promise<Uint8Array> {
    return this.using(format, name, { readOnly: true }, async (backend) => {
      const all = new Uint8Array(backend.size);
      await backend.read(0, all);
      return all;
    });
  }

  /** What the reference reads. */
  contentsByReference(format: string, name: string): Uint8Array {
    mustRun('img', ['convert', '-f', format, '-O', 'raw', name, 'contents.raw'], this.path);
    return this.bytes('contents.raw');
  }
}

export interface Write {
  readonly offset: number;
  readonly count: number;
  /** The byte that is written; undefined for zeroes without data. */
  readonly pattern: number | undefined;
}

/** Writes of all sizes, some over others; the same for a seed. */
export function someWrites(seed: number, size: number): Write[] {
  const random = new Prng(seed);
  return Array.from({ length: 24 }, () => {
    const offset = random.below(size / 512) * 512;
    const count = Math.min(size - offset, random.pick([512, 4096, 65536, 512 * (1 + random.below(4000))]));
    return { offset, count, pattern: random.pick([undefined, 0, 1, 77, 255]) };
  });
}

export async function writeOurs(folder: ImageFolder, format: string, name: string, writes: readonly Write[]): Promise<void> {
  await folder.using(format, name, {}, async (backend) => {
    for (const { offset, count, pattern } of writes) {
      if (pattern === undefined) await backend.writeZeroes(offset, count);
      else await backend.write(offset, new Uint8Array(count).fill(pattern));
    }
  });
}

export function writeByReference(folder: ImageFolder, format: string, name: string, writes: readonly Write[]): void {
  const commands = writes.flatMap(({ offset, count, pattern }) => [
    '-c',
    pattern === undefined ? `write -q -z ${offset} ${count}` : `write -q -P ${pattern} ${offset} ${count}`,
  ]);
  mustRun('io', ['-f', format, ...commands, name], folder.path);
}

/** What an empty image of `size` bytes holds after the writes. */
export function afterWrites(size: number, writes: readonly Write[]): Uint8Array {
  const all = new Uint8Array(size);
  for (const { offset, count, pattern = 0 } of writes) all.fill(pattern, offset, offset + count);
  return all;
}

export function assertSame(actual: Uint8Array, expected: Uint8Array, what: string): void {
  assert.equal(actual.length, expected.length, `${what}: size`);
  if (Buffer.compare(actual, expected) === 0) return;
  assert.fail(`${what}: different at ${actual.findIndex((byte, at) => byte !== expected[at])}`);
}

/** Either side writes, the other reads; and both sides leave the same file size. */
export async function assertInterchange(folder: ImageFolder, format: string, values: Values, seed: number): Promise<void> {
  await folder.create(format, `ours.${format}`, values);
  folder.createByReference(format, `theirs.${format}`, values);
  const size = await folder.using(format, `theirs.${format}`, { readOnly: true }, (backend) => backend.size);
  const writes = someWrites(seed, size);
  await writeOurs(folder, format, `ours.${format}`, writes);
  writeByReference(folder, format, `theirs.${format}`, writes);
  const expected = afterWrites(size, writes);
  assertSame(folder.contentsByReference(format, `ours.${format}`), expected, 'ours, read by the reference');
  assertSame(await folder.contents(format, `theirs.${format}`), expected, "the reference's, read by us");
  assertSame(await folder.contents(format, `ours.${format}`), expected, 'ours, read by us');
  assert.equal(folder.bytes(`ours.${format}`).length, folder.bytes(`theirs.${format}`).length, 'file sizes');
}

/** A new image is the reference's, beside the given ranges. */
export async function assertSameNewImage(
  folder: ImageFolder,
  format: string,
  values: Values,
  ignored: (image: Uint8Array) => readonly (readonly [number, number])[],
): Promise<void> {
  await folder.create(format, `new-ours.${format}`, values);
  folder.createByReference(format, `new-theirs.${format}`, values);
  const [ours, theirs] = [folder.bytes(`new-ours.${format}`), folder.bytes(`new-theirs.${format}`)];
  for (const image of [ours, theirs]) for (const [start, end] of ignored(image)) image.fill(0, start, end);
  assertSame(ours, theirs, `new ${format} ${JSON.stringify(values)}`);
}

/** `map` in short: `start+length:dz@offset …`. */
export function mapByReference(folder: ImageFolder, format: string, name: string): string {
  const entries = JSON.parse(mustRun('img', ['map', '--output', 'json', '-f', format, name], folder.path)) as readonly {
    start: number;
    length: number;
    data: boolean;
    zero: boolean;
    present: boolean;
    offset?: number;
  }[];
  return entries
    .map(({ start, length, data, zero, offset }) => `${start}+${length}:${data ? 'd' : ''}${zero ? 'z' : ''}@${offset ?? ''}`)
    .join(' ');
}
