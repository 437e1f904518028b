// The data of IDENTIFY DEVICE and IDENTIFY PACKET DEVICE (ATA8-ACS 7.16, 7.17) as words.
import { SECTOR_BYTES } from './ata-unit.ts';

export const MULTIPLE_SECTORS_MAX = 16;
export const QUEUE_DEPTH = 32;
/** Blocks of 64 ranges that one DATA SET MANAGEMENT takes. */
export const TRIM_BLOCKS_MAX = 8;

export interface AtaIdentity {
  readonly model: string;
  readonly serial: string;
  readonly firmware: string;
  /** World wide name; 0n for none. */
  readonly wwn: bigint;
  /** Bytes of a physical sector, a power of two of logical ones. */
  readonly physicalBlockBytes: number;
  /** Revolutions per minute; 1 is no rotation at all, 0 says nothing. */
  readonly rotationRate: number;
}

export interface AtaGeometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectors: number;
}

/** The translation that a disk has after reset. */
export function defaultGeometry(totalSectors: number): AtaGeometry {
  const [heads, sectors] = [16, 63];
  return { cylinders: Math.max(1, Math.min(16383, Math.floor(totalSectors / (heads * sectors)))), heads, sectors };
}

/** ATA strings have the bytes of each word swapped and are padded with spaces. */
function putString(words: Uint16Array, at: number, count: number, text: string): void {
  for (let index = 0; index < count; index++) {
    const code = (position: number): number => (position < text.length ? text.charCodeAt(position) & 0x7f : 0x20);
    words[at + index] = (code(2 * index) << 8) | code(2 * index + 1);
  }
}

function putU32(words: Uint16Array, at: number, value: number): void {
  words[at] = value & 0xffff;
  words[at + 1] = value >>> 16;
}

function putIdentity(words: Uint16Array, { serial, firmware, model, wwn }: AtaIdentity): void {
  putString(words, 10, 10, serial);
  putString(words, 23, 4, firmware);
  putString(words, 27, 20, model);
  if (wwn === 0n) return;
  words[87]! |= 0x100;
  for (let index = 0; index < 4; index++) words[108 + index] = Number((wwn >> BigInt(48 - 16 * index)) & 0xffffn);
}

/** Transfer modes: word 62..70 and 88 say what is there and what is selected (SET FEATURES 03h). */
function putModes(words: Uint16Array, selected: number): void {
  const chosen = (kind: number): number => (selected >> 3 === kind ? 1 << (8 + (selected & 7)) : 0);
  words[53] = 7;
  words[63] = 0x07 | chosen(4);
  words[64] = 0x03;
  for (let word = 65; word <= 68; word++) words[word] = 120;
  words[80] = 0xf0;
  words[81] = 0x16;
  words[88] = 0x3f | chosen(8);
  words[93] = 0x600b;
}

/** The last word: a signature and the sum that makes all bytes add up to zero. */
function finished(words: Uint16Array): Uint8Array {
  words[255] = 0xa5;
  const bytes = new Uint8Array(words.buffer);
  bytes[511] = -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
  return bytes;
}

export interface IdentifyDisk {
  readonly identity: AtaIdentity;
  readonly totalSectors: number;
  readonly geometry: AtaGeometry;
  readonly multiple: number;
  readonly writeCache: boolean;
  readonly readAhead: boolean;
  readonly smart: boolean;
  readonly transferMode: number;
  readonly trim: boolean;
  /** SATA: capabilities and native command queuing. */
  readonly serialAta: boolean;
}

const LBA28_SECTORS_MAX = 0x0fff_ffff;

export function identifyDisk(disk: IdentifyDisk): Uint8Array {
  const words = new Uint16Array(256);
  const initial = defaultGeometry(disk.totalSectors);
  const { geometry } = disk;
  words[0] = 0x0040; // fixed
  words[1] = initial.cylinders;
  words[3] = initial.heads;
  words[6] = initial.sectors;
  putModes(words, disk.transferMode);
  words[47] = 0x8000 | MULTIPLE_SECTORS_MAX;
  words[48] = 1; // double-word PIO
  words[49] = 0x0f00; // LBA, DMA, IORDY
  words[50] = 0x4000;
  words[54] = geometry.cylinders;
  words[55] = geometry.heads;
  words[56] = geometry.sectors;
  putU32(words, 57, Math.min(geometry.cylinders * geometry.heads * geometry.sectors, LBA28_SECTORS_MAX));
  words[59] = disk.multiple === 0 ? 0 : 0x100 | disk.multiple;
  putU32(words, 60, Math.min(disk.totalSectors, LBA28_SECTORS_MAX));
  words[82] = 0x4069; // NOP, read look-ahead, write cache, power management, SMART
  words[83] = 0x7400; // FLUSH CACHE, FLUSH CACHE EXT, 48-bit addresses
  words[84] = 0x4060; // general purpose logging, FUA
  words[85] = 0x4008 | (disk.smart ? 1 : 0) | (disk.writeCache ? 0x20 : 0) | (disk.readAhead ? 0x40 : 0);
  words[86] = 0x3400;
  words[87] = 0x4060;
  putU32(words, 100, disk.totalSectors >>> 0);
  words[102] = Math.floor(disk.totalSectors / 2 ** 32) & 0xffff;
  const exponent = Math.max(0, Math.min(15, Math.log2(disk.identity.physicalBlockBytes / SECTOR_BYTES)));
  if (exponent > 0) words[106] = 0x6000 | exponent;
  words[217] = disk.identity.rotationRate;
  if (disk.trim) {
    words[69] = 0x4000 | 0x20; // reads after trim are determinate, and zero
    words[105] = TRIM_BLOCKS_MAX;
    words[169] = 1;
  }
  if (disk.serialAta) {
    words[75] = QUEUE_DEPTH - 1;
    words[76] = 0x0106; // NCQ, generations 1 and 2
    words[93] = 0;
    words[222] = 0x1020;
  }
  putIdentity(words, disk.identity);
  words[84]! |= words[87]! & 0x100;
  return finished(words);
}

export function identifyPacketDevice(identity: AtaIdentity, transferMode: number, serialAta: boolean): Uint8Array {
  const words = new Uint16Array(256);
  words[0] = 0x85c0; // CD-ROM, removable, 12-byte packets, data request within 50 us
  putModes(words, transferMode);
  words[48] = 1;
  words[49] = 0x0b00; // IORDY, LBA, DMA
  words[71] = 30;
  words[72] = 30;
  words[82] = 0x4010 | 0x0200; // PACKET, DEVICE RESET, NOP
  words[83] = 0x4000;
  words[84] = 0x4000;
  words[85] = 0x4010 | 0x0200;
  words[87] = 0x4000;
  if (serialAta) {
    words[76] = 0x0006;
    words[93] = 0;
    words[222] = 0x1020;
  }
  putIdentity(words, identity);
  words[84]! |= words[87]! & 0x100;
  return finished(words);
}
