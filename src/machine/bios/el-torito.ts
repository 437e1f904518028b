// Bootable CDs: the boot record and the boot catalogue of El Torito 1.0 (Phoenix and IBM, 1995). Only the catalogue's default entry
// is booted.
import { layout, le16, le32, u8, text } from '../../struct/layout.ts';
import type { DriveGeometry } from '../../ports/disk.ts';
import { CD_SECTOR_BYTES, floppyGeometry } from './disk-units.ts';

/** The boot record follows the primary volume descriptor. */
export const BOOT_RECORD_LBA = 17;
const bootRecord = layout('boot record', { type: u8(0), id: text(1, 5), system: text(7, 32), catalogLba: le32(0x47) }, CD_SECTOR_BYTES);
const validation = layout('validation entry', { headerId: u8(0), key: le16(0x1e) });
const defaultEntry = layout('default entry', { indicator: u8(0), media: u8(1), loadSegment: le16(2), sectors: le16(6), lba: le32(8) });

const BOOTABLE = 0x88;
const LOAD_SEGMENT_USUAL = 0x7c0;
const KEY = 0xaa55;
const MEDIA = { NONE: 0, HARD_DISK: 4 } as const;
const FLOPPY_KIB = [0, 1200, 1440, 2880];

export interface BootEntry {
  readonly media: number;
  readonly loadSegment: number;
  /** Of 512 bytes. */
  readonly sectors: number;
  /** Of 2,048 bytes. */
  readonly lba: number;
}

/** Where the boot catalogue is; undefined when the CD is not bootable. */
export function catalogLba(sector: Uint8Array): number | undefined {
  const record = bootRecord.decode(sector);
  return record.type === 0 && record.id === 'CD001' && record.system === 'EL TORITO SPECIFICATION' ? record.catalogLba : undefined;
}

export function parseCatalog(sector: Uint8Array): BootEntry | undefined {
  const { headerId, key } = validation.decode(sector);
  let sum = 0;
  for (let at = 0; at < 32; at += 2) sum += sector[at]! | (sector[at + 1]! << 8);
  const entry = defaultEntry.decode(sector, 32);
  const media = entry.media & 15;
  if (headerId !== 1 || key !== KEY || (sum & 0xffff) !== 0 || entry.indicator !== BOOTABLE || media > MEDIA.HARD_DISK) return undefined;
  return { media, loadSegment: entry.loadSegment === 0 ? LOAD_SEGMENT_USUAL : entry.loadSegment, sectors: entry.sectors, lba: entry.lba };
}

/** Of the emulated disk; a hard disk's is that of the one partition in its first sector. */
export function emulatedGeometry(media: number, firstSector: Uint8Array): DriveGeometry {
  if (media === MEDIA.NONE) return { cylinders: 0, heads: 0, sectors: 0 };
  if (media !== MEDIA.HARD_DISK) return floppyGeometry(FLOPPY_KIB[media]! * 1024).geometry;
  const at = 0x1be + 5;
  const [heads = 0, sectors = 0, cylinders = 0] = firstSector.subarray(at, at + 3);
  return { heads: heads + 1, sectors: Math.max(1, sectors & 63), cylinders: (((sectors & 0xc0) << 2) | cylinders) + 1 };
}
