// What a SCSI disk tells of itself: inquiry data, vital product data pages, mode pages, capacity. SPC-4 and SBC-3.
import { SCSI_TEXT } from './inquiry-text.ts';

export interface SbcIdentity {
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
  /** Absent: the unit has no page 80h. */
  readonly serial?: string | undefined;
  /** Page 83h: a name in ASCII. */
  readonly deviceId?: string | undefined;
  /** Page 83h: an NAA identifier; 0n for none. */
  readonly wwn?: bigint | undefined;
  readonly removable?: boolean | undefined;
  /** Revolutions per minute; 1 is no rotation at all, 0 says nothing. */
  readonly rotationRate?: number | undefined;
}

export interface SbcGeometry {
  readonly blockBytes: number;
  readonly physicalBlockBytes: number;
  readonly minIoBytes: number;
  readonly optIoBytes: number;
  readonly discardGranularity: number;
  /** Blocks of the largest transfer, UNMAP and WRITE SAME. */
  readonly transferBlocksMax: number;
  readonly unmapBlocksMax: number;
  readonly unmapDescriptorsMax: number;
  readonly writeSameBlocksMax: number;
}

export function inquiryData({ vendor, product, revision, removable }: SbcIdentity): Uint8Array {
  const data = new Uint8Array(36);
  data.set([0, removable === true ? 0x80 : 0, 5, 0x12, 31, 0, 0, 0x02]); // SPC-3, response format 2, queued commands
  data.set(SCSI_TEXT.padded(vendor, 8), 8);
  data.set(SCSI_TEXT.padded(product, 16), 16);
  data.set(SCSI_TEXT.padded(revision, 4), 32);
  return data;
}

const be = (bytes: number, value: number): number[] =>
  Array.from({ length: bytes }, (_, index) => Math.floor(value / 2 ** (8 * (bytes - 1 - index))) & 0xff);

/** A vital product data page with its header; undefined for one that there is not. */
export function vitalPage(page: number, identity: SbcIdentity, geometry: SbcGeometry): Uint8Array | undefined {
  const body = vitalBody(page, identity, geometry);
  return body === undefined ? undefined : Uint8Array.of(0, page, ...be(2, body.length), ...body);
}

const ASSOCIATION_UNIT = 0;
const CODE_SET = { BINARY: 1, ASCII: 2 } as const;
const DESIGNATOR = { VENDOR: 0, NAA: 3 } as const;

function vitalBody(page: number, identity: SbcIdentity, geometry: SbcGeometry): number[] | undefined {
  const { serial, deviceId = serial, wwn = 0n, rotationRate = 0 } = identity;
  switch (page) {
    case 0x00:
      return [0x00, ...(serial === undefined ? [] : [0x80]), 0x83, 0xb0, 0xb1, 0xb2];
    case 0x80:
      return serial === undefined ? undefined : [...SCSI_TEXT.plain(serial).subarray(0, 36)];
    case 0x83: {
      const name = deviceId === undefined ? [] : [...SCSI_TEXT.plain(deviceId).subarray(0, 251)];
      const byName = name.length === 0 ? [] : [CODE_SET.ASCII, ASSOCIATION_UNIT | DESIGNATOR.VENDOR, 0, name.length, ...name];
      const naa = [...be(4, Number(wwn >> 32n)), ...be(4, Number(wwn & 0xffff_ffffn))];
      return [...byName, ...(wwn === 0n ? [] : [CODE_SET.BINARY, ASSOCIATION_UNIT | DESIGNATOR.NAA, 0, 8, ...naa])];
    }
    case 0xb0:
      return blockLimits(geometry);
    case 0xb1:
      return [...be(2, rotationRate), ...new Array<number>(58).fill(0)];
    case 0xb2: // UNMAP, WRITE SAME (16) and (10) with the UNMAP bit; thin when space can come back
      return [0, 0xe0, geometry.discardGranularity > 0 ? 2 : 0, 0];
    default:
      return undefined;
  }
}

function blockLimits(geometry: SbcGeometry): number[] {
  const { blockBytes, minIoBytes, optIoBytes, discardGranularity } = geometry;
  const blocks = (bytes: number): number => Math.floor(bytes / blockBytes);
  return [
    1, 0, // a WRITE SAME of no blocks is refused; no COMPARE AND WRITE
    ...be(2, blocks(minIoBytes)), ...be(4, geometry.transferBlocksMax), ...be(4, blocks(optIoBytes)), ...be(4, 0),
    ...be(4, geometry.unmapBlocksMax), ...be(4, geometry.unmapDescriptorsMax), ...be(4, blocks(discardGranularity)), ...be(4, 0),
    ...be(8, geometry.writeSameBlocksMax), ...new Array<number>(20).fill(0),
  ];
}

/** READ CAPACITY (16), 32 bytes. */
export function capacity16(blocks: number, { blockBytes, physicalBlockBytes, discardGranularity }: SbcGeometry): Uint8Array {
  const exponent = Math.log2(physicalBlockBytes / blockBytes);
  const provisioning = discardGranularity > 0 ? 0x80 : 0;
  return Uint8Array.of(
    ...be(8, Math.max(0, blocks - 1)), ...be(4, blockBytes), 0, exponent, provisioning, 0, ...new Array<number>(16).fill(0),
  );
}

/** READ CAPACITY (10): all ones when the other one must be asked. */
export function capacity10(blocks: number, { blockBytes }: SbcGeometry): Uint8Array {
  return Uint8Array.of(...be(4, Math.min(0xffff_ffff, Math.max(0, blocks - 1))), ...be(4, blockBytes));
}

export const CACHING_PAGE = 0x08;
export const CACHING = { WRITE_ENABLE: 0x04 } as const;

/** Mode pages by number; 3Fh for all. `changeable` gives the bits that MODE SELECT may set. */
export function diskModePages(page: number, writeCache: boolean, changeable: boolean, blocks: number): Uint8Array | undefined {
  const cylinders = Math.min(0xff_ffff, Math.max(2, Math.floor(blocks / (16 * 63))));
  const wce = changeable || writeCache ? CACHING.WRITE_ENABLE : 0;
  const rest = (count: number): number[] => new Array<number>(count).fill(0);
  const geometry = changeable ? rest(22) : [...be(3, cylinders), 16, ...rest(14), ...be(2, 5400), 0, 0];
  const pages: Readonly<Record<number, readonly number[]>> = {
    0x01: [0x01, 0x0a, changeable ? 0 : 0x80, ...rest(9)],
    0x04: [0x04, 0x16, ...geometry],
    [CACHING_PAGE]: [CACHING_PAGE, 0x12, wce, ...rest(17)],
    0x0a: [0x0a, 0x0a, changeable ? 0 : 0x02, 0x10, ...rest(8)],
  };
  if (page === 0x3f) return Uint8Array.from(Object.values(pages).flat());
  const one = pages[page];
  return one === undefined ? undefined : Uint8Array.from(one);
}
