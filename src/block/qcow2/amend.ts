// `amend` of an open qcow2 image: version, refcount width, lazy refcounts, size, data file, key slots. Upgrades come first and
// downgrades last, so that everything between them may be of the newer version. Messages are the reference's.
import { ErrnoFailure, errnoOf, errnoText, prefixed } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { bool } from '../../schema/property.ts';
import { parseSize } from '../../schema/size.ts';
import { luksAmendFrom, luksAmendOptions, type LuksAmend } from '../crypto/luks-options.ts';
import { amendLuks } from '../crypto/luks.ts';
import { passphraseOf } from '../crypto/passphrase.ts';
import type { CreateOption } from '../driver.ts';
import { changeRefcountWidth, type Progress } from './amend-refcounts.ts';
import { luksStorage, luksVolumeOf } from './encryption.ts';
import { expandZeroClusters } from './expand-zeroes.ts';
import { AUTOCLEAR, COMPATIBLE, COMPRESSION_TYPE, CRYPT, INCOMPATIBLE, LIMIT } from './header.ts';
import type { Qcow2Image } from './image.ts';
import { locked } from './l2-tables.ts';
import { REQUIRED_EXTRA_BYTES, type StoredSnapshot } from './snapshot-table.ts';
import { writeSnapshotTable } from './snapshots.ts';
import { UPPER } from './table-entries.ts';

// prettier-ignore
export const amendOptions: readonly CreateOption[] = [
  ...luksAmendOptions('encrypt.'),
  { name: 'size', type: 'size', help: 'Virtual disk size' },
  { name: 'compat', type: 'str', help: 'Compatibility level (v2 [0.10] or v3 [1.1])' },
  { name: 'backing_file', type: 'str', help: 'File name of a base image' },
  { name: 'backing_fmt', type: 'str', help: 'Image format of the base image' },
  { name: 'data_file', type: 'str', help: 'File name of an external data file' },
  { name: 'data_file_raw', type: 'bool', help: 'The external data file must stay valid as a raw image' },
  { name: 'lazy_refcounts', type: 'bool', help: 'Postpone refcount updates' },
  { name: 'refcount_bits', type: 'num', help: 'Width of a reference count entry in bits' },
];

const invalid = (message: string): Failure => new ErrnoFailure('EINVAL', message);

/** A failure with a line of advice. */
export class AmendFailure extends ErrnoFailure {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super('EINVAL', message);
    this.hint = hint;
  }
}

interface Plan {
  readonly version: number;
  readonly refcountOrder: number;
  readonly lazyRefcounts: boolean;
  readonly size: number | undefined;
  readonly dataFile: string | undefined;
  readonly dataFileRaw: boolean;
  readonly encryption: LuksAmend | undefined;
  readonly touchesBacking: boolean;
}

const VERSIONS: ReadonlyMap<string, number> = new Map([
  ['0.10', 2],
  ['v2', 2],
  ['1.1', 3],
  ['v3', 3],
]);

/** What the options ask of this image; Failure for what can be refused without touching it. */
function planOf(image: Qcow2Image, options: ReadonlyMap<string, string>): Plan {
  const { header, isRawDataFile } = image;
  const compat = options.get('compat');
  const version = compat === undefined ? header.version : VERSIONS.get(compat);
  if (version === undefined) throw invalid(`Unknown compatibility level ${compat}`);
  const size = options.get('size');
  const encryption = encryptionOf(image, options);
  const lazy = options.get('lazy_refcounts');
  const refcountOrder = refcountOrderOf(options.get('refcount_bits'), header.refcountOrder);
  const dataFile = options.get('data_file');
  if (dataFile !== undefined && !image.hasDataFile) throw invalid('data-file can only be set for images that use an external data file');
  const raw = options.get('data_file_raw');
  const dataFileRaw = raw === undefined ? isRawDataFile : bool.fromText('data_file_raw', raw);
  if (dataFileRaw && !isRawDataFile) throw invalid('data-file-raw cannot be set on existing images');
  return {
    version,
    refcountOrder,
    lazyRefcounts: lazy === undefined ? image.options.lazyRefcounts : bool.fromText('lazy_refcounts', lazy),
    size: size === undefined ? undefined : parseSize('size', size),
    dataFile,
    dataFileRaw,
    encryption,
    touchesBacking: options.has('backing_file') || options.has('backing_fmt'),
  };
}

function encryptionOf(image: Qcow2Image, options: ReadonlyMap<string, string>): LuksAmend | undefined {
  if (![...options.keys()].some((name) => name.startsWith('encrypt.'))) return undefined;
  if (!image.isEncrypted) throw invalid("Can't amend encryption options - encryption not present");
  if (image.header.cryptMethod !== CRYPT.LUKS) throw invalid('Only LUKS encryption options can be amended');
  return luksAmendFrom(options, 'encrypt.');
}

function refcountOrderOf(text: string | undefined, current: number): number {
  if (text === undefined) return current;
  const order = /^\d+$/.test(text) ? Math.log2(Number(text)) : NaN;
  if (!Number.isInteger(order) || order > LIMIT.MAX_REFCOUNT_ORDER)
    throw invalid('Refcount width must be a power of two and may not exceed 64 bits');
  return order;
}

/** Progress over several operations of which each counts for itself, as the reference estimates it. */
class TotalProgress {
  readonly #report: Progress;
  readonly #operations: number;
  #completed = 0;
  #offset = 0;
  #work = 0;

  constructor(report: Progress, operations: number) {
    this.#report = report;
    this.#operations = operations;
  }

  readonly update: Progress = (done, total) => {
    this.#work = total;
    const projected = total * (this.#operations - this.#completed - 1);
    this.#report(this.#offset + done, this.#offset + total + projected);
  };

  complete(): void {
    this.#completed++;
    this.#offset += this.#work;
  }
}

export interface AmendRequest {
  readonly options: ReadonlyMap<string, string>;
  readonly force: boolean;
  progress(done: number, total: number): void;
  /** Brings the node to another size (not under the lock). */
  resize(size: number): Promise<void>;
}

export async function amendImage(image: Qcow2Image, { options, force, progress, resize }: AmendRequest): Promise<void> {
  const plan = planOf(image, options);
  const { header } = image;
  const oldVersion = header.version;
  const changes = [plan.version !== oldVersion, plan.refcountOrder !== header.refcountOrder, plan.encryption !== undefined];
  const total = new TotalProgress(progress, changes.filter(Boolean).length);
  if (plan.version > oldVersion) {
    await locked(image, () => upgrade(image, plan.version, total.update));
    total.complete();
  }
  if (plan.encryption !== undefined) {
    await amendKeys(image, plan.encryption, force);
    total.complete();
  }
  if (plan.refcountOrder !== header.refcountOrder) {
    if (plan.version < 3 && plan.refcountOrder !== 4) {
      throw invalid('Refcount widths other than 16 bits require compatibility level 1.1 or above (use compat=1.1 or greater)');
    }
    await locked(image, () => changeRefcountWidth(image, plan.refcountOrder, total.update));
    total.complete();
  }
  await locked(image, () => amendHeader(image, plan));
  if (plan.touchesBacking) throw new AmendFailure('Cannot amend the backing file', "You can use 'qemu-img rebase' instead.");
  if (plan.lazyRefcounts !== image.options.lazyRefcounts) await locked(image, () => setLazyRefcounts(image, plan));
  if (plan.size !== undefined) await resize(plan.size);
  if (plan.version < oldVersion) await locked(image, () => downgrade(image, plan.version, total.update));
}

async function explained<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const errno = errnoOf(error);
    throw new ErrnoFailure(errno, `${what}: ${errnoText(errno)}`, { cause: error });
  }
}

async function writeHeader(image: Qcow2Image): Promise<void> {
  await explained('Failed to update the image header', async () => {
    await image.writeHeader();
    await image.file.flush();
  });
}

async function amendKeys(image: Qcow2Image, amend: LuksAmend, force: boolean): Promise<void> {
  const volume = luksVolumeOf(image);
  if (volume === undefined) throw invalid("Can't amend encryption options - encryption not present");
  const { host } = image;
  const secret = (id: string): Uint8Array => passphraseOf(host, id);
  await amendLuks({ cryptography: host.cryptography, storage: luksStorage(image), volume, force, secret }, amend);
}

async function amendHeader(image: Qcow2Image, { dataFile, dataFileRaw }: Plan): Promise<void> {
  const { header } = image;
  if (dataFileRaw) header.autoclearFeatures |= AUTOCLEAR.DATA_FILE_RAW;
  else header.autoclearFeatures &= ~AUTOCLEAR.DATA_FILE_RAW;
  if (dataFile !== undefined) header.dataFile = dataFile === '' ? undefined : dataFile;
  await writeHeader(image);
}

async function setLazyRefcounts(image: Qcow2Image, { lazyRefcounts, version }: Plan): Promise<void> {
  const { header } = image;
  if (lazyRefcounts) {
    if (version < 3) throw invalid('Lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1 or greater)');
    header.compatibleFeatures |= COMPATIBLE.LAZY_REFCOUNTS;
  } else {
    await explained('Failed to make the image clean', () => image.markClean());
    header.compatibleFeatures &= ~COMPATIBLE.LAZY_REFCOUNTS;
  }
  await writeHeader(image);
  image.options = { ...image.options, lazyRefcounts };
}

async function upgrade(image: Qcow2Image, version: number, progress: Progress): Promise<void> {
  const snapshots = image.snapshots as readonly StoredSnapshot[];
  const { header } = image;
  progress(0, 2);
  if (snapshots.some(({ extraDataSize }) => extraDataSize < REQUIRED_EXTRA_BYTES)) {
    try {
      await writeSnapshotTable(image, snapshots);
    } catch (error) {
      throw prefixed('Failed to update the snapshot table', error);
    }
  }
  progress(1, 2);
  const old = header.version;
  header.version = version;
  try {
    await writeHeader(image);
  } catch (error) {
    header.version = old;
    throw error;
  }
  progress(2, 2);
}

async function downgrade(image: Qcow2Image, version: number, progress: Progress): Promise<void> {
  const { header } = image;
  if (image.hasDataFile) throw new ErrnoFailure('ENOTSUP', 'Cannot downgrade an image with a data file');
  if (header.refcountOrder !== 4) throw new ErrnoFailure('ENOTSUP', 'compat=0.10 requires refcount_bits=16');
  const size = BigInt(image.size);
  const snapshots = image.snapshots as readonly StoredSnapshot[];
  if (snapshots.some(({ vmStateSize, diskSize }) => vmStateSize > 0xffffffffn || diskSize !== size)) {
    throw new ErrnoFailure('ENOTSUP', 'Internal snapshots prevent downgrade of image');
  }
  await explained('Failed to make the image clean', () => image.markClean());
  const left = header.incompatibleFeatures & ~INCOMPATIBLE.COMPRESSION;
  if (left !== 0n) throw new ErrnoFailure('ENOTSUP', `Cannot downgrade an image with incompatible features 0x${left.toString(16)} set`);
  header.compatibleFeatures = 0n;
  header.autoclearFeatures = 0n;
  image.options = { ...image.options, lazyRefcounts: false };
  await explained('Failed to turn zero into data clusters', () => expandZeroClusters(image, progress));
  if (header.compressionType !== COMPRESSION_TYPE.ZLIB && (await hasCompressedClusters(image))) {
    throw new ErrnoFailure('ENOTSUP', 'Cannot downgrade an image with zstd compression type and existing compressed clusters');
  }
  header.compressionType = COMPRESSION_TYPE.ZLIB;
  header.incompatibleFeatures = 0n;
  const old = header.version;
  await image.flushCaches();
  await image.flushFiles();
  header.version = version;
  try {
    await writeHeader(image);
  } catch (error) {
    header.version = old;
    throw error;
  }
}

async function hasCompressedClusters(image: Qcow2Image): Promise<boolean> {
  const { l1, l2Cache, geometry } = image;
  for (let index = 0; index < l1.length; index++) {
    const table = l1.offsetAt(index);
    if (table === 0) continue;
    for (let at = 0; at < geometry.clusterSize; at += l2Cache.sliceBytes) {
      const { view } = await explained('Failed to check block status', async () => l2Cache.get(table + at));
      for (let entry = 0; entry < view.byteLength; entry += geometry.l2EntryBytes)
        if (view.getUint32(entry) & UPPER.COMPRESSED) return true;
    }
  }
  return false;
}
