// The disk that vvfat makes up: geometry, partition table, boot sector and allocation tables (Microsoft's FAT specification
// 1.03). QUIRK: with 32-bit entries only the tables differ, as in QEMU: boot sector and root directory stay those of FAT16.
import { bytes, layout, le16, le32, text, u8 } from '../../struct/layout.ts';
import { SECTOR } from '../node.ts';

export type FatType = 12 | 16 | 32;

export const CLUSTER_SECTORS = 16;
export const CLUSTER_BYTES = CLUSTER_SECTORS * SECTOR;
export const ROOT_ENTRIES = 512;
export const DIRECTORY_ENTRY_BYTES = 32;
const FAT_COPIES = 2;
const RESERVED_SECTORS = 1;
const DISK_ID = 0xbe1afdfa;
const VOLUME_SERIAL = 0xfabe1afd;
const BOOT_SIGNATURE = 0xaa55;

interface Geometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectorsPerTrack: number;
}

const GEOMETRY = {
  floppy: { cylinders: 80, heads: 2, sectorsPerTrack: 36 },
  /** The biggest that 12 bits can tell the clusters of. */
  smallDisk: { cylinders: 64, heads: 16, sectorsPerTrack: 63 },
  disk: { cylinders: 1024, heads: 16, sectorsPerTrack: 63 },
} as const satisfies Readonly<Record<string, Geometry>>;

const PARTITION = layout('partition table entry', {
  active: u8(0), start: bytes(1, 3), type: u8(4), end: bytes(5, 3), first: le32(8), count: le32(12),
}); // prettier-ignore
const PARTITION_TYPE: Readonly<Record<FatType, number>> = { 12: 1, 16: 6, 32: 0x0b };
const BOOT_RECORD = layout('master boot record', { diskId: le32(0x1b8), signature: le16(0x1fe) });

const BOOT_SECTOR = layout('FAT boot sector', {
  jump: bytes(0, 3), oemName: text(3, 8), sectorBytes: le16(11), clusterSectors: u8(13), reservedSectors: le16(14), fats: u8(16),
  rootEntries: le16(17), sectors16: le16(19), media: u8(21), fatSectors: le16(22), sectorsPerTrack: le16(24), heads: le16(26),
  hiddenSectors: le32(28), sectors32: le32(32), drive: u8(36), extended: u8(38), serial: le32(39), label: text(43, 11),
  fileSystem: text(54, 8), signature: le16(510),
}); // prettier-ignore

/** Where things lie, in sectors of the disk. */
export interface DiskLayout {
  readonly fatType: FatType;
  readonly floppy: boolean;
  readonly sectors: number;
  readonly bootSector: number;
  readonly fatSectors: number;
  readonly fatStart: number;
  readonly rootStart: number;
  readonly dataStart: number;
  readonly clusters: number;
  readonly geometry: Geometry;
}

export function diskLayout(fatType: FatType, floppy: boolean): DiskLayout {
  const geometry = floppy ? GEOMETRY.floppy : fatType === 12 ? GEOMETRY.smallDisk : GEOMETRY.disk;
  const sectors = geometry.cylinders * geometry.heads * geometry.sectorsPerTrack;
  const bootSector = floppy ? 0 : geometry.sectorsPerTrack;
  const inVolume = sectors - bootSector;
  const sectorsPerFatSector = 1 + (CLUSTER_SECTORS * SECTOR * 8) / fatType;
  const fatSectors = Math.floor(Math.floor(inVolume + sectorsPerFatSector) / Math.floor(sectorsPerFatSector));
  const fatStart = bootSector + RESERVED_SECTORS;
  const rootStart = fatStart + FAT_COPIES * fatSectors;
  const dataStart = rootStart + (ROOT_ENTRIES * DIRECTORY_ENTRY_BYTES) / SECTOR;
  const clusters = Math.floor((sectors - dataStart) / CLUSTER_SECTORS);
  return { fatType, floppy, sectors, bootSector, fatSectors, fatStart, rootStart, dataStart, clusters, geometry };
}

function cylinderHeadSector(sector: number, { heads, sectorsPerTrack }: Geometry): Uint8Array {
  const track = Math.floor(sector / sectorsPerTrack);
  const cylinder = Math.floor(track / heads);
  return Uint8Array.of(track % heads, ((sector % sectorsPerTrack) + 1) | ((cylinder >> 2) & 0xc0), cylinder & 0xff);
}

export function masterBootRecord({ fatType, sectors, bootSector, geometry }: DiskLayout): Uint8Array {
  const record = new Uint8Array(SECTOR);
  BOOT_RECORD.write(record, { diskId: DISK_ID, signature: BOOT_SIGNATURE });
  PARTITION.write(record, {
    active: 0x80, start: cylinderHeadSector(bootSector, geometry), type: PARTITION_TYPE[fatType],
    end: cylinderHeadSector(sectors - 1, geometry), first: bootSector, count: sectors - bootSector,
  }, 0x1be); // prettier-ignore
  return record;
}

export function bootSector({ fatType, floppy, sectors, bootSector: hidden, fatSectors, geometry }: DiskLayout, label: string): Uint8Array {
  const sector = new Uint8Array(SECTOR);
  const inVolume = sectors - hidden;
  BOOT_SECTOR.write(sector, {
    jump: Uint8Array.of(0xeb, 0x3e, 0x90), oemName: 'MSWIN4.1', sectorBytes: SECTOR, clusterSectors: CLUSTER_SECTORS,
    reservedSectors: RESERVED_SECTORS, fats: FAT_COPIES, rootEntries: ROOT_ENTRIES, sectors16: inVolume > 0xffff ? 0 : inVolume,
    media: floppy ? 0xf0 : 0xf8, fatSectors, sectorsPerTrack: geometry.sectorsPerTrack, heads: geometry.heads,
    hiddenSectors: hidden, sectors32: inVolume > 0xffff ? inVolume : 0, drive: floppy ? 0 : 0x80, extended: 0x29, serial: VOLUME_SERIAL,
    label: label.padEnd(11), fileSystem: fatType === 12 ? 'FAT12   ' : 'FAT16   ', signature: BOOT_SIGNATURE,
  }); // prettier-ignore
  return sector;
}

/** One allocation table. */
export class FatTable {
  readonly bytes: Uint8Array;
  readonly #fatType: FatType;
  readonly endOfChain: number;

  constructor({ fatType, fatSectors, floppy }: DiskLayout) {
    this.bytes = new Uint8Array(fatSectors * SECTOR);
    this.#fatType = fatType;
    this.endOfChain = fatType === 12 ? 0xfff : fatType === 16 ? 0xffff : 0x0fffffff;
    this.set(0, (this.endOfChain & ~0xff) | (floppy ? 0xf0 : 0xf8));
    this.set(1, this.endOfChain);
  }

  set(cluster: number, value: number): void {
    const { bytes: table } = this;
    if (this.#fatType === 12) {
      const at = Math.floor((cluster * 3) / 2);
      const isOdd = cluster % 2 === 1;
      const kept = isOdd ? table[at]! & 0x0f : table[at + 1]! & 0xf0;
      table[at] = isOdd ? kept | ((value & 0x0f) << 4) : value & 0xff;
      table[at + 1] = isOdd ? value >> 4 : kept | (value >> 8);
      return;
    }
    const width = this.#fatType / 8;
    for (let n = 0; n < width; n++) table[cluster * width + n] = (value >>> (8 * n)) & 0xff;
  }

  chain(first: number, count: number): void {
    for (let n = 0; n < count; n++) this.set(first + n, n === count - 1 ? this.endOfChain : first + n + 1);
  }
}
