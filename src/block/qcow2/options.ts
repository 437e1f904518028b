// The options of an open qcow2 node (blockdev-add's BlockdevOptionsQcow2), checked, and the cache sizes that follow from them.
import { ErrnoFailure } from '../../base/errno.ts';
import type { Failure } from '../../base/failure.ts';
import { bool, choice, size, str, uint, type Properties, type PropertyValues } from '../../schema/property.ts';
import type { Geometry } from './geometry.ts';
import { COMPATIBLE, type Qcow2Header } from './header.ts';
import { OVERLAP, OVERLAP_TEMPLATES } from './overlap.ts';

const KiB = 1024, MiB = 1024 * KiB;
const DEFAULT_L2_CACHE_BYTES = 32 * MiB;
const DEFAULT_L2_ENTRY_BYTES = 4 * KiB;
const MIN_L2_SLICES = 2;
const MIN_REFCOUNT_BLOCKS = 4;
const DEFAULT_CLEAN_INTERVAL_S = 600;

export const openOptions = {
  'lazy-refcounts': { type: bool, help: 'Postpone refcount updates' },
  'pass-discard-request': { type: bool, help: 'Pass guest discard requests to the layer below' },
  'pass-discard-snapshot': { type: bool, help: 'Generate discard requests when snapshot related space is freed' },
  'pass-discard-other': { type: bool, help: 'Generate discard requests when other clusters are freed' },
  'overlap-check': { type: str, help: 'Selects which overlap checks to perform from a range of templates (none, constant, cached, all)' },
  'overlap-check.template': { type: str, help: 'The same as overlap-check' },
  'overlap-check.main-header': { type: bool, help: 'Check for unintended writes into the main qcow2 header' },
  'overlap-check.active-l1': { type: bool, help: 'Check for unintended writes into the active L1 table' },
  'overlap-check.active-l2': { type: bool, help: 'Check for unintended writes into an active L2 table' },
  'overlap-check.refcount-table': { type: bool, help: 'Check for unintended writes into the refcount table' },
  'overlap-check.refcount-block': { type: bool, help: 'Check for unintended writes into a refcount block' },
  'overlap-check.snapshot-table': { type: bool, help: 'Check for unintended writes into the snapshot table' },
  'overlap-check.inactive-l1': { type: bool, help: 'Check for unintended writes into an inactive L1 table' },
  'overlap-check.inactive-l2': { type: bool, help: 'Check for unintended writes into an inactive L2 table' },
  'overlap-check.bitmap-directory': { type: bool, help: 'Check for unintended writes into the bitmap directory' },
  'cache-size': { type: size(), help: 'Maximum combined metadata (L2 tables and refcount blocks) cache size' },
  'l2-cache-size': { type: size(), help: 'Maximum L2 table cache size' },
  'l2-cache-entry-size': { type: size(), help: 'Size of each entry in the L2 cache' },
  'refcount-cache-size': { type: size(), help: 'Maximum refcount block cache size' },
  'cache-clean-interval': { type: uint(32), help: 'Clean unused cache entries after this time (in seconds)' },
  'encrypt.format': { type: choice('auto', 'aes', 'luks') },
  'encrypt.key-secret': { type: str, help: 'ID of secret providing qcow2 AES key or LUKS passphrase' },
} as const satisfies Properties;

export type GivenOptions = PropertyValues<typeof openOptions>;

export interface Qcow2Options {
  readonly lazyRefcounts: boolean;
  readonly passDiscardRequest: boolean;
  readonly passDiscardSnapshot: boolean;
  readonly passDiscardOther: boolean;
  /** OVERLAP kinds that are checked. */
  readonly overlapChecks: number;
  readonly l2SliceBytes: number;
  readonly l2Slices: number;
  readonly refcountBlocks: number;
  /** 0 for never. */
  readonly cleanIntervalS: number;
}

const OVERLAP_KEYS: readonly (readonly [key: keyof GivenOptions, bit: number])[] = [
  ['overlap-check.main-header', OVERLAP.MAIN_HEADER],
  ['overlap-check.active-l1', OVERLAP.ACTIVE_L1],
  ['overlap-check.active-l2', OVERLAP.ACTIVE_L2],
  ['overlap-check.refcount-table', OVERLAP.REFCOUNT_TABLE],
  ['overlap-check.refcount-block', OVERLAP.REFCOUNT_BLOCK],
  ['overlap-check.snapshot-table', OVERLAP.SNAPSHOT_TABLE],
  ['overlap-check.inactive-l1', OVERLAP.INACTIVE_L1],
  ['overlap-check.inactive-l2', OVERLAP.INACTIVE_L2],
  ['overlap-check.bitmap-directory', OVERLAP.BITMAP_DIRECTORY],
];

const invalid = (message: string): Failure => new ErrnoFailure('EINVAL', message);

/** What the user wants, for this image; Failure with the reference's words when it makes no sense. */
export function resolveOptions(given: GivenOptions, header: Qcow2Header, geometry: Geometry, passDiscards: boolean): Qcow2Options {
  const sizes = cacheSizes(given, header, geometry);
  const lazyRefcounts = given['lazy-refcounts'] ?? (header.compatibleFeatures & COMPATIBLE.LAZY_REFCOUNTS) !== 0n;
  if (header.version < 3 && lazyRefcounts) throw invalid('Lazy refcounts require a qcow2 image with at least qemu 1.1 compatibility level');
  return {
    ...sizes,
    lazyRefcounts,
    passDiscardRequest: given['pass-discard-request'] ?? passDiscards,
    passDiscardSnapshot: given['pass-discard-snapshot'] ?? true,
    passDiscardOther: given['pass-discard-other'] ?? false,
    overlapChecks: overlapChecks(given),
    cleanIntervalS: given['cache-clean-interval'] ?? DEFAULT_CLEAN_INTERVAL_S,
  };
}

function overlapChecks(given: GivenOptions): number {
  const short = given['overlap-check'], long = given['overlap-check.template'];
  if (short !== undefined && long !== undefined && short !== long) {
    throw invalid(`Conflicting values for qcow2 options 'overlap-check' ('${short}') and 'overlap-check.template' ('${long}')`);
  }
  const name = short ?? long ?? 'cached';
  const template = OVERLAP_TEMPLATES.get(name);
  if (template === undefined) {
    throw invalid(
      `Unsupported value '${name}' for qcow2 option 'overlap-check'. Allowed are any of the following: none, constant, cached, all`,
    );
  }
  let checks = template;
  for (const [key, bit] of OVERLAP_KEYS) if (given[key] !== undefined) checks = given[key] === true ? checks | bit : checks & ~bit;
  return checks;
}

type CacheSizes = Pick<Qcow2Options, 'l2SliceBytes' | 'l2Slices' | 'refcountBlocks'>;

function cacheSizes(given: GivenOptions, header: Qcow2Header, geometry: Geometry): CacheSizes {
  const { clusterSize } = geometry;
  const l2SliceBytes = given['l2-cache-entry-size'] ?? Math.min(clusterSize, DEFAULT_L2_ENTRY_BYTES);
  const { l2Bytes, refcountBytes } = cacheBytes(given, header, geometry, l2SliceBytes);
  if (l2SliceBytes < 512 || l2SliceBytes > clusterSize || !isPowerOfTwo(l2SliceBytes)) {
    throw invalid(`L2 cache entry size must be a power of two between 512 and the cluster size (${clusterSize})`);
  }
  const l2Slices = Math.max(MIN_L2_SLICES, Math.floor(l2Bytes / l2SliceBytes));
  const refcountBlocks = Math.max(MIN_REFCOUNT_BLOCKS, Math.floor(refcountBytes / clusterSize));
  if (l2Slices > 2 ** 31 - 1) throw invalid('L2 cache size too big');
  if (refcountBlocks > 2 ** 31 - 1) throw invalid('Refcount cache size too big');
  return { l2SliceBytes, l2Slices, refcountBlocks };
}

const isPowerOfTwo = (value: number): boolean => Number.isInteger(Math.log2(value));

interface CacheBytes {
  readonly l2Bytes: number;
  readonly refcountBytes: number;
}

function cacheBytes(given: GivenOptions, header: Qcow2Header, geometry: Geometry, l2SliceBytes: number): CacheBytes {
  const combined = given['cache-size'], l2 = given['l2-cache-size'], refcount = given['refcount-cache-size'];
  const minRefcountBytes = MIN_REFCOUNT_BLOCKS * geometry.clusterSize;
  // More than all L2 tables of the image is never needed.
  const allL2Bytes = Math.max(
    Math.ceil(header.size / geometry.clusterSize) * geometry.l2EntryBytes,
    MIN_L2_SLICES * l2SliceBytes,
  );
  const clusterRounded = Math.ceil(allL2Bytes / geometry.clusterSize) * geometry.clusterSize;
  if (combined !== undefined) {
    if (l2 !== undefined && refcount !== undefined) {
      throw invalid('cache-size, l2-cache-size and refcount-cache-size may not be set at the same time');
    }
    if (l2 !== undefined && l2 > combined) throw invalid('l2-cache-size may not exceed cache-size');
    if (refcount !== undefined && refcount > combined) throw invalid('refcount-cache-size may not exceed cache-size');
    if (l2 !== undefined) return { l2Bytes: Math.min(l2, clusterRounded), refcountBytes: combined - l2 };
    if (refcount !== undefined) return { l2Bytes: Math.min(combined - refcount, clusterRounded), refcountBytes: refcount };
    const refcountBytes = Math.min(combined, minRefcountBytes);
    const l2Bytes = combined >= clusterRounded + minRefcountBytes ? clusterRounded : combined - refcountBytes;
    return combined >= clusterRounded + minRefcountBytes ? { l2Bytes, refcountBytes: combined - l2Bytes } : { l2Bytes, refcountBytes };
  }
  return { l2Bytes: Math.min(l2 ?? DEFAULT_L2_CACHE_BYTES, clusterRounded), refcountBytes: refcount ?? minRefcountBytes };
}
