// Growing disk images of Bochs ("redologs", described in the Bochs documentation on disk images), read only. Extents of the disk
// are found through a catalog; each has a bitmap of the sectors that were written.
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { le32, le64, layout } from '../../struct/layout.ts';
import type { BlockDriver, BlockInstance, OpenContext } from '../driver.ts';
import { EntryTable, LE32 } from '../image-format/entry-table.ts';
import { requireReadOnly } from '../image-format/read-only.ts';
import { MAX_SIZE, SECTOR, type Edge } from '../node.ts';
import { ROLE } from '../permissions.ts';
import { probe } from './probe.ts';

const HEADER_BYTES = 512;
const VERSION_1 = 0x00010000;
const COMMON = { version: le32(64), header: le32(68), catalog: le32(72), bitmap: le32(76), extent: le32(80) } as const;
const HEADERS = {
  first: layout('Bochs header', { ...COMMON, disk: le64(84) }),
  /** With a time stamp in between. */
  second: layout('Bochs header', { ...COMMON, disk: le64(88) }),
} as const;
const CATALOG_ENTRIES_MAX = 0x100000;
const EXTENT_BYTES_MAX = 0x800000;
const UNALLOCATED = 0xffffffff;

interface Geometry {
  readonly diskBytes: number;
  readonly extentBytes: number;
  readonly bitmapBytes: number;
  readonly catalogOffset: number;
  readonly catalogEntries: number;
}

const invalid = (message: string): Failure => new Failure('invalid-format', message);
const sectorsFor = (bytes: number): number => 1 + Math.floor((bytes - 1) / SECTOR);

function checkedGeometry(head: Uint8Array): Geometry {
  if (probe(head, '') === 0) throw invalid('Image not in Bochs format');
  const version = HEADERS.first.decode(head).version;
  const raw = (version === VERSION_1 ? HEADERS.first : HEADERS.second).decode(head);
  if (raw.catalog > CATALOG_ENTRIES_MAX) throw new ErrnoFailure('EFBIG', 'Catalog size is too large');
  if (raw.extent < SECTOR) throw invalid('Extent size must be at least 512');
  if ((raw.extent & (raw.extent - 1)) !== 0) throw invalid(`Extent size ${raw.extent} is not a power of two`);
  if (raw.extent > EXTENT_BYTES_MAX) throw invalid(`Extent size ${raw.extent} is too large`);
  const diskBytes = Number(raw.disk - (raw.disk % BigInt(SECTOR)));
  if (raw.catalog < Math.ceil(diskBytes / raw.extent)) throw invalid('Catalog size is too small for this disk size');
  return { diskBytes, extentBytes: raw.extent, bitmapBytes: raw.bitmap, catalogOffset: raw.header, catalogEntries: raw.catalog };
}

class BochsImage implements BlockInstance {
  readonly size: number;
  readonly limits = { requestAlignment: SECTOR };
  readonly #file: Edge;
  readonly #geometry: Geometry;
  readonly #catalog: EntryTable;
  readonly #dataOffset: number;
  readonly #bitmapArea: number;
  /** The bitmap that was looked at last. */
  #bitmap: { readonly offset: number; readonly bytes: Uint8Array } | undefined;

  constructor(file: Edge, geometry: Geometry) {
    const { catalogOffset, catalogEntries, bitmapBytes, diskBytes } = geometry;
    this.#file = file;
    this.#geometry = geometry;
    this.size = diskBytes;
    this.#catalog = new EntryTable({ file, offset: catalogOffset, count: catalogEntries, format: LE32 });
    this.#dataOffset = catalogOffset + 4 * catalogEntries;
    this.#bitmapArea = sectorsFor(bitmapBytes) * SECTOR;
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    const { extentBytes } = this.#geometry;
    for (let at = 0; at < target.length; ) {
      const inExtent = (offset + at) % extentBytes;
      const count = Math.min(extentBytes - inExtent, target.length - at);
      const entry = await this.#catalog.get((offset + at - inExtent) / extentBytes);
      await this.#readExtent(entry, inExtent, target.subarray(at, at + count));
      at += count;
    }
  }

  async #readExtent(entry: number, inExtent: number, target: Uint8Array): Promise<void> {
    target.fill(0);
    if (entry === UNALLOCATED) return;
    const start = this.#dataOffset + entry * (this.#bitmapArea + sectorsFor(this.#geometry.extentBytes) * SECTOR);
    if (!(start < MAX_SIZE / 2)) throw new ErrnoFailure('EIO');
    const bitmap = await this.#bitmapAt(start);
    const first = inExtent / SECTOR;
    const end = first + target.length / SECTOR;
    const isWritten = (sector: number): boolean => ((bitmap[sector >> 3]! >> (sector & 7)) & 1) !== 0;
    for (let sector = first; sector < end; ) {
      const written = isWritten(sector);
      let next = sector + 1;
      while (next < end && isWritten(next) === written) next++;
      const part = target.subarray((sector - first) * SECTOR, (next - first) * SECTOR);
      if (written) await this.#file.read(start + this.#bitmapArea + sector * SECTOR, part);
      sector = next;
    }
  }

  async #bitmapAt(offset: number): Promise<Uint8Array> {
    if (this.#bitmap?.offset === offset) return this.#bitmap.bytes;
    const bytes = await this.#file.readBytes(offset, Math.ceil(this.#geometry.extentBytes / SECTOR / 8));
    this.#bitmap = { offset, bytes };
    return bytes;
  }

  close(): void {}
}

async function open(context: OpenContext): Promise<BochsImage> {
  requireReadOnly(context);
  const file = (await context.openChild('file', ROLE.IMAGE))!;
  return new BochsImage(file, checkedGeometry(await file.readBytes(0, HEADER_BYTES)));
}

export const driver: BlockDriver = { name: 'bochs', kind: 'format', options: {}, open };
