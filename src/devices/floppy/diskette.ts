// Formats of diskettes by the size of their image, and the drives that read them. Sectors have 512 bytes.

export interface DisketteFormat {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectors: number;
  /** Data rate as in the configuration control register: 0 is 500, 1 is 300, 2 is 250 kbit/s, 3 is 1 Mbit/s. */
  readonly rate: number;
  /** Drive type as in CMOS: 1 is 360 KB, 2 is 1.2 MB, 3 is 720 KB, 4 is 1.44 MB, 5 is 2.88 MB. */
  readonly driveType: number;
}

export const DISKETTE_SECTOR_BYTES = 512;

// prettier-ignore
const FORMATS: readonly DisketteFormat[] = [
  { cylinders: 80, heads: 2, sectors: 18, rate: 0, driveType: 4 },
  { cylinders: 80, heads: 2, sectors: 36, rate: 3, driveType: 5 },
  { cylinders: 80, heads: 2, sectors: 9,  rate: 2, driveType: 3 },
  { cylinders: 80, heads: 2, sectors: 15, rate: 0, driveType: 2 },
  { cylinders: 80, heads: 2, sectors: 21, rate: 0, driveType: 4 },
  { cylinders: 82, heads: 2, sectors: 21, rate: 0, driveType: 4 },
  { cylinders: 40, heads: 2, sectors: 9,  rate: 1, driveType: 1 },
  { cylinders: 40, heads: 1, sectors: 9,  rate: 1, driveType: 1 },
  { cylinders: 40, heads: 2, sectors: 8,  rate: 1, driveType: 1 },
  { cylinders: 40, heads: 1, sectors: 8,  rate: 1, driveType: 1 },
];
const USUAL = FORMATS[0]!;

/** The format of an image: of its size, else 1.44 MB, of which it may fill only the beginning. */
export function disketteFormat(bytes: number): DisketteFormat {
  const sectorsOf = ({ cylinders, heads, sectors }: DisketteFormat): number => cylinders * heads * sectors;
  return FORMATS.find((format) => sectorsOf(format) * DISKETTE_SECTOR_BYTES === bytes) ?? USUAL;
}
