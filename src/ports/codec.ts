// Compression and cryptography of the host, as the block layer uses them. Interfaces only. A result may come at once or
// through a thread pool; a decoder's output is bounded by what the caller expects, whatever the stream says.
import type { Eventual } from '../base/eventual.ts';

export interface Compression {
  /** Raw deflate (RFC 1951) with the given window; undefined when the result would not be smaller than `maxBytes`. */
  deflateRaw(source: Uint8Array, windowBits: number, maxBytes: number): Eventual<Uint8Array | undefined>;
  /** Decodes exactly `targetBytes` of a raw deflate stream, ignoring what follows. Failure 'corrupt' when it ends or breaks before. */
  inflateRaw(source: Uint8Array, windowBits: number, targetBytes: number): Eventual<Uint8Array>;
  /** zlib framing (RFC 1950), for dmg, cloop, vmdk. */
  deflateZlib(source: Uint8Array): Eventual<Uint8Array>;
  inflateZlib(source: Uint8Array, targetBytes: number): Eventual<Uint8Array>;
  /** Zstandard (RFC 8878); Failure 'unsupported' where the host has none. */
  zstdCompress(source: Uint8Array, maxBytes: number): Eventual<Uint8Array | undefined>;
  zstdDecompress(source: Uint8Array, targetBytes: number): Eventual<Uint8Array>;
  bunzip2?(source: Uint8Array, targetBytes: number): Eventual<Uint8Array>;
}

export type HashName = 'md5' | 'sha1' | 'sha224' | 'sha256' | 'sha384' | 'sha512' | 'ripemd160';
export type CipherName = 'aes-128' | 'aes-192' | 'aes-256';

export interface Cryptography {
  randomBytes(count: number): Uint8Array;
  hash(name: HashName, source: Uint8Array): Uint8Array;
  pbkdf2(hash: HashName, password: Uint8Array, salt: Uint8Array, iterations: number, keyBytes: number): Eventual<Uint8Array>;
  /** Whole 16-byte blocks, each for itself. */
  ecb(cipher: CipherName, key: Uint8Array, source: Uint8Array, encrypt: boolean): Uint8Array;
  /** The same with the key already set up, for many small calls. */
  blocks?(cipher: CipherName, key: Uint8Array, encrypt: boolean): (source: Uint8Array) => Uint8Array;
  /** Whole 16-byte blocks, chained from `iv`. */
  cbc(cipher: CipherName, key: Uint8Array, iv: Uint8Array, source: Uint8Array, encrypt: boolean): Uint8Array;
  /** Milliseconds of processor time or of a monotonic clock, for choosing iteration counts. */
  timeMs(): number;
}
