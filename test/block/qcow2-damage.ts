// Damage to the metadata of qcow2 images, for tests of check and of hostile images: an image with the places of its tables, and
// changes drawn at random, of the kinds that broken software and broken disks make. Everything follows from the seed.
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { Prng } from '../../src/base/prng.ts';

const OFFSET_MASK = (1n << 56n) - 512n;
const ALL = (1n << 64n) - 1n;

/** The fields of a header that the tests need, and reading and writing in place. */
export class ImageBytes {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, 'r+');
  }

  close(): void {
    closeSync(this.#fd);
  }

  get size(): number {
    return fstatSync(this.#fd).size;
  }

  bytes(offset: number, count: number): Buffer {
    const buffer = Buffer.alloc(count);
    readSync(this.#fd, buffer, 0, count, offset);
    return buffer;
  }

  read32(offset: number): number {
    return this.bytes(offset, 4).readUInt32BE();
  }

  read64(offset: number): bigint {
    return this.bytes(offset, 8).readBigUInt64BE();
  }

  write8(offset: number, value: number): void {
    writeSync(this.#fd, Uint8Array.of(value), 0, 1, offset);
  }

  write32(offset: number, value: number): void {
    const buffer = Buffer.alloc(4);
    buffer.writeUInt32BE(value);
    writeSync(this.#fd, buffer, 0, 4, offset);
  }

  write64(offset: number, value: bigint): void {
    const buffer = Buffer.alloc(8);
    buffer.writeBigUInt64BE(value & ALL);
    writeSync(this.#fd, buffer, 0, 8, offset);
  }

  get clusterSize(): number {
    return 2 ** this.read32(20);
  }

  get l1Entries(): number {
    return this.read32(36);
  }

  get l1Offset(): number {
    return Number(this.read64(40));
  }

  get refcountTable(): number {
    return Number(this.read64(48));
  }

  get snapshotCount(): number {
    return this.read32(60);
  }

  get snapshotTable(): number {
    return Number(this.read64(64));
  }

  get refcountOrder(): number {
    return this.read32(4) >= 3 ? this.read32(96) : 4;
  }

  /** Host offsets of the active L2 tables that lie in the file. */
  l2Tables(): number[] {
    return this.#tables(this.l1Offset, this.l1Entries);
  }

  refcountBlocks(): number[] {
    return this.#tables(this.refcountTable, this.clusterSize / 8);
  }

  #tables(offset: number, entries: number): number[] {
    const found: number[] = [];
    const table = this.bytes(offset, entries * 8);
    for (let index = 0; index < entries; index++) {
      const at = Number(table.readBigUInt64BE(index * 8) & OFFSET_MASK);
      if (at !== 0 && at % this.clusterSize === 0 && at < this.size) found.push(at);
    }
    return found;
  }
}

/** A value that a table entry might have instead of `old`. */
function entry(image: ImageBytes, random: Prng, old: bigint): bigint {
  const { clusterSize, size } = image;
  const cluster = BigInt(random.below(Math.ceil(size / clusterSize) + 3) * clusterSize);
  const copied = 1n << 63n;
  // prettier-ignore
  const values = [
    0n, cluster, cluster | copied, cluster | 1n, cluster | copied | 1n, cluster + 512n | copied, cluster + 512n | 1n,
    old ^ copied, old ^ (1n << 62n), old ^ (1n << BigInt(random.below(53))), (1n << 62n) | cluster | BigInt(random.below(1000)),
    old + BigInt(clusterSize), BigInt(1 + random.below(1 << 15)) << 32n,
  ];
  return values[random.below(values.length)]!;
}

const KINDS = ['l2', 'l2', 'l2', 'l2', 'l1', 'refcount', 'refcount', 'refcount', 'table', 'snapshot', 'subclusters'] as const;

/** Changes one to three places of the image. */
export function damageImage(path: string, seed: number): void {
  const random = new Prng(seed);
  const image = new ImageBytes(path);
  try {
    for (let rest = 1 + random.below(3); rest > 0; rest--) damageOnce(image, random);
  } finally {
    image.close();
  }
}

function damageOnce(image: ImageBytes, random: Prng): void {
  const pick = (offsets: readonly number[]): number => offsets[random.below(Math.max(1, offsets.length))] ?? 0;
  const change = (at: number): void => {
    if (at >= image.clusterSize) image.write64(at, entry(image, random, image.read64(at)));
  };
  switch (KINDS[random.below(KINDS.length)]!) {
    case 'l2':
      return change(pick(image.l2Tables()) + 8 * random.below(Math.min(64, image.clusterSize / 8)));
    case 'l1':
      return change(image.l1Offset + 8 * random.below(image.l1Entries));
    case 'refcount':
      return damageCount(image, random, pick(image.refcountBlocks()));
    case 'table':
      // Never the first entry: without it the reference gives up where we go on.
      return change(image.refcountTable + 8 * (1 + random.below(3)));
    case 'snapshot':
      if (image.snapshotCount > 0) image.write32(image.snapshotTable + [8, 36][random.below(2)]!, random.below(40));
      return;
    case 'subclusters': {
      const table = pick(image.l2Tables());
      const bits = (BigInt(random.below(2 ** 31)) << 32n) | BigInt(random.below(2 ** 31));
      if (table > 0) image.write64(table + 16 * random.below(30) + 8, bits);
    }
  }
}

function damageCount(image: ImageBytes, random: Prng, block: number): void {
  if (block === 0) return;
  const clusters = Math.ceil(image.size / image.clusterSize) + 2;
  const bit = random.below(clusters) * 2 ** image.refcountOrder;
  const lastByte = image.refcountOrder > 3 ? 2 ** (image.refcountOrder - 3) - 1 : 0;
  const at = block + (bit >> 3) + lastByte;
  if (at < block + image.clusterSize) image.write8(at, random.below(image.refcountOrder < 3 ? 256 : 5));
}

/** Fills the dates of internal snapshots with zeroes: all that two images made at different times may differ in. */
export function withoutDates(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  if (copy.length < 72 || copy.readUInt32BE(0) !== 0x514649fb) return copy;
  let at = Number(copy.readBigUInt64BE(64));
  for (let index = 0; index < copy.readUInt32BE(60) && at + 40 <= copy.length; index++) {
    at = Math.ceil(at / 8) * 8;
    copy.fill(0, at + 16, at + 24);
    at += 40 + copy.readUInt32BE(at + 36) + copy.readUInt16BE(at + 12) + copy.readUInt16BE(at + 14);
  }
  return copy;
}
