// The header of LUKS1 volumes (On-Disk Format Specification 1.2.3, section 3): structures, what their texts mean, and the checks
// that every header from outside passes. Keys and passphrases: luks.ts.
import { Failure } from '../../base/failure.ts';
import type { HashName } from '../../ports/codec.ts';
import { be16, be32, bytes, layout, text, type Decoded } from '../../struct/layout.ts';
import { CIPHER_MODES, cipherFamily, cipherKeyBytes, cipherWithKey, essivCipher, IV_GENERATORS, SECTOR_BYTES } from './sector-cipher.ts';
import type { CipherMode, CipherName, CipherSpec, IvGenerator } from './sector-cipher.ts';

export const LUKS_MAGIC = Uint8Array.of(0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe);
export const LUKS_VERSION = 1;
export const LUKS_KEY_SLOTS = 8;
export const LUKS_STRIPES = 4000;
export const LUKS_DIGEST_BYTES = 20;
export const LUKS_SALT_BYTES = 32;
const KEY_ENABLED = 0x00ac71f3;
const KEY_DISABLED = 0x0000dead;
/** Key material starts and is padded to multiples of this. */
const ALIGN_BYTES = 4096;
const NAME_BYTES = 32;

const HEADER = layout('LUKS header', {
  magic: bytes(0, 6),
  version: be16(6),
  cipherName: bytes(8, NAME_BYTES),
  cipherMode: bytes(40, NAME_BYTES),
  hashSpec: bytes(72, NAME_BYTES),
  payloadOffset: be32(104),
  keyBytes: be32(108),
  mkDigest: bytes(112, LUKS_DIGEST_BYTES),
  mkDigestSalt: bytes(132, LUKS_SALT_BYTES),
  mkDigestIterations: be32(164),
  uuid: text(168, 40),
});

const KEY_SLOT = layout('LUKS key slot', {
  active: be32(0),
  iterations: be32(4),
  salt: bytes(8, LUKS_SALT_BYTES),
  keyMaterialOffset: be32(40),
  stripes: be32(44),
});

const HEADER_BYTES = HEADER.sizeBytes + LUKS_KEY_SLOTS * KEY_SLOT.sizeBytes;
export const HEADER_READ_BYTES = Math.ceil(HEADER_BYTES / SECTOR_BYTES) * SECTOR_BYTES;

export interface KeySlot {
  active: boolean;
  iterations: number;
  salt: Uint8Array;
  /** In bytes from the start of the volume. */
  readonly keyOffset: number;
  readonly stripes: number;
}

export interface LuksHeader {
  readonly spec: CipherSpec;
  readonly hash: HashName;
  readonly keyBytes: number;
  /** In bytes from the start of the volume. */
  readonly payloadOffset: number;
  readonly mkDigest: Uint8Array;
  readonly mkDigestSalt: Uint8Array;
  readonly mkDigestIterations: number;
  readonly uuid: string;
  readonly slots: readonly KeySlot[];
}

// Texts -----------------------------------------------------------------------------------------------------------------------

const HASHES: readonly HashName[] = ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512', 'ripemd160'];

export const isHashName = (name: string): name is HashName => (HASHES as readonly string[]).includes(name);

function hashNamed(name: string): HashName {
  if (isHashName(name)) return name;
  throw new Failure('unsupported', `Hash algorithm '${name}' not supported`);
}

function oneOf<const T extends string>(values: readonly T[], name: string, refused: (name: string) => string): T {
  const value = values.find((candidate) => candidate === name);
  if (value === undefined) throw new Failure('unsupported', refused(name));
  return value;
}

/** `mode-ivgen` or `mode-ivgen:hash`. */
function parseMode(modeText: string): { mode: CipherMode; ivGenerator: IvGenerator; ivHash: HashName | undefined } {
  const dash = modeText.indexOf('-');
  if (dash < 0) throw new Failure('invalid-format', `Unexpected cipher mode string format '${modeText}'`);
  const [ivText = '', hashText] = modeText.slice(dash + 1).split(':', 2);
  const ivHash = hashText === undefined ? undefined : hashNamed(hashText);
  const mode = oneOf(CIPHER_MODES, modeText.slice(0, dash), (name) => `Cipher mode '${name}' not supported`);
  const ivGenerator = oneOf(IV_GENERATORS, ivText, (name) => `IV generator '${name}' not supported`);
  if (ivGenerator === 'essiv' && ivHash === undefined) throw new Failure('invalid-format', 'Missing IV generator hash specification');
  return { mode, ivGenerator, ivHash };
}

const modeText = ({ mode, ivGenerator, ivHash }: CipherSpec): string => `${mode}-${ivGenerator}${ivHash === undefined ? '' : `:${ivHash}`}`;

function cipherNamed(name: string, keyBytes: number): CipherName {
  const cipher = cipherWithKey(name, keyBytes);
  if (cipher !== undefined) return cipher;
  throw new Failure('unsupported', `Algorithm '${name}' with key size ${keyBytes} bytes not supported`);
}

// Decoding --------------------------------------------------------------------------------------------------------------------

const latin1 = (field: Uint8Array): string => {
  const end = field.indexOf(0);
  return String.fromCharCode(...(end < 0 ? field : field.subarray(0, end)));
};

const nameField = (value: string): Uint8Array => {
  const field = new Uint8Array(NAME_BYTES);
  for (let at = 0; at < value.length; at++) field[at] = value.charCodeAt(at);
  return field;
};

const corrupt = (message: string): Failure => new Failure('corrupt', message);

/** Sectors of one slot's key material, as they are set aside: whole units of ALIGN_BYTES. */
const materialBytes = (keyBytes: number, stripes: number): number => {
  const sectors = Math.ceil((keyBytes * stripes) / SECTOR_BYTES);
  return sectors * SECTOR_BYTES;
};

const alignedMaterialBytes = (keyBytes: number): number => Math.ceil(materialBytes(keyBytes, LUKS_STRIPES) / ALIGN_BYTES) * ALIGN_BYTES;

export const keySlotOffset = (keyBytes: number, slot: number): number => ALIGN_BYTES + slot * alignedMaterialBytes(keyBytes);

export const payloadOffsetFor = (keyBytes: number): number => keySlotOffset(keyBytes, LUKS_KEY_SLOTS);

/** The size of the key material of a slot on the medium. */
export const keyMaterialBytes = (header: LuksHeader, slot: KeySlot): number => materialBytes(header.keyBytes, slot.stripes);

type RawHeader = Decoded<typeof HEADER.fields>;
type RawSlot = Decoded<typeof KEY_SLOT.fields>;

function checkFixedPart(raw: RawHeader): void {
  if (!LUKS_MAGIC.every((byte, at) => raw.magic[at] === byte)) throw new Failure('invalid-format', 'Volume is not in LUKS format');
  if (raw.version !== LUKS_VERSION) throw new Failure('unsupported', `LUKS version ${raw.version} is not supported`);
  if (!raw.cipherName.includes(0)) throw corrupt('LUKS header cipher name is not NUL terminated');
  if (!raw.cipherMode.includes(0)) throw corrupt('LUKS header cipher mode is not NUL terminated');
  if (!raw.hashSpec.includes(0)) throw corrupt('LUKS header hash spec is not NUL terminated');
  const headerSectors = ALIGN_BYTES / SECTOR_BYTES;
  if (raw.payloadOffset < headerSectors) throw corrupt('LUKS payload is overlapping with the header');
  if (raw.mkDigestIterations === 0) throw corrupt('LUKS key iteration count is zero');
}

function checkSlot(raw: RawHeader, slots: readonly RawSlot[], index: number): void {
  const slot = slots[index]!;
  const sectors = materialBytes(raw.keyBytes, LUKS_STRIPES) / SECTOR_BYTES;
  const end = slot.keyMaterialOffset + sectors;
  if (slot.stripes !== LUKS_STRIPES) throw corrupt(`Keyslot ${index} is corrupted (stripes ${slot.stripes} != ${LUKS_STRIPES})`);
  if (slot.keyMaterialOffset < ALIGN_BYTES / SECTOR_BYTES) throw corrupt(`Keyslot ${index} is overlapping with the LUKS header`);
  if (slot.active !== KEY_ENABLED && slot.active !== KEY_DISABLED) throw corrupt(`Keyslot ${index} state (active/disable) is corrupted`);
  if (slot.active === KEY_ENABLED && slot.iterations === 0) throw corrupt(`Keyslot ${index} iteration count is zero`);
  if (end > raw.payloadOffset) throw corrupt(`Keyslot ${index} is overlapping with the encrypted payload`);
  for (let other = index + 1; other < slots.length; other++) {
    const { keyMaterialOffset } = slots[other]!;
    if (slot.keyMaterialOffset < keyMaterialOffset + sectors && keyMaterialOffset < end) {
      throw corrupt(`Keyslots ${index} and ${other} are overlapping in the header`);
    }
  }
}

function specOf(raw: RawHeader): CipherSpec {
  const mode = parseMode(latin1(raw.cipherMode));
  const halves = mode.mode === 'xts' ? 2 : 1;
  if (raw.keyBytes % halves !== 0) throw new Failure('corrupt', `XTS cipher key length should be a multiple of 2`);
  const cipher = cipherNamed(latin1(raw.cipherName), raw.keyBytes / halves);
  return { cipher, ...mode };
}

/** `source` holds at least HEADER_READ_BYTES. */
export function decodeLuksHeader(source: Uint8Array, digestBytes: (hash: HashName) => number): LuksHeader {
  const raw = HEADER.decode(source);
  checkFixedPart(raw);
  const slots = Array.from({ length: LUKS_KEY_SLOTS }, (_, n) => KEY_SLOT.decode(source, HEADER.sizeBytes + n * KEY_SLOT.sizeBytes));
  slots.forEach((_, index) => checkSlot(raw, slots, index));
  const spec = specOf(raw);
  const hash = hashNamed(latin1(raw.hashSpec));
  if (spec.ivGenerator === 'essiv') essivCipher(spec.cipher, digestBytes(spec.ivHash!));
  return {
    spec,
    hash,
    keyBytes: raw.keyBytes,
    payloadOffset: raw.payloadOffset * SECTOR_BYTES,
    mkDigest: raw.mkDigest,
    mkDigestSalt: raw.mkDigestSalt,
    mkDigestIterations: raw.mkDigestIterations,
    uuid: raw.uuid.replace(/\0.*$/s, ''),
    slots: slots.map(({ active, iterations, salt, keyMaterialOffset, stripes }) => ({
      active: active === KEY_ENABLED,
      iterations,
      salt,
      keyOffset: keyMaterialOffset * SECTOR_BYTES,
      stripes,
    })),
  };
}

export function encodeLuksHeader(header: LuksHeader): Uint8Array {
  const target = new Uint8Array(HEADER_READ_BYTES);
  HEADER.write(target, {
    magic: LUKS_MAGIC,
    version: LUKS_VERSION,
    cipherName: nameField(cipherFamily(header.spec.cipher)),
    cipherMode: nameField(modeText(header.spec)),
    hashSpec: nameField(header.hash),
    payloadOffset: header.payloadOffset / SECTOR_BYTES,
    keyBytes: header.keyBytes,
    mkDigest: header.mkDigest,
    mkDigestSalt: header.mkDigestSalt,
    mkDigestIterations: header.mkDigestIterations,
    uuid: header.uuid,
  });
  header.slots.forEach((slot, index) => KEY_SLOT.write(target, encodedSlot(slot), HEADER.sizeBytes + index * KEY_SLOT.sizeBytes));
  return target;
}

const encodedSlot = (slot: KeySlot): RawSlot => ({
  active: slot.active ? KEY_ENABLED : KEY_DISABLED,
  iterations: slot.iterations,
  salt: slot.salt,
  keyMaterialOffset: slot.keyOffset / SECTOR_BYTES,
  stripes: slot.stripes,
});

/** A header with all slots empty. */
export function newLuksHeader(
  spec: CipherSpec,
  hash: HashName,
  uuid: string,
  digest: Pick<LuksHeader, 'mkDigest' | 'mkDigestSalt' | 'mkDigestIterations'>,
): LuksHeader {
  const keyBytes = cipherKeyBytes(spec.cipher, spec.mode);
  return {
    spec,
    hash,
    keyBytes,
    uuid,
    ...digest,
    payloadOffset: payloadOffsetFor(keyBytes),
    slots: Array.from({ length: LUKS_KEY_SLOTS }, (_, slot) => ({
      active: false,
      iterations: 0,
      salt: new Uint8Array(LUKS_SALT_BYTES),
      keyOffset: keySlotOffset(keyBytes, slot),
      stripes: LUKS_STRIPES,
    })),
  };
}
