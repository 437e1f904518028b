// The anti-forensic splitter of LUKS1 (On-Disk Format Specification 1.2.3, section 2.4): a key is spread over many stripes so
// that the loss of any of them loses the key.
import { assert } from '../../base/assert.ts';
import type { Cryptography, HashName } from '../../ports/codec.ts';

/** The diffuser: every digest-sized piece becomes its hash, together with its index. */
function diffuse(cryptography: Cryptography, hash: HashName, block: Uint8Array): void {
  const digestBytes = cryptography.hash(hash, new Uint8Array(0)).length;
  for (let at = 0, index = 0; at < block.length; at += digestBytes, index++) {
    const piece = block.subarray(at, Math.min(at + digestBytes, block.length));
    const input = new Uint8Array(4 + piece.length);
    new DataView(input.buffer).setUint32(0, index);
    input.set(piece, 4);
    piece.set(cryptography.hash(hash, input).subarray(0, piece.length));
  }
}

function xorInto(target: Uint8Array, source: Uint8Array): void {
  for (let at = 0; at < target.length; at++) target[at] = target[at]! ^ source[at]!;
}

/** What all stripes but the last come down to. */
function fold(cryptography: Cryptography, hash: HashName, split: Uint8Array, keyBytes: number): Uint8Array {
  const block = new Uint8Array(keyBytes);
  for (let at = 0; at + keyBytes < split.length; at += keyBytes) {
    xorInto(block, split.subarray(at, at + keyBytes));
    diffuse(cryptography, hash, block);
  }
  return block;
}

export function splitKey(cryptography: Cryptography, hash: HashName, key: Uint8Array, stripes: number): Uint8Array {
  assert(stripes > 1, 'a key is split into several stripes');
  const split = cryptography.randomBytes(key.length * stripes);
  const last = fold(cryptography, hash, split, key.length);
  xorInto(last, key);
  split.set(last, split.length - key.length);
  return split;
}

export function mergeKey(cryptography: Cryptography, hash: HashName, split: Uint8Array, keyBytes: number): Uint8Array {
  assert(split.length % keyBytes === 0, 'stripes are as long as the key');
  const key = fold(cryptography, hash, split, keyBytes);
  xorInto(key, split.subarray(split.length - keyBytes));
  return key;
}
