// What the block benchmark runs (bench-block.ts), and the images it runs on. Commands are those that both tools understand.
import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

export interface Contestant {
  readonly name: string;
  /** The programs. */
  readonly img: string;
  readonly nbd: string;
}

export interface BenchCase {
  readonly name: string;
  readonly group: 'bulk' | 'compression' | 'requests' | 'network';
  /** Brings the images into the state that every run begins with; not timed. */
  prepare?(tiny: boolean): Promise<void>;
  /** A server that runs meanwhile, listening on `socket` before the time begins. */
  server?(contestant: Contestant, tiny: boolean): readonly string[];
  readonly socket?: string;
  command(contestant: Contestant, tiny: boolean): readonly string[];
}

type Qemu = (words: readonly string[]) => Promise<void>;

export interface Images {
  readonly folder: string;
  readonly bytes: number;
  /** The reference's qemu-img, for preparations. */
  readonly qemu: Qemu;
}

const PIECE_BYTES = 1 << 20;
const CLUSTER_BYTES = 65536;
const TINY_BYTES = 1 << 20;

const fileOf = ({ folder }: Images, name: string, tiny: boolean): string => join(folder, tiny ? `tiny-${name}` : name);

/** Random and zero by turns; the zeroes of the first half are written, those of the second are holes. */
function writeRaw(path: string, bytes: number, random: () => Uint8Array): void {
  const fd = openSync(path, 'w');
  const zeroes = new Uint8Array(PIECE_BYTES);
  for (let at = 0, index = 0; at < bytes; at += PIECE_BYTES, index++) {
    if (index % 2 === 0 && bytes > TINY_BYTES) writeSync(fd, random(), 0, PIECE_BYTES, at);
    else if (at < bytes / 2) writeSync(fd, zeroes, 0, PIECE_BYTES, at);
  }
  ftruncateSync(fd, bytes);
  closeSync(fd);
}

/** Bytes that compress to about a half: the six bits of a random byte that a base-64 text has, in short repeated pieces. */
function textBytes(): Uint8Array {
  const words = Array.from({ length: 512 }, () => randomBytes(6).toString('base64'));
  const picks = randomBytes(2 * PIECE_BYTES);
  let text = '';
  for (let index = 0; text.length < PIECE_BYTES; index += 2) text += `${words[picks.readUInt16LE(index) % words.length]!} `;
  return Buffer.from(text.slice(0, PIECE_BYTES));
}

export async function prepareImages(folder: string, bytes: number, qemu: Qemu): Promise<Images> {
  const images: Images = { folder, bytes, qemu };
  for (const tiny of [false, true]) {
    const size = tiny ? TINY_BYTES : bytes;
    writeRaw(fileOf(images, 'data.raw', tiny), size, () => randomBytes(PIECE_BYTES));
    writeRaw(fileOf(images, 'text.raw', tiny), tiny ? size : bytes / 4, textBytes);
    await qemu(['convert', '-f', 'raw', '-O', 'qcow2', fileOf(images, 'data.raw', tiny), fileOf(images, 'data.qcow2', tiny)]);
  }
  return images;
}

export function benchCases(images: Images): readonly BenchCase[] {
  return [...bulkCases(images), ...compressionCases(images), ...requestCases(images), ...networkCases(images)];
}

const remove = (path: string): void => rmSync(path, { force: true });

async function create({ qemu, bytes }: Images, path: string, tiny: boolean, more: readonly string[] = []): Promise<void> {
  remove(path);
  await qemu(['create', '-q', '-f', 'qcow2', ...more, path, String(tiny ? TINY_BYTES : bytes)]);
}

type Source = readonly [format: string, file: string];

function conversion(images: Images, name: string, from: Source, to: readonly string[], group: BenchCase['group']): BenchCase {
  const target = join(images.folder, 'target');
  return {
    name,
    group,
    prepare: async () => remove(target),
    command: ({ img }, tiny) => [img, 'convert', '-f', from[0], ...to, fileOf(images, from[1], tiny), target],
  };
}

function bulkCases(images: Images): BenchCase[] {
  const base = join(images.folder, 'base.qcow2'), overlay = join(images.folder, 'overlay.qcow2');
  const data = (tiny: boolean): string => fileOf(images, 'data.qcow2', tiny);
  return [
    conversion(images, 'convert raw to qcow2', ['raw', 'data.raw'], ['-O', 'qcow2'], 'bulk'),
    conversion(images, 'convert qcow2 to raw', ['qcow2', 'data.qcow2'], ['-O', 'raw'], 'bulk'),
    {
      name: 'compare raw and qcow2',
      group: 'bulk',
      command: ({ img }, tiny) => [img, 'compare', '-f', 'raw', '-F', 'qcow2', fileOf(images, 'data.raw', tiny), data(tiny)],
    },
    {
      name: 'commit',
      group: 'bulk',
      async prepare(tiny) {
        await create(images, base, tiny);
        remove(overlay);
        await images.qemu(['convert', '-f', 'qcow2', '-O', 'qcow2', '-B', base, '-F', 'qcow2', data(tiny), overlay]);
      },
      command: ({ img }) => [img, 'commit', '-q', '-d', '-f', 'qcow2', overlay],
    },
    {
      name: 'rebase',
      group: 'bulk',
      async prepare(tiny) {
        await create(images, base, tiny);
        await create(images, overlay, tiny, ['-b', data(tiny), '-F', 'qcow2']);
      },
      command: ({ img }) => [img, 'rebase', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', overlay],
    },
  ];
}

function compressionCases(images: Images): BenchCase[] {
  const target = (type: string): readonly string[] => ['-c', '-O', 'qcow2', '-o', `compression_type=${type}`];
  return [
    conversion(images, 'convert -c zlib', ['raw', 'data.raw'], target('zlib'), 'compression'),
    conversion(images, 'convert -c zstd', ['raw', 'data.raw'], target('zstd'), 'compression'),
    conversion(images, 'convert -c zlib, text (a quarter)', ['raw', 'text.raw'], target('zlib'), 'compression'),
    conversion(images, 'convert -c zstd, text (a quarter)', ['raw', 'text.raw'], target('zstd'), 'compression'),
  ];
}

interface RequestImage {
  readonly name: string;
  prepare(path: string, tiny: boolean): Promise<void>;
}

/** Requests one behind the other, and, into clusters that must be allocated, one for each cluster. */
function requestCases(images: Images): BenchCase[] {
  const path = join(images.folder, 'requests.qcow2');
  const sequential = images.bytes / 4096, clusters = images.bytes / CLUSTER_BYTES;
  const data = (tiny: boolean): string => fileOf(images, 'data.qcow2', tiny);
  const full = ['-o', 'preallocation=full'];
  const allocated: RequestImage = { name: 'allocated', prepare: (file, tiny) => create(images, file, tiny, full) };
  const empty: RequestImage = { name: 'empty', prepare: (file, tiny) => create(images, file, tiny) };
  const zero: RequestImage = { name: 'zero clusters', prepare: (file, tiny) => zeroImage(images, file, tiny) };
  const overlay: RequestImage = { name: 'overlay', prepare: (file, tiny) => create(images, file, tiny, ['-b', data(tiny), '-F', 'qcow2']) };
  const ones = join(images.folder, 'ones.qcow2');
  let isFilled = false;
  const copied: RequestImage = {
    name: 'copy-on-write',
    async prepare(file, tiny) {
      if (!isFilled) await create(images, ones, false, full);
      if (!isFilled) await fillWithOnes(images, ones);
      isFilled = true;
      await create(images, file, tiny, ['-b', ones, '-F', 'qcow2']);
    },
  };
  const bench = (isWrite: boolean, depth: number, { name, prepare }: RequestImage, step: number, count: number): BenchCase => ({
    name: `${isWrite ? 'write' : 'read'}, ${name}, depth ${depth}`,
    group: 'requests',
    prepare: (tiny) => prepare(path, tiny),
    command: ({ img }, tiny) => [
      ...[img, 'bench', '-f', 'qcow2', '-s', '4096', '-S', String(step), '-d', String(depth), '-c', String(tiny ? 1 : count)],
      ...(isWrite ? ['-w', path] : [path]),
    ],
  });
  return [1, 64].flatMap((depth) => [
    ...[allocated, empty, zero, overlay].map((image) => bench(false, depth, image, 4096, sequential)),
    bench(true, depth, allocated, 4096, sequential),
    ...[empty, zero, overlay, copied].map((image) => bench(true, depth, image, CLUSTER_BYTES, clusters - 1)),
  ]);
}

/** Every cluster has the zero flag. */
async function zeroImage(images: Images, path: string, tiny: boolean): Promise<void> {
  await create(images, path, tiny);
  const zeroes = join(images.folder, 'zeroes.raw');
  const fd = openSync(zeroes, 'w');
  ftruncateSync(fd, tiny ? TINY_BYTES : images.bytes);
  closeSync(fd);
  // Over a backing image a zero has to be said.
  await images.qemu(['rebase', '-u', '-f', 'qcow2', '-b', zeroes, '-F', 'raw', path]);
  await images.qemu(['convert', '-n', '-f', 'raw', '-O', 'qcow2', zeroes, path]);
  await images.qemu(['rebase', '-u', '-f', 'qcow2', '-b', '', path]);
}

/** Data everywhere, so that whoever copies a cluster has something to copy. */
async function fillWithOnes(images: Images, path: string): Promise<void> {
  const count = images.bytes / PIECE_BYTES;
  await images.qemu(['bench', '-w', '-f', 'qcow2', '-s', '1M', '-d', '8', '-c', String(count), '--pattern', '1', path]);
}

function networkCases(images: Images): BenchCase[] {
  const socket = join(images.folder, 'socket');
  const uri = `nbd+unix:///?socket=${socket}`;
  const target = join(images.folder, 'target.qcow2');
  return [
    {
      name: 'NBD read',
      group: 'network',
      socket,
      server: ({ nbd }, tiny) => [nbd, '-t', '-r', '-e', '4', '-f', 'qcow2', '-k', socket, fileOf(images, 'data.qcow2', tiny)],
      command: () => ['nbdcopy', uri, 'null:'],
    },
    {
      name: 'NBD write',
      group: 'network',
      socket,
      prepare: (tiny) => create(images, target, tiny),
      server: ({ nbd }) => [nbd, '-t', '-e', '4', '-f', 'qcow2', '-k', socket, target],
      command: (_contestant, tiny) => ['nbdcopy', fileOf(images, 'data.raw', tiny), uri],
    },
  ];
}
