// Making a new qcow2 image: header, refcount table and first block, then everything else through an open image, so that sizes,
// preallocation and encryption are done by the code that does them later. The layout is the reference's, byte for byte.
import { ErrnoFailure, errnoOf, errnoText } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { BlockBackend } from '../backend.ts';
import { createLegacyAesCipher } from '../crypto/legacy-aes.ts';
import { createLuks } from '../crypto/luks.ts';
import { passphraseOf } from '../crypto/passphrase.ts';
import type { CreateContext, CreateValues } from '../driver.ts';
import type { Edge } from '../node.ts';
import { createOptions, createPlan, encryptionFrom, type CreatePlan, type Encryption } from './create-options.ts';
import { luksStorage } from './encryption.ts';
import { geometryOf, roundUp } from './geometry.ts';
import { AUTOCLEAR, COMPATIBLE, COMPRESSION_TYPE, CRYPT, encodeFields, INCOMPATIBLE, type Qcow2Header } from './header.ts';
import { Qcow2Image } from './image.ts';
import { L1Table } from './l1-table.ts';
import { locked } from './l2-tables.ts';
import { attachParts } from './open.ts';
import { resolveOptions } from './options.ts';
import { encodeOffsets } from './refcounts.ts';
import { truncate } from './truncate.ts';

export async function create(filename: string, values: CreateValues, context: CreateContext): Promise<void> {
  const own = new Set(createOptions.map(({ name }) => name));
  const passed = new Map([...values].filter(([name]) => !own.has(name)));
  const dataFile = values.get('data_file');
  const made: string[] = [];
  try {
    const file = await makeFile(filename, passed, context);
    made.push(filename);
    await finishing(file, async () => {
      if (dataFile === undefined) return fill(file, undefined, values, context);
      const data = await makeFile(String(dataFile), new Map([...passed, ['size', Number(values.get('size') ?? 0)]]), context);
      made.push(String(dataFile));
      await finishing(data, () => fill(file, data, values, context));
    });
  } catch (error) {
    for (const name of made) removeQuietly(name, context);
    throw error;
  }
}

/** Made, and opened again without flushing: nothing is worth keeping before all of it is there. */
async function makeFile(filename: string, values: CreateValues, { graph }: CreateContext): Promise<BlockBackend> {
  await (await graph.createFile(filename, values)).close();
  return graph.openFile(filename, { noFlush: true });
}

/** Flushed at last, and closed whatever happens. */
async function finishing(file: BlockBackend, work: () => Promise<void>): Promise<void> {
  try {
    await work();
    file.node.flags = { ...file.node.flags, noFlush: false };
    await file.flush();
  } catch (error) {
    await file.close().catch(() => {}); // the first error is the one that tells
    throw error;
  }
  await file.close();
}

function removeQuietly(filename: string, { host }: CreateContext): void {
  try {
    if (host.files.kind(filename) === 'regular') host.files.remove(filename);
  } catch {
    // It stays; the error that matters is the caller's.
  }
}

async function fill(file: BlockBackend, data: BlockBackend | undefined, values: CreateValues, context: CreateContext): Promise<void> {
  const plan = createPlan(values);
  const image = await emptyImage(plan, file.root, data?.root, context);
  await reserveFirstClusters(image);
  if (data !== undefined) image.header.dataFile = plan.dataFile;
  await image.writeHeader();
  await resize(image, plan);
  if (plan.backingFile !== undefined) await setBackingFile(image, plan);
  const encryption = encryptionFrom(values);
  if (encryption !== undefined) await encrypt(image, encryption, context);
  await image.l2Cache.flush();
  await image.refcountCache.flush();
}

async function resize(image: Qcow2Image, { size, preallocation }: CreatePlan): Promise<void> {
  try {
    await truncate(image, { size, exact: false, preallocation, zeroWrite: false });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (errnoOf(error) === 'EFBIG') throw new ErrnoFailure('EFBIG', `Could not resize image: ${error.message}`);
    throw new ErrnoFailure(errnoOf(error), `Could not resize image: ${error.message}`);
  }
}

async function setBackingFile(image: Qcow2Image, { backingFile, backingFormat }: CreatePlan): Promise<void> {
  image.header.backingFile = backingFile;
  image.header.backingFormat = backingFormat;
  try {
    if (backingFile!.length > 1023) throw new ErrnoFailure('EINVAL');
    await image.writeHeader();
  } catch (error) {
    const what = `Could not assign backing file '${backingFile}' with format '${backingFormat ?? ''}'`;
    throw new ErrnoFailure(errnoOf(error), `${what}: ${errnoText(errnoOf(error))}`);
  }
}

function newHeader(plan: CreatePlan): Qcow2Header {
  const clusterSize = 2 ** plan.clusterBits;
  let incompatible = 0n;
  if (plan.dataFile !== undefined) incompatible |= INCOMPATIBLE.DATA_FILE;
  if (plan.compressionType !== COMPRESSION_TYPE.ZLIB) incompatible |= INCOMPATIBLE.COMPRESSION;
  if (plan.extendedL2) incompatible |= INCOMPATIBLE.EXTENDED_L2;
  return {
    version: plan.version,
    clusterBits: plan.clusterBits,
    size: 0,
    cryptMethod: CRYPT.NONE,
    l1Size: 0,
    l1TableOffset: 0,
    refcountTableOffset: clusterSize,
    refcountTableClusters: 1,
    nbSnapshots: 0,
    snapshotsOffset: 0,
    incompatibleFeatures: incompatible,
    compatibleFeatures: plan.lazyRefcounts ? COMPATIBLE.LAZY_REFCOUNTS : 0n,
    autoclearFeatures: plan.dataFileRaw ? AUTOCLEAR.DATA_FILE_RAW : 0n,
    refcountOrder: plan.refcountOrder,
    compressionType: plan.compressionType,
    unknownFields: new Uint8Array(0),
    backingFileOffset: 0,
    backingFileSize: 0,
    backingFile: undefined,
    backingFormat: undefined,
    dataFile: undefined,
    crypto: undefined,
    bitmaps: undefined,
    unknownExtensions: [],
  };
}

async function writeNamed(file: Edge, what: string, offset: number, bytes: Uint8Array): Promise<void> {
  try {
    await file.write(offset, bytes);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new ErrnoFailure(errnoOf(error), `Could not write ${what}: ${errnoText(errnoOf(error))}`, { cause: error });
  }
}

/** Header, refcount table with one block, and that block, still empty. */
async function emptyImage(plan: CreatePlan, file: Edge, data: Edge | undefined, { host }: CreateContext): Promise<Qcow2Image> {
  const header = newHeader(plan);
  const geometry = geometryOf(header);
  const { clusterSize } = geometry;
  const fields = encodeFields(header);
  const start = new Uint8Array(clusterSize);
  start.set(fields);
  const table = new Float64Array(clusterSize / 8);
  table[0] = 2 * clusterSize;
  const tables = new Uint8Array(2 * clusterSize);
  tables.set(encodeOffsets(table));
  await writeNamed(file, 'qcow2 header', 0, start);
  await writeNamed(file, 'refcount table', clusterSize, tables);
  const flags = { readOnly: false, check: false, noIo: true, noFlush: true };
  const options = resolveOptions({ 'lazy-refcounts': false }, { ...header, size: plan.size }, geometry, false);
  const image = new Qcow2Image({ host, file, header, geometry, flags, options, backing: () => undefined });
  image.dataFile = data;
  attachParts(image, new L1Table(new Uint8Array(0)), table);
  return image;
}

async function reserveFirstClusters(image: Qcow2Image): Promise<void> {
  const offset = await image.refcounts.allocate(3 * image.geometry.clusterSize);
  if (offset !== 0) throw new ErrnoFailure('EIO', 'Huh, first cluster in empty image is already in use?');
}

async function encrypt(image: Qcow2Image, encryption: Encryption, { host }: CreateContext): Promise<void> {
  const passphrase = passphraseOf(host, encryption.keySecret);
  if (encryption.format === 'aes') {
    createLegacyAesCipher(host.cryptography, passphrase); // refuses what cannot be a key
    image.header.cryptMethod = CRYPT.AES;
    return image.writeHeader();
  }
  image.header.cryptMethod = CRYPT.LUKS;
  await createLuks(host.cryptography, encryption.luks!, passphrase, async (bytes) => {
    const length = roundUp(bytes, image.geometry.clusterSize);
    const offset = await locked(image, () => image.refcounts.allocate(bytes));
    await image.file.writeZeroes(offset, length);
    image.header.crypto = { offset, length: bytes };
    return luksStorage(image);
  });
  await image.writeHeader();
}
