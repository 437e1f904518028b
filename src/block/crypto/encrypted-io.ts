// Reading and writing encrypted sectors of a child node: ciphertext never reaches the caller's buffers on writing, nor plain
// text the file. Only for whole sectors.
import { after, type Eventual } from '../../base/eventual.ts';
import type { Edge } from '../node.ts';
import type { SectorCipher } from './sector-cipher.ts';

/** Bytes of ciphertext that are held at once. */
const BOUNCE_BYTES = 1 << 20;

export interface EncryptedRange {
  readonly file: Edge;
  readonly cipher: SectorCipher;
  /** Where in the file. */
  readonly fileOffset: number;
  /** What the IVs are made from. */
  readonly cipherOffset: number;
}

export function readEncrypted({ file, cipher, fileOffset, cipherOffset }: EncryptedRange, target: Uint8Array): Eventual<void> {
  return after(file.read(fileOffset, target), () => cipher.decrypt(cipherOffset, target));
}

export function writeEncrypted(range: EncryptedRange, source: Uint8Array, flags: number): Eventual<void> {
  if (source.length <= BOUNCE_BYTES) return writePart(range, source, 0, flags);
  return writeParts(range, source, flags);
}

function writePart(
  { file, cipher, fileOffset, cipherOffset }: EncryptedRange,
  source: Uint8Array,
  at: number,
  flags: number,
): Eventual<void> {
  const encrypted = new Uint8Array(source.length);
  cipher.encrypt(cipherOffset + at, source, encrypted);
  return file.write(fileOffset + at, encrypted, flags);
}

async function writeParts(range: EncryptedRange, source: Uint8Array, flags: number): Promise<void> {
  for (let at = 0; at < source.length; at += BOUNCE_BYTES) {
    await writePart(range, source.subarray(at, Math.min(at + BOUNCE_BYTES, source.length)), at, flags);
  }
}
