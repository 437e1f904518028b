// How big a qcow2 image would be: from create options and a size, or from a node whose contents it would get. The numbers are
// upper bounds as the reference counts them: all metadata of a full image, and the data that there are.
import { ErrnoFailure } from '../../base/errno.ts';
import { statusAbove } from '../chain-status.ts';
import { luksCreateFrom } from '../crypto/luks-options.ts';
import { luksHeaderBytes } from '../crypto/luks.ts';
import { PREALLOCATION, type CreateValues, type MeasureResult, type Preallocation } from '../driver.ts';
import { bitmapPower, bitmapsOf } from '../node-bitmaps.ts';
import type { BlockNode } from '../node.ts';
import { STATUS } from '../status.ts';
import { directoryEntryBytes } from './bitmap-directory.ts';
import { geometryOf, refcountMetadata, roundUp, type Geometry } from './geometry.ts';
import { INCOMPATIBLE, LIMIT } from './header.ts';

const invalid = (message: string): ErrnoFailure => new ErrnoFailure('EINVAL', message);
const SECTOR = 512;
const TOO_LARGE = 'The image size is too large (try using a larger cluster size)';

interface Plan {
  readonly version: number;
  readonly geometry: Geometry;
  readonly preallocation: Preallocation;
  readonly encryptionBytes: number;
}

export async function measure(options: CreateValues, source: BlockNode | undefined): Promise<MeasureResult> {
  const { version, geometry, preallocation, encryptionBytes } = planOf(options);
  const { clusterSize } = geometry;
  const wanted = source === undefined ? roundUp(Number(options.get('size') ?? 0), SECTOR) : source.size;
  const virtualBytes = roundUp(wanted, clusterSize);
  if (virtualBytes > Number.MAX_SAFE_INTEGER) throw invalid(TOO_LARGE);
  if (Math.ceil(virtualBytes / geometry.l1Coverage) > LIMIT.MAX_L1_BYTES / 8) throw invalid(TOO_LARGE);
  const fullyAllocated = encryptionBytes + allocatedSize(geometry, virtualBytes);
  let dataBytes = 0;
  if (source !== undefined) {
    // How much a backing file would hold is unknown: the worst is that it holds nothing.
    dataBytes = options.get('backing_file') !== undefined ? virtualBytes : await allocatedData(source, clusterSize);
  }
  if (preallocation === 'full' || preallocation === 'falloc') dataBytes = virtualBytes;
  const required = fullyAllocated - virtualBytes + dataBytes;
  const bitmaps = version >= 3 && source !== undefined ? bitmapBytes(source, clusterSize) : undefined;
  return { required, fullyAllocated, ...(bitmaps === undefined ? {} : { bitmaps }) };
}

const VERSIONS: ReadonlyMap<unknown, number> = new Map([['0.10', 2], ['v2', 2], ['1.1', 3], ['v3', 3]]);

/** The words differ from those of `create` in places. */
function planOf(options: CreateValues): Plan {
  const extendedL2 = options.get('extended_l2') === true;
  const clusterBits = Math.log2(Number(options.get('cluster_size') ?? 65536));
  if (!Number.isInteger(clusterBits) || clusterBits < LIMIT.MIN_CLUSTER_BITS || clusterBits > LIMIT.MAX_CLUSTER_BITS) {
    throw invalid('Cluster size must be a power of two between 512 and 2048k');
  }
  if (extendedL2 && clusterBits < LIMIT.MIN_EXTENDED_CLUSTER_BITS) {
    throw invalid(`Extended L2 entries are only supported with cluster sizes of at least ${2 ** LIMIT.MIN_EXTENDED_CLUSTER_BITS} bytes`);
  }
  const mode = String(options.get('preallocation') ?? 'off');
  const preallocation = PREALLOCATION.find((known) => known === mode);
  if (preallocation === undefined) throw invalid(`invalid parameter value: ${mode}`);
  const compat = String(options.get('compat') ?? '1.1');
  const version = VERSIONS.get(compat);
  if (version === undefined) throw invalid(`Invalid compatibility level: '${compat}'`);
  const refcountOrder = Math.log2(Number(options.get('refcount_bits') ?? 16));
  if (!Number.isInteger(refcountOrder) || refcountOrder < 0 || refcountOrder > LIMIT.MAX_REFCOUNT_ORDER) {
    throw invalid('Refcount width must be a power of two and may not exceed 64 bits');
  }
  if (version < 3 && refcountOrder !== 4) {
    throw invalid('Different refcount widths than 16 bits require compatibility level 1.1 or above (use compat=1.1 or greater)');
  }
  const geometry = geometryOf({ clusterBits, refcountOrder, incompatibleFeatures: extendedL2 ? INCOMPATIBLE.EXTENDED_L2 : 0n });
  return { version, geometry, preallocation, encryptionBytes: encryptionBytes(options, geometry) };
}

function encryptionBytes(options: CreateValues, { clusterSize }: Geometry): number {
  if (options.get('encrypt.format') !== 'luks') return 0;
  if (options.get('encrypt.key-secret') === undefined) throw invalid("Parameter 'encrypt.key-secret' is required for cipher");
  return roundUp(luksHeaderBytes(luksCreateFrom(options, 'encrypt.')), clusterSize);
}

/** Bytes of an image with every cluster allocated: header, tables, refcounts and data. */
function allocatedSize(geometry: Geometry, virtualBytes: number): number {
  const { clusterSize, l2EntryBytes, l2Entries } = geometry;
  const l2Bytes = roundUp(virtualBytes / clusterSize, l2Entries) * l2EntryBytes;
  const l1Bytes = roundUp((l2Bytes / clusterSize) * 8, clusterSize);
  const tables = clusterSize + l2Bytes + l1Bytes;
  const { blocks, tableClusters } = refcountMetadata(geometry, (tables + virtualBytes) / clusterSize, false);
  return tables + (blocks + tableClusters) * clusterSize + virtualBytes;
}

/** Bytes of the clusters that hold something else than zeroes, anywhere in the chain. */
async function allocatedData(source: BlockNode, clusterSize: number): Promise<number> {
  const { size } = source;
  let bytes = 0;
  for (let offset = 0; offset < size; ) {
    const { flags, count } = await statusAbove(source, offset, size - offset);
    let step = count;
    if (step === 0) break;
    const isData = (flags & STATUS.ZERO) === 0 && (flags & (STATUS.DATA | STATUS.ALLOCATED)) === (STATUS.DATA | STATUS.ALLOCATED);
    if (isData) {
      step = roundUp(offset + count, clusterSize) - offset;
      bytes += (offset % clusterSize) + step;
    }
    offset += step;
  }
  return bytes;
}

/** Bytes that copies of the source's bitmaps would take; undefined when it can have none. */
function bitmapBytes(source: BlockNode, clusterSize: number): number | undefined {
  const power = bitmapPower(source);
  if (power === undefined || !power.supported) return undefined;
  let bytes = 0;
  let directoryBytes = 0;
  for (const { name, persistent, granularity, size } of bitmapsOf(source)) {
    if (!persistent || name === undefined) continue;
    const clusters = Math.ceil(Math.ceil(Math.ceil(size / granularity) / 8) / clusterSize);
    bytes += clusters * clusterSize + roundUp(clusters * 8, clusterSize);
    directoryBytes += directoryEntryBytes(new TextEncoder().encode(name).length);
  }
  return bytes + roundUp(directoryBytes, clusterSize);
}
