// The options of `create -o` for qcow2 and what they mean, with the reference's words for what does not go together.
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { luksCreateFrom, luksCreateOptions, type LuksCreate } from '../crypto/luks-options.ts';
import { PREALLOCATION, type CreateOption, type CreateValues, type Preallocation } from '../driver.ts';
import { hasDriver } from '../drivers.ts';
import { COMPRESSION_TYPE, LIMIT } from './header.ts';

const luks = new Map(luksCreateOptions('encrypt.').map((option) => [option.name, option]));

// In the reference's order, which "Formatting …" shows.
// prettier-ignore
export const createOptions: readonly CreateOption[] = [
  { name: 'encryption', type: 'bool', help: "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)" },
  { name: 'encrypt.format', type: 'str', help: "Encrypt the image, format choices: 'aes', 'luks'" },
  { name: 'encrypt.key-secret', type: 'str', help: 'ID of secret providing qcow AES key or LUKS passphrase' },
  ...['cipher-alg', 'cipher-mode', 'ivgen-alg', 'ivgen-hash-alg', 'hash-alg', 'iter-time'].map((name) => luks.get(`encrypt.${name}`)!),
  { name: 'cluster_size', type: 'size', help: 'qcow2 cluster size', default: '65536' },
  { name: 'extended_l2', type: 'bool', help: 'Extended L2 tables', default: 'off' },
  { name: 'preallocation', type: 'str', help: 'Preallocation mode (allowed values: off, metadata, falloc, full)' },
  { name: 'compression_type', type: 'str', help: 'Compression method used for image cluster compression', default: 'zlib' },
  { name: 'size', type: 'size', help: 'Virtual disk size' },
  { name: 'compat', type: 'str', help: 'Compatibility level (v2 [0.10] or v3 [1.1])' },
  { name: 'backing_file', type: 'str', help: 'File name of a base image' },
  { name: 'backing_fmt', type: 'str', help: 'Image format of the base image' },
  { name: 'data_file', type: 'str', help: 'File name of an external data file' },
  { name: 'data_file_raw', type: 'bool', help: 'The external data file must stay valid as a raw image' },
  { name: 'lazy_refcounts', type: 'bool', help: 'Postpone refcount updates', default: 'off' },
  { name: 'refcount_bits', type: 'num', help: 'Width of a reference count entry in bits', default: '16' },
];

export interface Encryption {
  readonly format: 'aes' | 'luks';
  readonly keySecret: string;
  readonly luks: LuksCreate | undefined;
}

export interface CreatePlan {
  readonly size: number;
  readonly version: 2 | 3;
  readonly clusterBits: number;
  readonly refcountOrder: number;
  readonly extendedL2: boolean;
  readonly lazyRefcounts: boolean;
  readonly preallocation: Preallocation;
  readonly compressionType: number;
  readonly backingFile: string | undefined;
  readonly backingFormat: string | undefined;
  readonly dataFile: string | undefined;
  readonly dataFileRaw: boolean;
}

const invalid = (message: string): Failure => new ErrnoFailure('EINVAL', message);
const notAccepted = (name: string, value: unknown): Failure => invalid(`Parameter '${name}' does not accept value '${String(value)}'`);

const text = (values: CreateValues, name: string): string | undefined => {
  const value = values.get(name);
  return value === undefined ? undefined : String(value);
};

const VERSIONS: ReadonlyMap<string, 2 | 3> = new Map([['0.10', 2], ['v2', 2], ['1.1', 3], ['v3', 3]]);
const COMPRESSION: ReadonlyMap<string, number> = new Map([['zlib', COMPRESSION_TYPE.ZLIB], ['zstd', COMPRESSION_TYPE.ZSTD]]);

/** Everything but encryption, checked. */
export function createPlan(values: CreateValues): CreatePlan {
  const { version, preallocation, compressionType } = choices(values);
  const extendedL2 = values.get('extended_l2') === true;
  const clusterBits = clusterBitsOf(Number(values.get('cluster_size') ?? 65536), extendedL2, version);
  const backingFile = text(values, 'backing_file'), backingFormat = text(values, 'backing_fmt');
  if (preallocation !== 'off' && backingFile !== undefined && !extendedL2) {
    throw invalid('Backing file and preallocation can only be used at the same time if extended_l2 is on');
  }
  if (backingFormat !== undefined && !hasDriver(backingFormat)) {
    throw invalid(`Parameter 'backing-fmt' does not accept value '${backingFormat}'`);
  }
  if (backingFormat !== undefined && backingFile === undefined) throw invalid('Backing format cannot be used without backing file');
  const lazyRefcounts = values.get('lazy_refcounts') === true;
  if (lazyRefcounts && version < 3) {
    throw invalid('Lazy refcounts only supported with compatibility level 1.1 and above (use version=v3 or greater)');
  }
  const refcountOrder = refcountOrderOf(Number(values.get('refcount_bits') ?? 16), version);
  const dataFile = text(values, 'data_file'), dataFileRaw = values.get('data_file_raw') === true;
  if (dataFileRaw && dataFile === undefined) throw invalid('data-file-raw requires data-file');
  if (dataFileRaw && backingFile !== undefined) throw invalid('Backing file and data-file-raw cannot be used at the same time');
  if (dataFile !== undefined && version < 3) {
    throw invalid('External data files are only supported with compatibility level 1.1 and above (use version=v3 or greater)');
  }
  if (compressionType !== COMPRESSION_TYPE.ZLIB && version < 3) {
    throw invalid('Non-zlib compression type is only supported with compatibility level 1.1 and above (use version=v3 or greater)');
  }
  const size = Math.ceil(Number(values.get('size') ?? 0) / 512) * 512;
  // A raw data file shows the guest's bytes at their places from the beginning.
  const allocated = dataFileRaw && preallocation === 'off' ? ('metadata' as const) : preallocation;
  const tables = { extendedL2, lazyRefcounts, preallocation: allocated, compressionType };
  return { size, version, clusterBits, refcountOrder, ...tables, backingFile, backingFormat, dataFile, dataFileRaw };
}

function choices(values: CreateValues): { version: 2 | 3; preallocation: Preallocation; compressionType: number } {
  const compat = values.get('compat') ?? 'v3', mode = values.get('preallocation') ?? 'off';
  const compression = values.get('compression_type') ?? 'zlib';
  const version = VERSIONS.get(String(compat));
  if (version === undefined) throw notAccepted('version', compat);
  const preallocation = PREALLOCATION.find((known) => known === mode);
  if (preallocation === undefined) throw notAccepted('preallocation', mode);
  const compressionType = COMPRESSION.get(String(compression));
  if (compressionType === undefined) throw notAccepted('compression-type', compression);
  return { version, preallocation, compressionType };
}

function clusterBitsOf(clusterSize: number, extendedL2: boolean, version: number): number {
  const bits = Math.log2(clusterSize);
  if (!Number.isInteger(bits) || bits < LIMIT.MIN_CLUSTER_BITS || bits > LIMIT.MAX_CLUSTER_BITS) {
    throw invalid(`Cluster size must be a power of two between 512 and 2048k`);
  }
  if (!extendedL2) return bits;
  if (version < 3) {
    throw invalid('Extended L2 entries are only supported with compatibility level 1.1 and above (use version=v3 or greater)');
  }
  if (bits < LIMIT.MIN_EXTENDED_CLUSTER_BITS) {
    throw invalid(`Extended L2 entries are only supported with cluster sizes of at least ${2 ** LIMIT.MIN_EXTENDED_CLUSTER_BITS} bytes`);
  }
  return bits;
}

function refcountOrderOf(bits: number, version: number): number {
  const order = Math.log2(bits);
  if (!Number.isInteger(order) || order < 0 || order > LIMIT.MAX_REFCOUNT_ORDER) {
    throw invalid('Refcount width must be a power of two and may not exceed 64 bits');
  }
  if (version < 3 && order !== 4) {
    throw invalid('Different refcount widths than 16 bits require compatibility level 1.1 or above (use version=v3 or greater)');
  }
  return order;
}

/** Undefined for an image without encryption. Checked after everything else, as far as values go. */
export function encryptionFrom(values: CreateValues): Encryption | undefined {
  const isLegacy = values.get('encryption');
  const given = text(values, 'encrypt.format');
  if (isLegacy !== undefined && given !== undefined) {
    throw invalid("'encrypt.format' and its alias 'encryption' can't be used at the same time");
  }
  const format = given ?? (isLegacy === true ? 'aes' : undefined);
  if (format === undefined) return undefined;
  if (format !== 'aes' && format !== 'luks') throw notAccepted('format', format);
  const keySecret = text(values, 'encrypt.key-secret');
  if (keySecret === undefined) throw invalid("Parameter 'encrypt.key-secret' is required for cipher");
  return { format, keySecret, luks: format === 'luks' ? luksCreateFrom(values, 'encrypt.') : undefined };
}
