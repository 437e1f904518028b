// Hostile VHDX files: headers, region tables, metadata, the block table, and a log that is to be replayed; mostly with right
// checksums.
import type { Prng } from '../../base/prng.ts';
import { fuzzHostileImages, type HostileFormat } from '../image-format/hostile-images.fuzz.ts';
import type { BlockHost } from '../host.ts';
import { sealChecksum } from './crc32c.ts';
import { AT, HEADER_BYTES, headerLayout, logEntryLayout, MIB, REGION_TABLE_BYTES } from './layout.ts';

const SIZE = 6 << 20;
const LOG = MIB;

/** The last entry, already carried out, becomes one that is not. */
function activateLog(image: Uint8Array): void {
  const { logGuid } = logEntryLayout.decode(image, LOG);
  for (const offset of AT.HEADERS) headerLayout.write(image, { logGuid }, offset);
}

function seal(image: Uint8Array, random: Prng): void {
  if (random.oneIn(2)) activateLog(image);
  for (const offset of AT.HEADERS) sealChecksum(image.subarray(offset, offset + HEADER_BYTES));
  for (const offset of AT.REGION_TABLES) sealChecksum(image.subarray(offset, offset + REGION_TABLE_BYTES));
  const { entryLength } = logEntryLayout.decode(image, LOG);
  if (entryLength >= logEntryLayout.sizeBytes && entryLength <= 0x10000) sealChecksum(image.subarray(LOG, LOG + entryLength));
}

const variant = (subformat: string, blockSize: number): HostileFormat['variants'][number] => ({
  values: new Map<string, number | string>([['size', SIZE], ['block_size', blockSize], ['subformat', subformat]]),
});

const format: HostileFormat = {
  driver: 'vhdx',
  variants: [variant('dynamic', MIB), variant('fixed', 2 * MIB)],
  // Log, block table and metadata follow the header section, one MiB each.
  regions: () => [
    [AT.HEADERS[0], AT.HEADERS[0] + 80],
    [AT.HEADERS[1], AT.HEADERS[1] + 80],
    [AT.REGION_TABLES[0], AT.REGION_TABLES[0] + 80],
    [LOG, LOG + 128],
    [2 * MIB, 2 * MIB + 64],
    [3 * MIB, 3 * MIB + 192],
    [3 * MIB + 65536, 3 * MIB + 65536 + 40],
  ],
  seal,
};

export const fuzzVhdx = (host: BlockHost, seed: number, cases: number): Promise<void> => fuzzHostileImages(format, host, seed, cases);
