// Cryptography of the host for the block layer, on node:crypto: hashes, key derivation and whole AES blocks. Modes with
// sectors (XTS, ESSIV) are put together from these by src/block.
import { createCipheriv, createDecipheriv, createHash, pbkdf2, randomFillSync } from 'node:crypto';
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { CipherName, Cryptography, HashName } from '../../ports/codec.ts';
import { plainBytes } from './plain-bytes.ts';

const AES_BLOCK = 16;

function cipher(mode: string, key: Uint8Array, iv: Uint8Array | null, source: Uint8Array, encrypt: boolean): Uint8Array {
  if (source.length % AES_BLOCK !== 0) throw new ErrnoFailure('EINVAL');
  const context = encrypt ? createCipheriv(mode, key, iv) : createDecipheriv(mode, key, iv);
  context.setAutoPadding(false);
  return plainBytes(context.update(source));
}

/** ripemd160 is in OpenSSL's legacy provider, which a host may lack. */
function hash(name: HashName, source: Uint8Array): Uint8Array {
  try {
    return plainBytes(createHash(name).update(source).digest());
  } catch (cause) {
    throw new Failure('unsupported', `Unsupported hash algorithm '${name}'`, { cause });
  }
}

function derive(name: HashName, password: Uint8Array, salt: Uint8Array, iterations: number, keyBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    pbkdf2(password, salt, iterations, keyBytes, name, (cause, key) => {
      if (cause === null) resolve(plainBytes(key));
      else reject(new Failure('unsupported', `PBKDF does not support hash algorithm ${name}`, { cause }));
    });
  });
}

export function nodeCryptography(): Cryptography {
  const ecb = (name: CipherName): string => `${name}-ecb`;
  const cbc = (name: CipherName): string => `${name}-cbc`;
  return {
    randomBytes: (count) => randomFillSync(new Uint8Array(count)),
    hash,
    pbkdf2: derive,
    ecb: (name, key, source, encrypt) => cipher(ecb(name), key, null, source, encrypt),
    blocks(name, key, encrypt) {
      const context = encrypt ? createCipheriv(ecb(name), key, null) : createDecipheriv(ecb(name), key, null);
      context.setAutoPadding(false);
      return (source) => context.update(source);
    },
    cbc: (name, key, iv, source, encrypt) => cipher(cbc(name), key, iv, source, encrypt),
    timeMs: () => performance.now(),
  };
}
