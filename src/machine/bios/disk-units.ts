// Which drive a drive number means: floppies from 00h, hard disks from 80h, CDs from E0h, and in front of the real ones the disk that a
// bootable CD emulates (El Torito 1.0). Also the geometry that CHS functions show: no drive has one of its own.
import type { BootDrive } from '../../ports/boot-drive.ts';
import type { Drive, DriveGeometry } from '../../ports/disk.ts';
import { bool, struct, u16, u32, u8 } from '../../state/fields.ts';

export const SECTOR_BYTES = 512;
export const CD_SECTOR_BYTES = 2048;
export const FIRST = { FLOPPY: 0x00, DISK: 0x80, CDROM: 0xe0 } as const;
const FLOPPIES_MAX = 2;
const UNITS_MAX = 16;

/** A drive number's drive, in its own sectors. */
export interface DiskUnit {
  readonly kind: 'floppy' | 'disk' | 'cdrom';
  readonly drive: Drive;
  readonly sectorBytes: number;
  /** Where sector 0 lies on the drive. */
  readonly startByte: number;
  readonly sectors: number;
  readonly geometry: DriveGeometry;
  readonly readOnly: boolean;
  /** CMOS type of a floppy drive: 2 1.2 MB, 3 720 KB, 4 1.44 MB, 5 2.88 MB. */
  readonly floppyType: number;
}

/** A CD booted by El Torito: what INT 13h 4B01h tells, and where the emulated disk lies. */
export const cdEmulationField = struct({
  present: bool(),
  active: bool(),
  cdrom: u8(),
  media: u8(0, 4), // of the boot catalogue: 0 none, 1 to 3 floppy, 4 hard disk
  driveNumber: u8(),
  lba: u32(), // in sectors of 2,048 bytes
  loadSegment: u16(),
  loadSectors: u16(), // of 512 bytes
  cylinders: u16(),
  heads: u16(0, 256),
  sectors: u8(0, 63),
});
export type CdEmulation = ReturnType<typeof cdEmulationField.initial>;

// prettier-ignore
const FLOPPY_FORMATS: readonly (readonly [number, number, number, number, number])[] = [ // KiB, cylinders, heads, sectors, CMOS type
  [160, 40, 1, 8, 1], [180, 40, 1, 9, 1], [320, 40, 2, 8, 1], [360, 40, 2, 9, 1], [720, 80, 2, 9, 3], [1200, 80, 2, 15, 2], [1440, 80, 2, 18, 4],
  [1680, 80, 2, 21, 4], [2880, 80, 2, 36, 5],
];
const FLOPPY_USUAL = [1440, 80, 2, 18, 4] as const;

export function floppyGeometry(sizeBytes: number): { readonly geometry: DriveGeometry; readonly type: number } {
  const [, cylinders, heads, sectors, type] = FLOPPY_FORMATS.find(([kib]) => kib * 1024 === sizeBytes) ?? FLOPPY_USUAL;
  return { geometry: { cylinders, heads, sectors }, type };
}

const CYLINDERS_MAX = 1024;
const HEADS = [16, 32, 64, 128];
const HEADS_MAX = 255;
const SECTORS_MAX = 63;
const PARTITIONS_OFFSET = 0x1be;

/** Of a hard disk: what its partition table was made for, else the usual translation of its size. */
export function diskGeometry(sizeBytes: number, mbr: Uint8Array | undefined): DriveGeometry {
  const total = Math.floor(sizeBytes / SECTOR_BYTES);
  const { heads, sectors } = (mbr && partitionedGeometry(mbr)) ?? {
    heads: HEADS.find((count) => total <= count * SECTORS_MAX * CYLINDERS_MAX) ?? HEADS_MAX, sectors: SECTORS_MAX,
  };
  return { cylinders: Math.min(CYLINDERS_MAX, Math.max(1, Math.floor(total / (heads * sectors)))), heads, sectors };
}

/** The last sector of a partition is the last of its track and its cylinder. */
function partitionedGeometry(mbr: Uint8Array): { heads: number; sectors: number } | undefined {
  if (mbr.length < SECTOR_BYTES || mbr[510] !== 0x55 || mbr[511] !== 0xaa) return undefined;
  for (let n = 0; n < 4; n++) {
    const at = PARTITIONS_OFFSET + 16 * n;
    const sizeSectors = mbr[at + 12]! | (mbr[at + 13]! << 8) | (mbr[at + 14]! << 16) | (mbr[at + 15]! << 24);
    const heads = mbr[at + 5]! + 1;
    const sectors = mbr[at + 6]! & 63;
    if (sizeSectors !== 0 && heads > 1 && heads <= HEADS_MAX && sectors > 0 && (heads > 15 || sectors > 16)) return { heads, sectors };
  }
  return undefined;
}

export class DiskUnits {
  floppies: readonly BootDrive[] = [];
  disks: readonly BootDrive[] = [];
  cdroms: readonly BootDrive[] = [];
  emulation: CdEmulation = cdEmulationField.initial();
  /** First sectors of hard disks, for their geometry. */
  readonly #firstSectors = new Map<Drive, Uint8Array>();

  setDrives(drives: readonly BootDrive[]): void {
    this.floppies = drives.filter(({ medium }) => medium === 'floppy').slice(0, FLOPPIES_MAX);
    this.disks = drives.filter(({ medium }) => medium === 'disk').slice(0, UNITS_MAX);
    this.cdroms = drives.filter(({ medium }) => medium === 'cdrom').slice(0, UNITS_MAX);
  }

  setFirstSector(drive: Drive, sector: Uint8Array): void {
    this.#firstSectors.set(drive, sector);
  }

  /** A boot from one of several disks makes it the first. */
  putFirst(disk: BootDrive): void {
    this.disks = [disk, ...this.disks.filter((other) => other !== disk)];
  }

  #emulated(kind: 'floppy' | 'disk'): CdEmulation | undefined {
    const { emulation } = this;
    if (!emulation.active || emulation.media === 0) return undefined;
    return (emulation.media === 4) === (kind === 'disk') ? emulation : undefined;
  }

  get floppyCount(): number {
    return Math.min(FLOPPIES_MAX, this.floppies.length + (this.#emulated('floppy') === undefined ? 0 : 1));
  }
  get diskCount(): number {
    return this.disks.length + (this.#emulated('disk') === undefined ? 0 : 1);
  }

  unit(number: number): DiskUnit | undefined {
    if (number >= FIRST.CDROM) return this.#cdrom(number - FIRST.CDROM);
    const kind = number >= FIRST.DISK ? 'disk' : 'floppy';
    const emulation = this.#emulated(kind);
    const index = number - FIRST[kind === 'disk' ? 'DISK' : 'FLOPPY'];
    if (emulation === undefined) return kind === 'disk' ? this.#disk(index) : this.#floppy(index);
    if (index === 0) return this.#emulatedUnit(emulation, kind);
    return kind === 'disk' ? this.#disk(index - 1) : this.#floppy(index - 1);
  }

  #disk(index: number): DiskUnit | undefined {
    const found = this.disks[index];
    if (found === undefined) return undefined;
    const { drive } = found;
    return {
      kind: 'disk', drive, sectorBytes: SECTOR_BYTES, startByte: 0, sectors: Math.floor(drive.size / SECTOR_BYTES),
      readOnly: drive.readOnly, geometry: found.geometry ?? diskGeometry(drive.size, this.#firstSectors.get(drive)), floppyType: 0,
    };
  }

  #floppy(index: number): DiskUnit | undefined {
    const drive = this.floppies[index]?.drive;
    if (drive === undefined) return undefined;
    const { geometry, type } = floppyGeometry(drive.size);
    return {
      kind: 'floppy', drive, sectorBytes: SECTOR_BYTES, startByte: 0, sectors: Math.floor(drive.size / SECTOR_BYTES),
      readOnly: drive.readOnly, geometry, floppyType: type,
    };
  }

  #cdrom(index: number): DiskUnit | undefined {
    const drive = this.cdroms[index]?.drive;
    if (drive === undefined) return undefined;
    return {
      kind: 'cdrom', drive, sectorBytes: CD_SECTOR_BYTES, startByte: 0, sectors: Math.floor(drive.size / CD_SECTOR_BYTES),
      readOnly: true, geometry: { cylinders: 0, heads: 0, sectors: 0 }, floppyType: 0,
    };
  }

  #emulatedUnit(emulation: CdEmulation, kind: 'floppy' | 'disk'): DiskUnit | undefined {
    const drive = this.cdroms[emulation.cdrom]?.drive;
    if (drive === undefined) return undefined;
    const { lba, cylinders, heads, sectors } = emulation;
    const geometry = { cylinders, heads, sectors };
    return {
      kind, drive, sectorBytes: SECTOR_BYTES, startByte: lba * CD_SECTOR_BYTES,
      sectors: cylinders * heads * sectors, readOnly: true, geometry, floppyType: 4,
    };
  }
}
