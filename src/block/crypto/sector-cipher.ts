// Encryption of a disk's sectors: every 512 bytes are a unit of their own with an IV made from the sector's number. XTS is IEEE
// 1619, the IV generators are those of Linux dm-crypt (plain, plain64, essiv). The host only gives AES on whole blocks (ECB) and
// CBC, and the other ciphers are our own; the modes are put together here over many sectors at a time, because a call into the
// host costs as much as several sectors. Where the key comes from: luks.ts, legacy-aes.ts.
import { assert } from '../../base/assert.ts';
import { Failure } from '../../base/failure.ts';
import type { CipherName as HostCipher, Cryptography, HashName } from '../../ports/codec.ts';
import type { BlockTransform } from './block-transform.ts';
import { cast5 } from './cast5.ts';
import { narrowSectorCipher } from './narrow-sector-cipher.ts';
import { serpent } from './serpent.ts';
import { twofish } from './twofish.ts';

export const SECTOR_BYTES = 512;
const BLOCK_BYTES = 16;
const BLOCK_WORDS = BLOCK_BYTES / 4;
const SECTOR_WORDS = SECTOR_BYTES / 4;
/** Sectors handled in one pass: data, tweaks and result together stay within the processor's cache. */
const BATCH_SECTORS = 128;
/** From so many sectors on, CBC encrypts the n-th blocks of all sectors in one call instead of sector by sector. */
const TRANSPOSE_SECTORS_MIN = 12;
const HALF = 0x1_0000_0000;

export const CIPHER_MODES = ['ecb', 'cbc', 'xts', 'ctr'] as const;
export type CipherMode = (typeof CIPHER_MODES)[number];
export const IV_GENERATORS = ['plain', 'plain64', 'essiv'] as const;
export type IvGenerator = (typeof IV_GENERATORS)[number];

/** Those that are our own, by family, with the name that messages give them. */
const OWN_CIPHERS: Readonly<Partial<Record<CipherFamily, (key: Uint8Array) => BlockTransform>>> = { serpent, twofish };
const FAMILY_TITLES: Readonly<Record<CipherFamily, string>> = { aes: 'AES', serpent: 'Serpent', twofish: 'Twofish', cast5: 'CAST5' };

// prettier-ignore
export const CIPHER_NAMES = [
  'aes-128', 'aes-192', 'aes-256', 'serpent-128', 'serpent-192', 'serpent-256', 'twofish-128', 'twofish-192', 'twofish-256',
  'cast5-128',
] as const;
export type CipherName = (typeof CIPHER_NAMES)[number];
export type CipherFamily = 'aes' | 'serpent' | 'twofish' | 'cast5';

export interface CipherSpec {
  readonly cipher: CipherName;
  readonly mode: CipherMode;
  readonly ivGenerator: IvGenerator;
  /** For essiv. */
  readonly ivHash?: HashName | undefined;
}

/** Offsets and lengths are whole sectors. `target` may be `source`, which is the default. */
export interface SectorCipher {
  encrypt(offset: number, source: Uint8Array, target?: Uint8Array): void;
  decrypt(offset: number, source: Uint8Array, target?: Uint8Array): void;
}

const keyBytesOf = (cipher: CipherName): number => Number(cipher.slice(cipher.indexOf('-') + 1)) / 8;

/** Bytes of key of a cipher; XTS takes two keys. */
export const cipherKeyBytes = (cipher: CipherName, mode: CipherMode): number => keyBytesOf(cipher) * (mode === 'xts' ? 2 : 1);

export const cipherFamily = (cipher: CipherName): CipherFamily => cipher.slice(0, cipher.indexOf('-')) as CipherFamily;

/** The cipher of a family with keys of `keyBytes`, or undefined. */
export const cipherWithKey = (family: string, keyBytes: number): CipherName | undefined =>
  CIPHER_NAMES.find((name) => cipherFamily(name) === family && keyBytesOf(name) === keyBytes);

/** Fills `ivs` with the IVs of consecutive sectors and returns them, or a new array. */
type MakeIvs = (firstSector: number, ivs: Uint32Array) => Uint32Array;

/** Transforms `data` (whole sectors, aligned) in place. */
type Transform = (firstSector: number, data: Int32Array) => void;

const bytesOf = (words: Int32Array | Uint32Array): Uint8Array => new Uint8Array(words.buffer, words.byteOffset, words.byteLength);

function wordsOf(bytes: Uint8Array): Int32Array {
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
  return new Int32Array(aligned.buffer, aligned.byteOffset, aligned.length >> 2);
}

/** Only XORed, in which form engines keep 64-bit words in registers. */
const wideOf = (words: Int32Array): BigUint64Array => new BigUint64Array(words.buffer, words.byteOffset, words.length >> 1);

function plainIvs(firstSector: number, ivs: Uint32Array, mask64: boolean): Uint32Array {
  for (let index = 0, at = 0; at < ivs.length; index++, at += BLOCK_WORDS) {
    const sector = firstSector + index;
    ivs[at] = sector % HALF; // little endian, as is every host that JavaScript runs on
    ivs[at + 1] = mask64 ? Math.floor(sector / HALF) : 0;
    ivs[at + 2] = ivs[at + 3] = 0;
  }
  return ivs;
}

/** ESSIV encrypts the sector's number with the same cipher under a hash of the key; the hash's size chooses its key's. */
export function essivCipher(cipher: CipherName, digestBytes: number): CipherName {
  if (keyBytesOf(cipher) === digestBytes) return cipher;
  const family = cipherFamily(cipher);
  if (family === 'cast5') throw new Failure('unsupported', `Cipher ${cipher} not supported with essiv`);
  const found = cipherWithKey(family, digestBytes);
  if (found === undefined) throw new Failure('unsupported', `No ${FAMILY_TITLES[family]} cipher with key size ${digestBytes} available`);
  return found;
}

/** A cipher with its key: whole blocks in, whole blocks out. */
interface BlockCipher {
  ecb(source: Uint8Array, encrypt: boolean): Uint8Array;
  cbcEncrypt(iv: Uint8Array, source: Uint8Array): Uint8Array;
}

function blockCipher(cryptography: Cryptography, name: CipherName, key: Uint8Array): BlockCipher {
  const own = OWN_CIPHERS[cipherFamily(name)];
  return own === undefined ? hostCipher(cryptography, name as HostCipher, key) : ownCipher(own(key));
}

function ownCipher(transform: BlockTransform): BlockCipher {
  return {
    ecb(source, encrypt) {
      const words = new Int32Array(source.slice().buffer);
      for (let at = 0; at < words.length; at += BLOCK_WORDS) transform(words, at, encrypt);
      return bytesOf(words);
    },
    cbcEncrypt(iv, source) {
      const words = new Int32Array(source.slice().buffer);
      let previous = new Int32Array(iv.slice().buffer);
      for (let at = 0; at < words.length; at += BLOCK_WORDS) {
        for (let word = 0; word < BLOCK_WORDS; word++) words[at + word]! ^= previous[word]!;
        transform(words, at, true);
        previous = words.subarray(at, at + BLOCK_WORDS);
      }
      return bytesOf(words);
    },
  };
}

function hostCipher(cryptography: Cryptography, name: HostCipher, key: Uint8Array): BlockCipher {
  const encryptBlocks = cryptography.blocks?.(name, key, true);
  const decryptBlocks = cryptography.blocks?.(name, key, false);
  return {
    ecb: (source, encrypt) => (encrypt ? encryptBlocks : decryptBlocks)?.(source) ?? cryptography.ecb(name, key, source, encrypt),
    cbcEncrypt: (iv, source) => cryptography.cbc(name, key, iv, source, true),
  };
}

function ivMaker(cryptography: Cryptography, spec: CipherSpec, key: Uint8Array): MakeIvs {
  if (spec.ivGenerator === 'plain') return (first, ivs) => plainIvs(first, ivs, false);
  if (spec.ivGenerator === 'plain64') return (first, ivs) => plainIvs(first, ivs, true);
  const salt = cryptography.hash(spec.ivHash ?? 'sha256', key);
  const cipher = blockCipher(cryptography, essivCipher(spec.cipher, salt.length), salt);
  return (first, ivs) => new Uint32Array(wordsOf(cipher.ecb(bytesOf(plainIvs(first, ivs, true)), true)));
}

/** The tweaks of every block: those of the sectors' first blocks, multiplied by x in GF(2^128) from block to block. */
function fillTweaks(first: Int32Array, tweaks: Int32Array): void {
  let at = 0;
  for (let sector = 0; sector < first.length; sector += BLOCK_WORDS) {
    let w0 = first[sector]!, w1 = first[sector + 1]!, w2 = first[sector + 2]!, w3 = first[sector + 3]!;
    for (const end = at + SECTOR_WORDS; at < end; at += BLOCK_WORDS) {
      tweaks[at] = w0;
      tweaks[at + 1] = w1;
      tweaks[at + 2] = w2;
      tweaks[at + 3] = w3;
      const carry = w3 >> 31;
      w3 = (w3 << 1) | (w2 >>> 31);
      w2 = (w2 << 1) | (w1 >>> 31);
      w1 = (w1 << 1) | (w0 >>> 31);
      w0 = (w0 << 1) ^ (carry & 0x87);
    }
  }
}

function xorInto(target: BigUint64Array, a: BigUint64Array, b: BigUint64Array): void {
  for (let at = 0; at < target.length; at++) target[at] = a[at]! ^ b[at]!;
}

function xtsTransform(cryptography: Cryptography, spec: CipherSpec, key: Uint8Array, makeIvs: MakeIvs, encrypt: boolean): Transform {
  const half = key.length / 2;
  const data = blockCipher(cryptography, spec.cipher, key.subarray(0, half));
  const tweak = blockCipher(cryptography, spec.cipher, key.subarray(half));
  const tweakBuffer = new Int32Array(BATCH_SECTORS * SECTOR_WORDS);
  const workBuffer = new Int32Array(BATCH_SECTORS * SECTOR_WORDS);
  const ivBuffer = new Uint32Array(BATCH_SECTORS * BLOCK_WORDS);
  return (firstSector, words) => {
    const ivs = makeIvs(firstSector, ivBuffer.subarray(0, (words.length / SECTOR_WORDS) * BLOCK_WORDS));
    const tweaks = tweakBuffer.subarray(0, words.length);
    const work = workBuffer.subarray(0, words.length);
    fillTweaks(wordsOf(tweak.ecb(bytesOf(ivs), true)), tweaks);
    xorInto(wideOf(work), wideOf(words), wideOf(tweaks));
    xorInto(wideOf(words), wideOf(wordsOf(data.ecb(bytesOf(work), encrypt))), wideOf(tweaks));
  };
}

function cbcDecrypt(cipher: BlockCipher, ivs: Uint32Array, words: Int32Array): void {
  const plain = wordsOf(cipher.ecb(bytesOf(words), false));
  // Backwards: a block's predecessor must still be ciphertext.
  for (let sector = words.length / SECTOR_WORDS - 1; sector >= 0; sector--) {
    const start = sector * SECTOR_WORDS;
    for (let at = start + SECTOR_WORDS - 1; at >= start + BLOCK_WORDS; at--) words[at] = plain[at]! ^ words[at - BLOCK_WORDS]!;
    for (let word = 0; word < BLOCK_WORDS; word++) words[start + word] = plain[start + word]! ^ ivs[sector * BLOCK_WORDS + word]!;
  }
}

function cbcEncryptSectors(cipher: BlockCipher, ivs: Uint32Array, words: Int32Array): void {
  const bytes = bytesOf(words);
  const ivBytes = bytesOf(ivs);
  for (let at = 0, iv = 0; at < bytes.length; at += SECTOR_BYTES, iv += BLOCK_BYTES) {
    const sector = bytes.subarray(at, at + SECTOR_BYTES);
    sector.set(cipher.cbcEncrypt(ivBytes.subarray(iv, iv + BLOCK_BYTES), sector));
  }
}

/** Sectors do not depend on each other, so the n-th blocks of all of them are encrypted together. */
function cbcEncryptTransposed(cipher: BlockCipher, ivs: Uint32Array, words: Int32Array): void {
  const sectors = words.length / SECTOR_WORDS;
  let previous = new Int32Array(ivs);
  const column = new Int32Array(sectors * BLOCK_WORDS);
  for (let block = 0; block < SECTOR_WORDS; block += BLOCK_WORDS) {
    for (let sector = 0, at = block, to = 0; sector < sectors; sector++, at += SECTOR_WORDS, to += BLOCK_WORDS) {
      column[to] = words[at]! ^ previous[to]!;
      column[to + 1] = words[at + 1]! ^ previous[to + 1]!;
      column[to + 2] = words[at + 2]! ^ previous[to + 2]!;
      column[to + 3] = words[at + 3]! ^ previous[to + 3]!;
    }
    previous = wordsOf(cipher.ecb(bytesOf(column), true)) as typeof previous;
    for (let sector = 0, at = block, from = 0; sector < sectors; sector++, at += SECTOR_WORDS, from += BLOCK_WORDS) {
      words[at] = previous[from]!;
      words[at + 1] = previous[from + 1]!;
      words[at + 2] = previous[from + 2]!;
      words[at + 3] = previous[from + 3]!;
    }
  }
}

function cbcTransform(cipher: BlockCipher, makeIvs: MakeIvs, encrypt: boolean): Transform {
  const ivBuffer = new Uint32Array(BATCH_SECTORS * BLOCK_WORDS);
  return (firstSector, words) => {
    const sectors = words.length / SECTOR_WORDS;
    const ivs = makeIvs(firstSector, ivBuffer.subarray(0, sectors * BLOCK_WORDS));
    if (!encrypt) cbcDecrypt(cipher, ivs, words);
    else if (sectors < TRANSPOSE_SECTORS_MIN) cbcEncryptSectors(cipher, ivs, words);
    else cbcEncryptTransposed(cipher, ivs, words);
  };
}

/** One more in big-endian order. */
function increment(counter: Uint8Array): void {
  for (let at = BLOCK_BYTES - 1; at >= 0; at--) {
    counter[at] = (counter[at]! + 1) & 0xff;
    if (counter[at] !== 0) return;
  }
}

function ctrTransform(cipher: BlockCipher, makeIvs: MakeIvs): Transform {
  const ivBuffer = new Uint32Array(BATCH_SECTORS * BLOCK_WORDS);
  return (firstSector, words) => {
    const ivs = bytesOf(makeIvs(firstSector, ivBuffer.subarray(0, (words.length / SECTOR_WORDS) * BLOCK_WORDS)));
    const counters = new Uint8Array(words.byteLength);
    for (let at = 0; at < counters.length; at += BLOCK_BYTES) {
      const counter = counters.subarray(at, at + BLOCK_BYTES);
      if (at % SECTOR_BYTES === 0) counter.set(ivs.subarray((at / SECTOR_BYTES) * BLOCK_BYTES).subarray(0, BLOCK_BYTES));
      else {
        counter.set(counters.subarray(at - BLOCK_BYTES, at));
        increment(counter);
      }
    }
    xorInto(wideOf(words), wideOf(words), wideOf(wordsOf(cipher.ecb(counters, true))));
  };
}

function transformFor(cryptography: Cryptography, spec: CipherSpec, key: Uint8Array, encrypt: boolean): Transform {
  const makeIvs = ivMaker(cryptography, spec, key);
  if (spec.mode === 'xts') return xtsTransform(cryptography, spec, key, makeIvs, encrypt);
  const cipher = blockCipher(cryptography, spec.cipher, key);
  switch (spec.mode) {
    case 'cbc':
      return cbcTransform(cipher, makeIvs, encrypt);
    case 'ctr':
      return ctrTransform(cipher, makeIvs);
    case 'ecb':
      return (_firstSector, words) => words.set(wordsOf(cipher.ecb(bytesOf(words), encrypt)));
  }
}

function runInBatches(transform: Transform, offset: number, source: Uint8Array, target: Uint8Array): void {
  assert(offset % SECTOR_BYTES === 0 && source.length % SECTOR_BYTES === 0, 'whole sectors are encrypted');
  assert(target.length === source.length, 'encryption keeps the length');
  if (target !== source) target.set(source);
  const firstSector = offset / SECTOR_BYTES;
  const step = BATCH_SECTORS * SECTOR_BYTES;
  for (let at = 0; at < target.length; at += step) {
    const part = target.subarray(at, Math.min(at + step, target.length));
    const words = wordsOf(part);
    transform(firstSector + at / SECTOR_BYTES, words);
    if (words.buffer !== part.buffer) part.set(bytesOf(words)); // it was unaligned, and copied
  }
}

/** Failure for combinations that do not exist: blocks too small for XTS, no cipher for an essiv generator's hash. */
export function checkCombination(cryptography: Cryptography, { cipher, mode, ivGenerator, ivHash }: CipherSpec): void {
  if (ivGenerator === 'essiv') essivCipher(cipher, cryptography.hash(ivHash ?? 'sha256', new Uint8Array(0)).length);
  if (mode === 'xts' && cipherFamily(cipher) === 'cast5') throw new Failure('unsupported', 'Unsupported cipher mode xts');
}

/** Failure as of checkCombination. */
export function createSectorCipher(cryptography: Cryptography, spec: CipherSpec, key: Uint8Array): SectorCipher {
  assert(key.length === cipherKeyBytes(spec.cipher, spec.mode), 'the key fits the cipher');
  checkCombination(cryptography, spec);
  if (cipherFamily(spec.cipher) === 'cast5') return narrowSectorCipher(cryptography, spec, cast5, key);
  const encrypt = transformFor(cryptography, spec, key, true);
  const decrypt = transformFor(cryptography, spec, key, false);
  return {
    encrypt: (offset, source, target = source) => runInBatches(encrypt, offset, source, target),
    decrypt: (offset, source, target = source) => runInBatches(decrypt, offset, source, target),
  };
}
