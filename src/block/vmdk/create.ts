// Making new virtual disks of all hosted kinds: one file or a descriptor with extents of at most 2 GiB, sparse, flat or
// stream-optimized, with or without a parent.
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { BlockBackend } from '../backend.ts';
import type { CreateContext, CreateOption, CreateValues } from '../driver.ts';
import { fullBackingName } from '../filename.ts';
import { createImageFile } from '../image-format/create-file.ts';
import { EMBEDDED, flatLine, newDescriptor, NO_PARENT, sparseLine } from './descriptor.ts';
import { VmdkImage } from './image.ts';
import { COMPRESS_DEFLATE, FLAG, MAGIC, SECTOR_BYTES, sparseHeaderLayout } from './layout.ts';

// prettier-ignore
export const CREATE_OPTIONS: readonly CreateOption[] = [
  { name: 'size',         type: 'size', help: 'Virtual disk size' },
  { name: 'adapter_type', type: 'str',  help: 'Virtual adapter type, can be one of ide (default), lsilogic, buslogic or legacyESX' },
  { name: 'backing_file', type: 'str',  help: 'File name of a base image' },
  { name: 'backing_fmt',  type: 'str',  help: "Must be 'vmdk' if present" },
  { name: 'compat6',      type: 'bool', help: 'VMDK version 6 image', default: 'off' },
  { name: 'hwversion',    type: 'str',  help: 'VMDK hardware version', default: 'undefined' },
  { name: 'toolsversion', type: 'str',  help: 'VMware guest tools version' },
  { name: 'subformat',    type: 'str',  help: 'VMDK flat extent format, can be one of {monolithicSparse (default) | monolithicFlat | twoGbMaxExtentSparse | twoGbMaxExtentFlat | streamOptimized} ' },
  { name: 'zeroed_grain', type: 'bool', help: 'Enable efficient zero writes using the zeroed-grain GTE feature' },
];

const ADAPTERS = ['ide', 'buslogic', 'lsilogic', 'legacyESX'];
const SUBFORMATS = ['monolithicSparse', 'monolithicFlat', 'twoGbMaxExtentSparse', 'twoGbMaxExtentFlat', 'streamOptimized'];
/** Of the extents of the twoGbMaxExtent kinds. */
const MAX_EXTENT_BYTES = 2 ** 31;
const GRAIN_SECTORS = 128;
const ENTRIES_PER_TABLE = 512;
const TABLE_SECTORS = (ENTRIES_PER_TABLE * 4) / SECTOR_BYTES;
const MAX_EXTENTS = 4096;

interface Wanted {
  readonly size: number;
  readonly subformat: string;
  readonly isFlat: boolean;
  readonly isSplit: boolean;
  readonly isCompressed: boolean;
  readonly hasZeroedGrains: boolean;
  readonly adapterType: string;
  readonly hardwareVersion: string;
  readonly toolsVersion: string;
  readonly parentName: string | undefined;
}

const text = (values: CreateValues, name: string): string | undefined => values.get(name) as string | undefined;
const oneOf = (value: string, allowed: readonly string[]): string => {
  if (!allowed.includes(value)) throw new ErrnoFailure('EINVAL', `invalid parameter value: ${value}`);
  return value;
};

function wanted(values: CreateValues): Wanted {
  const hardwareVersion = text(values, 'hwversion') ?? 'undefined';
  const isCompat6 = values.get('compat6') === true;
  if (isCompat6 && hardwareVersion !== 'undefined') throw new ErrnoFailure('EINVAL', 'compat6 cannot be enabled with hwversion set');
  const adapterType = oneOf(text(values, 'adapter_type') ?? 'ide', ADAPTERS);
  const subformat = oneOf(text(values, 'subformat') ?? 'monolithicSparse', SUBFORMATS);
  const backingFormat = text(values, 'backing_fmt');
  if (backingFormat !== undefined && backingFormat !== 'vmdk') throw new ErrnoFailure('EINVAL', 'backing_file must be a vmdk image');
  const isFlat = subformat.endsWith('Flat');
  const parentName = text(values, 'backing_file');
  const hasZeroedGrains = values.get('zeroed_grain') === true;
  if (isFlat && parentName !== undefined) throw new ErrnoFailure('ENOTSUP', "Flat image can't have backing file");
  if (isFlat && hasZeroedGrains) throw new ErrnoFailure('ENOTSUP', "Flat image can't enable zeroed grain");
  return {
    size: Math.ceil(Number(values.get('size')) / SECTOR_BYTES) * SECTOR_BYTES,
    subformat,
    isFlat,
    isSplit: subformat.startsWith('twoGb'),
    isCompressed: subformat === 'streamOptimized',
    hasZeroedGrains,
    adapterType,
    hardwareVersion: isCompat6 ? '6' : hardwareVersion === 'undefined' ? '4' : hardwareVersion,
    toolsVersion: text(values, 'toolsversion') ?? '2147483647',
    parentName,
  };
}

interface NewExtent {
  /** Where it is made. */
  readonly path: string;
  /** As the descriptor names it, from its own folder. */
  readonly name: string;
  readonly size: number;
}

/** `disk.vmdk`: its folder, `disk` and `.vmdk`. */
function decompose(filename: string): { folder: string; stem: string; suffix: string } {
  const folderEnd = Math.max(filename.lastIndexOf('/'), filename.lastIndexOf(':')) + 1;
  const base = filename.slice(folderEnd);
  const dot = base.lastIndexOf('.');
  const stem = dot < 0 ? base : base.slice(0, dot);
  return { folder: filename.slice(0, folderEnd), stem, suffix: dot < 0 ? '' : base.slice(dot) };
}

function newExtents(filename: string, { size, isFlat, isSplit }: Wanted): NewExtent[] {
  const { folder, stem, suffix } = decompose(filename);
  const extent = (name: string, bytes: number): NewExtent => ({ path: folder + name, name, size: bytes });
  if (!isFlat && !isSplit) return [extent(`${stem}${suffix}`, size)];
  if (!isSplit && size > 0) return [extent(`${stem}-flat${suffix}`, size)];
  const count = Math.ceil(size / MAX_EXTENT_BYTES); // none at all for nothing
  if (count > MAX_EXTENTS) throw new ErrnoFailure('EFBIG', 'Too many extents of 2 GiB for this size');
  return Array.from({ length: count }, (_, n) => {
    const name = `${stem}-${isFlat ? 'f' : 's'}${String(n + 1).padStart(3, '0')}${suffix}`;
    return extent(name, Math.min(MAX_EXTENT_BYTES, size - n * MAX_EXTENT_BYTES));
  });
}

export async function createVmdk(filename: string, values: CreateValues, context: CreateContext): Promise<void> {
  const image = wanted(values);
  const extents = newExtents(filename, image);
  const parentId = image.parentName === undefined ? NO_PARENT : await parentContentId(filename, image.parentName, context);
  const descriptor = descriptorOf(image, extents, parentId, context);
  const isOneFile = !image.isFlat && !image.isSplit;
  if (isOneFile && descriptor.length > EMBEDDED.BYTES) throw new ErrnoFailure('EINVAL', 'VMDK description file too big');
  if (!isOneFile) for (const extent of extents) await createExtent(extent, image, values, context);
  await createImageFile(filename, values, CREATE_OPTIONS, context, async (file) => {
    if (isOneFile) await writeSparse(file, image, image.size);
    await file.write(isOneFile ? EMBEDDED.OFFSET : 0, descriptor);
    if (!isOneFile) await file.resize(descriptor.length);
  });
}

async function parentContentId(filename: string, parentName: string, { graph }: CreateContext): Promise<number> {
  const node = await graph.open({ filename: fullBackingName(filename, parentName), flags: { readOnly: true, noBacking: true } });
  try {
    const { instance } = node;
    if (instance instanceof VmdkImage) return instance.contentId;
    throw new Failure('invalid-argument', `Invalid backing file format: ${node.driver.name}. Must be vmdk`);
  } finally {
    await graph.release(node);
  }
}

function descriptorOf(image: Wanted, extents: readonly NewExtent[], parentId: number, { host }: CreateContext): Uint8Array {
  const heads = image.adapterType === 'ide' ? 16 : 255;
  const line = image.isFlat ? flatLine : sparseLine;
  return newDescriptor({
    contentId: new DataView(host.cryptography.randomBytes(4).slice().buffer).getUint32(0, true),
    parentContentId: parentId,
    parentName: image.parentName,
    createType: image.subformat,
    extentLines: extents.map(({ name, size }) => line(size / SECTOR_BYTES, name)),
    hardwareVersion: image.hardwareVersion,
    cylinders: Math.floor(image.size / (63 * heads * SECTOR_BYTES)),
    heads,
    adapterType: image.adapterType,
    toolsVersion: image.toolsVersion,
  });
}

async function createExtent({ path, size }: NewExtent, image: Wanted, values: CreateValues, context: CreateContext): Promise<void> {
  await createImageFile(path, values, CREATE_OPTIONS, context, async (file) => {
    if (image.isFlat) await file.resize(size);
    else await writeSparse(file, image, size);
  });
}

/** Header, two directories with all their tables, and nothing allocated. */
async function writeSparse(file: BlockBackend, { isCompressed, hasZeroedGrains }: Wanted, size: number): Promise<void> {
  const grains = Math.ceil(size / (GRAIN_SECTORS * SECTOR_BYTES));
  const tables = Math.ceil(grains / ENTRIES_PER_TABLE);
  const directorySectors = Math.ceil((4 * tables) / SECTOR_BYTES);
  const descriptorOffset = 1;
  const descriptorSize = EMBEDDED.BYTES / SECTOR_BYTES;
  const backupDirectory = descriptorOffset + descriptorSize;
  const directory = backupDirectory + directorySectors + TABLE_SECTORS * tables;
  const end = directory + directorySectors + TABLE_SECTORS * tables;
  const overHead = Math.ceil(end / GRAIN_SECTORS) * GRAIN_SECTORS;
  const compression = isCompressed ? FLAG.COMPRESSED | FLAG.MARKERS : 0;
  const header = sparseHeaderLayout.encode({
    magic: MAGIC.SPARSE,
    version: isCompressed ? 3 : hasZeroedGrains ? 2 : 1,
    flags: FLAG.VALID_NEWLINE | FLAG.BACKUP_DIRECTORY | compression | (hasZeroedGrains ? FLAG.ZERO_GRAINS : 0),
    capacity: BigInt(size / SECTOR_BYTES),
    grainSize: BigInt(GRAIN_SECTORS),
    descriptorOffset: BigInt(descriptorOffset),
    descriptorSize: BigInt(descriptorSize),
    entriesPerTable: ENTRIES_PER_TABLE,
    backupDirectoryOffset: BigInt(backupDirectory),
    directoryOffset: BigInt(directory),
    overHead: BigInt(overHead),
    lineEndCharacters: Uint8Array.of(0x0a, 0x20, 0x0d, 0x0a),
    compressAlgorithm: isCompressed ? COMPRESS_DEFLATE : 0,
  });
  await file.write(0, header);
  await file.resize(overHead * SECTOR_BYTES);
  for (const place of [backupDirectory, directory]) await writeDirectory(file, place, directorySectors, tables);
}

const PART_BYTES = 1 << 20;

async function writeDirectory(file: BlockBackend, place: number, sectors: number, tables: number): Promise<void> {
  const bytes = sectors * SECTOR_BYTES;
  for (let start = 0; start < bytes; start += PART_BYTES) {
    const part = new DataView(new ArrayBuffer(Math.min(PART_BYTES, bytes - start)));
    for (let n = 0; n < part.byteLength / 4 && start / 4 + n < tables; n++) {
      part.setUint32(4 * n, place + sectors + (start / 4 + n) * TABLE_SECTORS, true);
    }
    await file.write(place * SECTOR_BYTES + start, new Uint8Array(part.buffer));
  }
}
