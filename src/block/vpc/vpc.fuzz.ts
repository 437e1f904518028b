// Hostile virtual hard disks: footer, dynamic header and block table, mostly with right checksums.
import { fuzzHostileImages, type HostileFormat } from '../image-format/hostile-images.fuzz.ts';
import type { BlockHost } from '../host.ts';
import { checksumOf, dynamicHeaderLayout, FOOTER_BYTES, footerLayout } from './layout.ts';

const SIZE = 8 << 20;
const isDynamic = (image: Uint8Array): boolean => image[0] === 0x63;

function seal(image: Uint8Array): void {
  const footer = isDynamic(image) ? image.subarray(0, FOOTER_BYTES) : image.subarray(image.length - FOOTER_BYTES);
  footerLayout.write(footer, { checksum: checksumOf(footer, footerLayout.fields.checksum.offset) });
  if (!isDynamic(image)) return;
  const header = image.subarray(FOOTER_BYTES, FOOTER_BYTES + dynamicHeaderLayout.sizeBytes);
  dynamicHeaderLayout.write(header, { checksum: checksumOf(header, dynamicHeaderLayout.fields.checksum.offset) });
}

const format: HostileFormat = {
  driver: 'vpc',
  variants: ['dynamic', 'fixed'].map((subformat) => ({
    values: new Map<string, number | string>([['size', SIZE], ['subformat', subformat]]),
  })),
  regions(image) {
    const tail = image.length - FOOTER_BYTES;
    return isDynamic(image) ? [[0, 88], [512, 552], [1536, 1568]] : [[tail, tail + 88]];
  },
  seal,
};

export const fuzzVpc = (host: BlockHost, seed: number, cases: number): Promise<void> => fuzzHostileImages(format, host, seed, cases);
