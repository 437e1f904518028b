// Hostile virtual disks: sparse headers, directories, tables, markers, compressed data, and descriptors.
import { fuzzHostileImages, type HostileFormat } from '../image-format/hostile-images.fuzz.ts';
import type { BlockHost } from '../host.ts';
import { SECTOR_BYTES, sparseHeaderLayout } from './layout.ts';

const SIZE = 6 << 20;

const variant = (subformat: string, more: readonly (readonly [string, boolean])[] = []): HostileFormat['variants'][number] => ({
  values: new Map<string, number | string | boolean>([['size', SIZE], ['subformat', subformat], ...more]),
  compressed: subformat === 'streamOptimized',
});

function regions(image: Uint8Array): readonly (readonly [number, number])[] {
  if (image[0] === 0x23) return [[0, Math.min(image.length, 512)]];
  if (image[0] !== 0x4b || image[1] !== 0x44) return [];
  const { directoryOffset, backupDirectoryOffset } = sparseHeaderLayout.decode(image);
  const directory = Number(directoryOffset) * SECTOR_BYTES;
  const data = 65536;
  return [
    [0, 80],
    [0x200, 0x360],
    [Number(backupDirectoryOffset) * SECTOR_BYTES, Number(backupDirectoryOffset) * SECTOR_BYTES + 16],
    [directory, directory + 16],
    [directory + SECTOR_BYTES, directory + SECTOR_BYTES + 400],
    [data, data + 64],
  ];
}

const format: HostileFormat = {
  driver: 'vmdk',
  variants: [
    variant('monolithicSparse'),
    variant('monolithicSparse', [['zeroed_grain', true]]),
    variant('streamOptimized'),
    variant('twoGbMaxExtentSparse'),
    variant('monolithicFlat'),
  ],
  regions,
};

export const fuzzVmdk = (host: BlockHost, seed: number, cases: number): Promise<void> => fuzzHostileImages(format, host, seed, cases);
