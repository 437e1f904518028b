// `check` and `check -r` of damaged qcow2 images beside the reference: the same lines on the same streams, the same exit status,
// and the same image afterwards, byte for byte.
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { runImg } from '../../src/cli/image-tools/img.ts';
import { damageImage, ImageBytes } from './qcow2-damage.ts';
import { noReference, TwinFolders } from './reference.ts';

/** Images before the damage: how they are made. */
const BASES: Readonly<Record<string, readonly string[]>> = {
  plain: [
    'img create -q -f qcow2 plain 4M',
    "io -c 'write -P 1 0 256k' -c 'write -P 2 1M 64k' -c 'write -z 2M 128k' -c 'write -c -P 5 3M 64k' plain",
  ],
  small: [
    'img create -q -f qcow2 -o cluster_size=512 small 1M',
    "io -c 'write 0 100k' -c 'write -P 2 500k 64k' -c 'write -z 200k 12k' small",
  ],
  snapshots: [
    'img create -q -f qcow2 -o cluster_size=4k snapshots 4M',
    "io -c 'write 0 256k' -c 'write -P 2 3M 64k' snapshots",
    'img snapshot -c one snapshots',
    "io -c 'write -P 3 128k 256k' -c 'write -z 2M 64k' snapshots",
    'img snapshot -c two snapshots',
  ],
  subclusters: [
    'img create -q -f qcow2 -o extended_l2=on,cluster_size=16k subclusters 4M',
    "io -c 'write 0 100k' -c 'write -P 2 1M 3k' -c 'write -z 2M 2k' -c 'write -c -P 5 3M 16k' subclusters",
  ],
  version2: [
    'img create -q -f qcow2 -o compat=0.10,cluster_size=1k version2 1M',
    "io -c 'write 0 200k' -c 'write -c 300k 1k' -c 'write -c 301k 1k' version2",
  ],
  bits: [
    'img create -q -f qcow2 -o refcount_bits=1,cluster_size=1k bits 1M',
    "io -c 'write 0 200k' -c 'write -c 300k 1k' bits",
  ],
  wide: ['img create -q -f qcow2 -o refcount_bits=64,cluster_size=1k wide 1M', "io -c 'write 0 200k' wide", 'img snapshot -c x wide'],
  bitmaps: [
    'img create -q -f qcow2 -o cluster_size=4k bitmaps 4M',
    'img bitmap --add bitmaps b1',
    'img bitmap --add -g 512 bitmaps b2',
    "io -c 'write -P 3 1M 256k' bitmaps",
  ],
  data: ['img create -q -f qcow2 -o cluster_size=4k,data_file=data.raw data 4M', "io -c 'write 0 64k' -c 'write -z 100k 64k' data"],
};

const REPAIRS = ['', '-r leaks ', '-r all '] as const;
const RANDOM_CASES = 18;
const COPIED = 1n << 63n;

const firstL2 = (image: ImageBytes): number => image.l2Tables()[0]!;

/** Damage by hand: base, and what is done to it. */
const CASES: Readonly<Record<string, readonly [base: string, damage: (image: ImageBytes) => void]>> = {
  'a refcount that is missing': ['plain', (image) => image.write8(image.refcountBlocks()[0]! + 13, 0)],
  'a refcount that is too high': ['plain', (image) => image.write8(image.refcountBlocks()[0]! + 13, 3)],
  'two references to one cluster': ['plain', (image) => image.write64(firstL2(image) + 8, image.read64(firstL2(image)))],
  'flags that are missing': [
    'plain',
    (image) => {
      image.write64(firstL2(image), image.read64(firstL2(image)) & ~COPIED);
      image.write64(image.l1Offset, image.read64(image.l1Offset) & ~COPIED);
    },
  ],
  'a cluster beyond the end': ['plain', (image) => image.write64(firstL2(image) + 8, 0x1_0000_0000n | COPIED)],
  'clusters out of place': [
    'plain',
    (image) => {
      image.write64(firstL2(image) + 8, image.read64(firstL2(image) + 8) + 512n);
      image.write64(firstL2(image) + 144, 0x1201n | COPIED);
    },
  ],
  'a refcount block beyond the end': ['plain', (image) => image.write64(image.refcountTable + 8, 0x100_0000n)],
  'a refcount block out of place': ['plain', (image) => image.write64(image.refcountTable + 8, 0x50200n)],
  'a refcount block twice': ['plain', (image) => image.write64(image.refcountTable + 8, image.read64(image.refcountTable))],
  'the corrupt bit': ['plain', (image) => image.write64(72, 2n)],
  'the dirty bit': ['small', (image) => image.write64(72, 1n)],
  'an incomplete snapshot': ['snapshots', (image) => image.write32(60, 3)],
  'too much of a snapshot': ['snapshots', (image) => image.write32(image.snapshotTable + 36, 5000)],
  'a snapshot table out of place': ['snapshots', (image) => image.write64(64, BigInt(image.snapshotTable) + 512n)],
  'a snapshot of a size that cannot be': ['snapshots', (image) => image.write32(image.snapshotTable + 8, 0x7fffffff)],
  'subclusters that are two things': ['subclusters', (image) => image.write64(firstL2(image) + 8, 0x0000_0001_0000_0001n)],
};

describe('damaged qcow2 images', { skip: noReference }, () => {
  let twins: TwinFolders;
  before(async () => {
    twins = new TwinFolders({ img: runImg });
    for (const line of Object.values(BASES).flat()) await twins.prepare(line);
    // One folder's images for both: they hold dates, and the same damage is to hit the same bytes.
    for (const name of Object.keys(BASES)) copyFileSync(join(twins.theirs, name), join(twins.ours, name));
  });
  after(() => twins.remove());

  async function compare(base: string, damage: (path: string) => void): Promise<void> {
    for (const repair of REPAIRS) {
      for (const folder of [twins.ours, twins.theirs]) {
        copyFileSync(join(folder, base), join(folder, 'image'));
        damage(join(folder, 'image'));
      }
      await twins.same(`img check ${repair}image`);
      const [ours, theirs] = [twins.ours, twins.theirs].map((folder) => readFileSync(join(folder, 'image')));
      assert.ok(ours!.equals(theirs!), `check ${repair}leaves another image`);
    }
  }

  for (const [name, [base, damage]] of Object.entries(CASES)) {
    test(name, () =>
      compare(base, (path) => {
        const image = new ImageBytes(path);
        damage(image);
        image.close();
      }));
  }

  const names = Object.keys(BASES);
  for (let seed = 1; seed <= RANDOM_CASES; seed++) {
    const base = names[seed % names.length]!;
    test(`random damage, seed ${seed}, ${base}`, () => compare(base, (path) => damageImage(path, seed)));
  }
});
