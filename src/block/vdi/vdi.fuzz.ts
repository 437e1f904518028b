// Hostile VirtualBox disk images: header fields and the block map.
import { fuzzHostileImages, type HostileFormat } from '../image-format/hostile-images.fuzz.ts';
import type { BlockHost } from '../host.ts';

const SIZE = 6 << 20;

const format: HostileFormat = {
  driver: 'vdi',
  variants: [false, true].map((isStatic) => ({ values: new Map<string, number | boolean>([['size', SIZE], ['static', isStatic]]) })),
  regions: () => [[0x40, 0x54], [0x154, 0x1c8], [0x200, 0x220]],
};

export const fuzzVdi = (host: BlockHost, seed: number, cases: number): Promise<void> => fuzzHostileImages(format, host, seed, cases);
