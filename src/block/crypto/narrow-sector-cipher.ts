// Encryption of a disk's sectors with a cipher of 8-byte blocks, block by block: ECB, CBC and CTR, with the IVs of dm-crypt's
// generators cut to the first 8 bytes. XTS needs blocks of 16 bytes. Those are in sector-cipher.ts.
import { Failure } from '../../base/failure.ts';
import type { Cryptography } from '../../ports/codec.ts';
import type { NarrowTransform } from './cast5.ts';
import type { CipherSpec, SectorCipher } from './sector-cipher.ts';

const SECTOR_BYTES = 512;
const BLOCK_BYTES = 8;

type MakeCipher = (key: Uint8Array) => NarrowTransform;
type Transform = (sector: number, bytes: Uint8Array, view: DataView, at: number) => void;

export function narrowSectorCipher(cryptography: Cryptography, spec: CipherSpec, makeCipher: MakeCipher, key: Uint8Array): SectorCipher {
  const cipher = makeCipher(key);
  const fillIv = ivFiller(cryptography, spec, makeCipher, key);
  const encrypt = transformFor(spec, cipher, fillIv, true);
  const decrypt = transformFor(spec, cipher, fillIv, false);
  return {
    encrypt: (offset, source, target = source) => run(encrypt, offset, source, target),
    decrypt: (offset, source, target = source) => run(decrypt, offset, source, target),
  };
}

function run(transform: Transform, offset: number, source: Uint8Array, target: Uint8Array): void {
  if (target !== source) target.set(source);
  const view = new DataView(target.buffer, target.byteOffset, target.length);
  for (let at = 0; at < target.length; at += SECTOR_BYTES) transform((offset + at) / SECTOR_BYTES, target, view, at);
}

type FillIv = (sector: number, iv: DataView) => void;

function ivFiller(cryptography: Cryptography, { ivGenerator, ivHash }: CipherSpec, makeCipher: MakeCipher, key: Uint8Array): FillIv {
  if (ivGenerator === 'plain') return (sector, iv) => iv.setBigUint64(0, BigInt.asUintN(32, BigInt(sector)), true);
  const plain64: FillIv = (sector, iv) => iv.setBigUint64(0, BigInt(sector), true);
  if (ivGenerator === 'plain64') return plain64;
  const cipher = makeCipher(cryptography.hash(ivHash ?? 'sha256', key));
  return (sector, iv) => {
    plain64(sector, iv);
    cipher(iv, 0, true);
  };
}

function transformFor({ mode }: CipherSpec, cipher: NarrowTransform, fillIv: FillIv, encrypt: boolean): Transform {
  switch (mode) {
    case 'ecb':
      return (_sector, _bytes, view, at) => {
        for (const end = at + SECTOR_BYTES; at < end; at += BLOCK_BYTES) cipher(view, at, encrypt);
      };
    case 'cbc':
      return encrypt ? cbcEncryption(cipher, fillIv) : cbcDecryption(cipher, fillIv);
    case 'ctr':
      return counting(cipher, fillIv);
    case 'xts':
      throw new Failure('unsupported', 'Unsupported cipher mode xts');
  }
}

function cbcEncryption(cipher: NarrowTransform, fillIv: FillIv): Transform {
  const previous = new Uint8Array(BLOCK_BYTES);
  const iv = new DataView(previous.buffer);
  return (sector, bytes, view, at) => {
    fillIv(sector, iv);
    for (const end = at + SECTOR_BYTES; at < end; at += BLOCK_BYTES) {
      for (let index = 0; index < BLOCK_BYTES; index++) bytes[at + index]! ^= previous[index]!;
      cipher(view, at, true);
      previous.set(bytes.subarray(at, at + BLOCK_BYTES));
    }
  };
}

function cbcDecryption(cipher: NarrowTransform, fillIv: FillIv): Transform {
  const iv = new Uint8Array(BLOCK_BYTES);
  const ivView = new DataView(iv.buffer);
  return (sector, bytes, view, start) => {
    // Backwards: a block's predecessor must still be ciphertext.
    for (let at = start + SECTOR_BYTES - BLOCK_BYTES; at >= start; at -= BLOCK_BYTES) {
      cipher(view, at, false);
      if (at === start) fillIv(sector, ivView);
      const previous = at === start ? iv : bytes.subarray(at - BLOCK_BYTES, at);
      for (let index = 0; index < BLOCK_BYTES; index++) bytes[at + index]! ^= previous[index]!;
    }
  };
}

function counting(cipher: NarrowTransform, fillIv: FillIv): Transform {
  const counter = new DataView(new ArrayBuffer(BLOCK_BYTES));
  const pad = new Uint8Array(BLOCK_BYTES);
  const padView = new DataView(pad.buffer);
  return (sector, bytes, _view, at) => {
    fillIv(sector, counter);
    for (const end = at + SECTOR_BYTES; at < end; at += BLOCK_BYTES) {
      const count = counter.getBigUint64(0);
      padView.setBigUint64(0, count);
      cipher(padView, 0, true);
      for (let index = 0; index < BLOCK_BYTES; index++) bytes[at + index]! ^= pad[index]!;
      counter.setBigUint64(0, count + 1n);
    }
  };
}
