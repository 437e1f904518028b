// Opening a qcow2 image: header, tables, options, data file, encryption, snapshots; with every check that the reference makes, in
// its order, so that the same broken image gives the same message.
import { ErrnoFailure, errnoOf, errnoText, prefixed } from '../../base/errno.ts';
import type { Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import { debugEvent, type DebugEvent } from '../debug-events.ts';
import type { OpenContext } from '../driver.ts';
import { MAX_SIZE, type Edge } from '../node.ts';
import { ROLE } from '../permissions.ts';
import { CompressedCache } from './compressed.ts';
import { openCipher } from './encryption.ts';
import { geometryOf, l1EntriesFor } from './geometry.ts';
import {
  AUTOCLEAR,
  checkFeatures,
  COMPRESSION_TYPE,
  CRYPT,
  decodeBackingName,
  decodeExtensions,
  decodeFields,
  INCOMPATIBLE,
  KNOWN_AUTOCLEAR,
  LIMIT,
  type Qcow2Header,
} from './header.ts';
import { Qcow2Image } from './image.ts';
import { InFlightList } from './in-flight.ts';
import { L1Table } from './l1-table.ts';
import { openOptions, resolveOptions } from './options.ts';
import { OVERLAP, OverlapChecks } from './overlap.ts';
import { decodeOffsets, Refcounts } from './refcounts.ts';
import { readSnapshots } from './snapshots.ts';
import { TableCache } from './table-cache.ts';

const FIRST_READ_BYTES = 1024;

/** Tables are inside what a number holds, begin at a cluster and are not bigger than allowed. */
function checkTable(offset: number, entries: number, entryBytes: number, maxBytes: number, clusterSize: number, name: string): void {
  if (entries > maxBytes / entryBytes) throw new ErrnoFailure('EFBIG', `${name} too large`);
  if (offset % clusterSize !== 0 || offset > Number.MAX_SAFE_INTEGER - entries * entryBytes) {
    throw new ErrnoFailure('EINVAL', `${name} offset invalid`);
  }
}

/** The first cluster, or the whole file when that is shorter. */
async function readHeaderCluster(file: Edge): Promise<{ header: Qcow2Header; bytes: Uint8Array }> {
  const head = await readUpTo(file, FIRST_READ_BYTES, 'Could not read qcow2 header');
  const fields = decodeFields(head);
  const clusterSize = 2 ** fields.clusterBits;
  const bytes = clusterSize <= head.length ? head : await readUpTo(file, clusterSize, 'Could not read unknown qcow2 header fields');
  return { header: decodeFields(bytes), bytes };
}

async function readUpTo(file: Edge, count: number, context: string): Promise<Uint8Array> {
  try {
    return await file.readBytes(0, Math.min(count, file.size));
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new ErrnoFailure(errnoOf(error), `${context}: ${errnoText(errnoOf(error))}`);
  }
}

function checkHeader(header: Qcow2Header, bytes: Uint8Array, flags: OpenContext['flags']): void {
  const clusterSize = 2 ** header.clusterBits;
  checkCompression(header);
  checkFeatures(header, bytes);
  if ((header.incompatibleFeatures & INCOMPATIBLE.CORRUPT) !== 0n && !flags.readOnly && !flags.check) {
    throw new ErrnoFailure('EACCES', 'qcow2: Image is corrupt; cannot be opened read/write');
  }
  const extended = (header.incompatibleFeatures & INCOMPATIBLE.EXTENDED_L2) !== 0n;
  if (extended && header.clusterBits < LIMIT.MIN_EXTENDED_CLUSTER_BITS) {
    throw new ErrnoFailure('EINVAL', `Unsupported subcluster size: ${clusterSize / 32}`);
  }
  if (header.refcountOrder > LIMIT.MAX_REFCOUNT_ORDER) {
    throw new ErrnoFailure('EINVAL', 'Reference count entry width too large; may not exceed 64 bits');
  }
  if (header.cryptMethod > CRYPT.LUKS) throw new ErrnoFailure('EINVAL', `Unsupported encryption method ${header.cryptMethod}`);
  if (header.refcountTableClusters === 0 && !flags.check) {
    throw new ErrnoFailure('EINVAL', 'Image does not contain a reference count table');
  }
  const refcountEntries = (header.refcountTableClusters * clusterSize) / 8;
  checkTable(header.refcountTableOffset, refcountEntries, 8, LIMIT.MAX_REFCOUNT_TABLE_BYTES, clusterSize, 'Reference count table');
  if (!flags.check) checkTable(header.snapshotsOffset, header.nbSnapshots, 40, 40 * LIMIT.MAX_SNAPSHOTS, clusterSize, 'Snapshot table');
  checkTable(header.l1TableOffset, header.l1Size, 8, LIMIT.MAX_L1_BYTES, clusterSize, 'Active L1 table');
}

function checkCompression(header: Qcow2Header): void {
  const hasType = (header.incompatibleFeatures & INCOMPATIBLE.COMPRESSION) !== 0n;
  const isZlib = header.compressionType === COMPRESSION_TYPE.ZLIB;
  if (header.compressionType > COMPRESSION_TYPE.ZSTD) {
    throw new ErrnoFailure('ENOTSUP', 'qcow2: unknown compression type: ' + String(header.compressionType));
  }
  if (isZlib && hasType) throw new ErrnoFailure('EINVAL', 'qcow2: Compression type incompatible feature bit must not be set');
  if (!isZlib && !hasType) throw new ErrnoFailure('EINVAL', 'qcow2: Compression type incompatible feature bit must be set');
}

export async function openImage(context: OpenContext): Promise<Qcow2Image> {
  const { options, flags, host, node } = context;
  const given = options.absorb(openOptions);
  const file = (await context.openChild('file', ROLE.IMAGE))!;
  const { header, bytes } = await readHeaderCluster(file);
  checkHeader(header, bytes, flags);
  const geometry = geometryOf(header);
  const l1Entries = l1EntriesFor(geometry, header.size);
  if (l1Entries > 2 ** 31 - 1) throw new ErrnoFailure('EFBIG', 'Image is too big');
  if (header.l1Size < l1Entries) throw new ErrnoFailure('EINVAL', 'L1 table is too small');
  if (header.size > MAX_SIZE) throw new ErrnoFailure('EFBIG', 'Image is too big');
  const l1 = await readTable(file, header.l1TableOffset, header.l1Size * 8, 'Could not read L1 table');
  const resolved = resolveOptions(given, header, geometry, flags.unmap);
  const image = new Qcow2Image({ host, file, header, geometry, flags, options: resolved, backing: () => node.backing });
  image.resolveOptions = () => resolveOptions(given, header, image.geometry, flags.unmap);
  const refcountBytes = header.refcountTableClusters * geometry.clusterSize;
  await debugEvent(file, 'reftable_load');
  const refcountTable = await readTable(file, header.refcountTableOffset, refcountBytes, 'Could not initialize refcount handling');
  attachParts(image, new L1Table(l1), decodeOffsets(refcountTable));
  decodeExtensions(header, bytes, (line, hint) => {
    host.warn(line, hint);
    image.hasStaleBitmaps = true;
  });
  image.dataFile = await openDataFile(context, header);
  await openCipher(image, given);
  decodeBackingName(header, bytes);
  await readSnapshots(image);
  return image;
}

async function readTable(file: Edge, offset: number, count: number, message: string): Promise<Uint8Array> {
  try {
    return await file.readBytes(offset, count);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new ErrnoFailure(errnoOf(error), `${message}: ${errnoText(errnoOf(error))}`);
  }
}

export function attachParts(image: Qcow2Image, l1: L1Table, refcountTable: Float64Array): void {
  const { file, options, geometry } = image;
  image.l1 = l1;
  image.refcounts = new Refcounts(image, refcountTable);
  image.overlaps = new OverlapChecks(image);
  image.inFlight = new InFlightList();
  image.compressed = new CompressedCache();
  const store = (own: number, update: DebugEvent, load?: DebugEvent): ConstructorParameters<typeof TableCache>[0] => ({
    read(offset, target) {
      const held = load === undefined ? undefined : debugEvent(file, load);
      return held instanceof Promise ? held.then(() => readPadded(file, offset, target)) : readPadded(file, offset, target);
    },
    write: async (offset, source) => {
      await image.overlaps.guard(own, offset, source.length);
      await debugEvent(file, update);
      await file.write(offset, source);
    },
    flush: () => image.flushFiles(),
  });
  image.l2Cache = new TableCache(store(OVERLAP.ACTIVE_L2, 'l2_update', 'l2_load'), options.l2SliceBytes, options.l2Slices);
  image.refcountCache = new TableCache(store(OVERLAP.REFCOUNT_BLOCK, 'refblock_update_part'), geometry.clusterSize, options.refcountBlocks);
}

/** Beyond the end there are zeroes, however far. */
const readPadded = (file: Edge, offset: number, target: Uint8Array): Eventual<void> =>
  offset >= file.size ? void target.fill(0) : file.read(offset, target);

/** The external data file: from the options, or from the name in the header. */
async function openDataFile(context: OpenContext, header: Qcow2Header): Promise<Edge | undefined> {
  const { options, node, flags } = context;
  const wanted = (header.incompatibleFeatures & INCOMPATIBLE.DATA_FILE) !== 0n;
  const isGiven = options.has('data-file') || options.hasUnder('data-file');
  if (!wanted) {
    if ((header.autoclearFeatures & AUTOCLEAR.DATA_FILE_RAW) !== 0n) throw new ErrnoFailure('EINVAL', 'data-file-raw requires a data file');
    if (isGiven) throw new ErrnoFailure('EINVAL', "'data-file' can only be set for images with an external data file");
    return undefined;
  }
  if (flags.noIo && !isGiven && header.dataFile === undefined) return undefined;
  if (!isGiven && header.dataFile === undefined) throw new ErrnoFailure('EINVAL', "'data-file' is required for this image");
  const filename = isGiven ? undefined : dataFileName(node.primary?.node.filename ?? node.filename, header.dataFile!);
  const edge = await context.openChild('data-file', ROLE.DATA, filename === undefined ? {} : { filename });
  if (edge === undefined) throw new ErrnoFailure('EINVAL', "'data-file' is required for this image");
  return edge;
}

/** A relative name is meant from the image's folder. */
function dataFileName(imageName: string, name: string): string {
  if (name.startsWith('/') || /^[A-Za-z][A-Za-z0-9+.-]*:/.test(name)) return name;
  const slash = imageName.lastIndexOf('/');
  return slash < 0 ? name : imageName.slice(0, slash + 1) + name;
}

/** What must be done before an image may be written to: bits of features that we do not know are cleared, a dirty image is repaired. */
export async function prepareForWriting(image: Qcow2Image, repair: () => Promise<void>): Promise<void> {
  const { header, flags } = image;
  if (flags.readOnly) return;
  if ((header.autoclearFeatures & ~KNOWN_AUTOCLEAR) !== 0n || image.hasStaleBitmaps) {
    header.autoclearFeatures &= AUTOCLEAR.BITMAPS | AUTOCLEAR.DATA_FILE_RAW;
    await image.writeHeader();
    image.hasStaleBitmaps = false;
  }
  if (flags.check || !image.isDirty) return;
  try {
    await repair();
  } catch (error) {
    throw prefixed('Could not repair dirty image', error);
  }
}
