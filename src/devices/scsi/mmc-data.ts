// What a CD or DVD reader tells of itself and of its disc: table of contents, mode pages, features, disc information, and the
// frame around the user data of a mode 1 sector. MMC-6, ECMA-130 for the sector.

export const RAW_SECTOR_BYTES = 2352;
const USER_BYTES = 2048;
/** More sectors than any CD has: the disc is a DVD. */
const CD_SECTORS_MAX = 1_151_000;
const LEAD_OUT = 0xaa;
const FRAMES_BEFORE_START = 150;

/** Minute, second, frame of a sector. */
function msfOf(lba: number): readonly [number, number, number] {
  const frames = lba + FRAMES_BEFORE_START;
  return [Math.min(255, Math.floor(frames / 4500)), Math.floor(frames / 75) % 60, frames % 75];
}

function address(lba: number, msf: boolean): number[] {
  if (msf) return [0, ...msfOf(lba)];
  return [(lba >>> 24) & 0xff, (lba >>> 16) & 0xff, (lba >>> 8) & 0xff, lba & 0xff];
}

function withLength(body: readonly number[]): Uint8Array {
  return Uint8Array.of((body.length >> 8) & 0xff, body.length & 0xff, ...body);
}

/** The answer to READ TOC; undefined for a format or a track that there is not. */
export function toc(format: number, msf: boolean, track: number, sectors: number): Uint8Array | undefined {
  const data = 0x14; // a data track, without copy protection
  switch (format) {
    case 0: {
      if (track > 1 && track !== LEAD_OUT) return undefined;
      const first = track <= 1 ? [0, data, 1, 0, ...address(0, msf)] : [];
      return withLength([1, 1, ...first, 0, data, LEAD_OUT, 0, ...address(sectors, msf)]);
    }
    case 1:
      return withLength([1, 1, 0, data, 1, 0, ...address(0, msf)]);
    case 2: {
      const point = (number: number, ...where: readonly number[]): number[] => [1, data, 0, number, 0, 0, 0, 0, ...where];
      const ends = [...point(0xa0, 1, 0, 0), ...point(0xa1, 1, 0, 0), ...point(0xa2, ...msfOf(sectors))];
      return withLength([1, 1, ...ends, ...point(1, ...msfOf(0))]);
    }
    default:
      return undefined;
  }
}

/** The mode pages of a reader by number; 3Fh for all. */
export function modePages(page: number, locked: boolean): Uint8Array | undefined {
  const pages: Readonly<Record<number, readonly number[]>> = {
    0x01: [0x01, 0x06, 0, 5, 0, 0, 0, 0],
    0x0e: [0x0e, 0x0e, 4, 0, 0, 0, 0, 75, 1, 0xff, 2, 0xff, 0, 0, 0, 0],
    0x2a: [
      0x2a, 0x12, 0x3b, 0, 0x70, 0x60, 0x29 | (locked ? 2 : 0), 0, 0x16, 0, 0, 2, 2, 0, 0x16, 0, 0, 0, 0, 0,
    ],
  };
  if (page === 0x3f) return Uint8Array.from(Object.values(pages).flat());
  const one = pages[page];
  return one === undefined ? undefined : Uint8Array.from(one);
}

const PROFILE = { CD: 0x08, DVD: 0x10 } as const;

/** GET CONFIGURATION: features from `first` on; type 1 is only current ones, 2 only one. */
export function configuration(type: number, first: number, sectors: number): Uint8Array {
  const profile = sectors === 0 ? 0 : sectors > CD_SECTORS_MAX ? PROFILE.DVD : PROFILE.CD;
  const features: { readonly code: number; readonly current: boolean; readonly data: readonly number[] }[] = [
    { code: 0, current: true, data: [PROFILE.DVD, PROFILE.CD].flatMap((known) => [0, known, profile === known ? 1 : 0, 0]) },
    { code: 1, current: true, data: [0, 0, 0, 2, 1, 0, 0, 0] },
    { code: 2, current: true, data: [2, 0, 0, 0] },
    { code: 3, current: true, data: [0x29, 0, 0, 0] },
    { code: 0x10, current: profile !== 0, data: [0, 0, 8, 0, 0, 16, 0, 0] },
    { code: 0x1e, current: profile === PROFILE.CD, data: [0, 0, 0, 0] },
    { code: 0x1f, current: profile === PROFILE.DVD, data: [0, 0, 0, 0] },
  ];
  const chosen = features.filter(({ code, current }) => (type === 2 ? code === first : code >= first && (type === 0 || current)));
  const flags = (code: number, current: boolean): number => (code < 3 ? 0x08 : 0) | 2 | (current ? 1 : 0);
  const body = chosen.flatMap(({ code, current, data }) => [code >> 8, code & 0xff, flags(code, current), data.length, ...data]);
  const length = body.length + 4;
  return Uint8Array.of(0, 0, length >> 8, length & 0xff, 0, 0, profile >> 8, profile & 0xff, ...body);
}

/** A finished disc with one session of one track. */
export function discInformation(): Uint8Array {
  const data = new Uint8Array(34);
  data.set([0, 32, 0x0e, 1, 1, 1, 1, 0x20]);
  data.fill(0xff, 16, 24); // no lead-in or lead-out to be written
  return data;
}

/** READ DISC STRUCTURE: the physical format of a DVD, its copyright, its manufacturer. */
export function dvdStructure(format: number, layer: number, sectors: number): Uint8Array | undefined {
  if (sectors <= CD_SECTORS_MAX || layer !== 0) return undefined;
  const body = (bytes: readonly number[]): Uint8Array => withLength([0, 0, ...bytes]);
  const [start, end] = [0x3_0000, 0x3_0000 + sectors - 1];
  switch (format) {
    case 0:
      return body([1, 0x0f, 1, 0, ...address(start, false), ...address(end, false), ...new Array<number>(2036).fill(0)]);
    case 1:
      return body([0, 0, 0, 0]);
    case 4:
      return body(new Array<number>(2048).fill(0));
    default:
      return undefined;
  }
}

/**
 * A whole sector of mode 1 around its user data. QUIRK: the error detection and correction codes of READ CD's whole sectors are
 * zero, as nothing reads them.
 */
export function rawSector(lba: number, user: Uint8Array): Uint8Array {
  const sector = new Uint8Array(RAW_SECTOR_BYTES);
  sector.fill(0xff, 1, 11);
  const bcd = (value: number): number => (Math.floor(value / 10) % 10 << 4) | (value % 10);
  msfOf(lba).forEach((value, index) => { sector[12 + index] = bcd(value); });
  sector[15] = 1;
  sector.set(user.subarray(0, USER_BYTES), 16);
  return sector;
}
