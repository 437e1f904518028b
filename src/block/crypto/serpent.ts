// The block cipher Serpent (Anderson, Biham, Knudsen: "Serpent: A Proposal for the Advanced Encryption Standard", 1998), in its
// bitsliced form: a block is four words, and a substitution is done for the 32 nibbles across them at once. Modes of operation
// are sector-cipher.ts.
import type { BlockTransform } from './block-transform.ts';

const ROUNDS = 32;
const PHI = 0x9e3779b9;

// prettier-ignore
const SUBSTITUTIONS: readonly (readonly number[])[] = [
  [3, 8, 15, 1, 10, 6, 5, 11, 14, 13, 4, 2, 7, 0, 9, 12],
  [15, 12, 2, 7, 9, 0, 5, 10, 1, 11, 14, 8, 6, 13, 3, 4],
  [8, 6, 7, 9, 3, 12, 10, 15, 13, 1, 14, 4, 0, 11, 5, 2],
  [0, 15, 11, 8, 12, 9, 6, 3, 13, 1, 2, 4, 10, 7, 5, 14],
  [1, 15, 8, 3, 12, 0, 11, 6, 2, 5, 4, 10, 9, 14, 7, 13],
  [15, 5, 2, 11, 4, 10, 9, 12, 0, 3, 14, 8, 13, 6, 7, 1],
  [7, 2, 12, 5, 8, 4, 6, 11, 14, 9, 1, 15, 13, 3, 10, 0],
  [1, 13, 15, 0, 14, 8, 2, 11, 7, 4, 12, 10, 9, 3, 5, 6],
];

const inverted = (table: readonly number[]): number[] => table.map((_, value) => table.indexOf(value));

/**
 * A substitution as sums of products of its input bits: 15 masks (the products in the order of their bit sets: 0 for the constant,
 * 1 for a, 2 for b, 3 for ab, …) for each output bit. A product of all four bits never occurs, since a permutation is even.
 */
function products(table: readonly number[]): Int32Array {
  const masks = new Int32Array(4 * 15);
  for (let output = 0; output < 4; output++) {
    for (let set = 0; set < 15; set++) {
      let sum = 0; // Moebius transform: a coefficient is the sum over all subsets
      for (let input = 0; input < 16; input++) if ((input & ~set) === 0) sum ^= (table[input]! >> output) & 1;
      masks[output * 15 + set] = -sum;
    }
  }
  return masks;
}

const FORWARD = SUBSTITUTIONS.map(products);
const BACKWARD = SUBSTITUTIONS.map((table) => products(inverted(table)));

/** The words of `x` through a substitution. */
function substitute(m: Int32Array, x: Int32Array): void {
  const a = x[0]!, b = x[1]!, c = x[2]!, d = x[3]!;
  const ab = a & b, ac = a & c, bc = b & c, ad = a & d, bd = b & d, cd = c & d;
  const abc = ab & c, abd = ab & d, acd = ac & d, bcd = bc & d;
  for (let output = 0, at = 0; output < 4; output++, at += 15) {
    x[output] =
      m[at]! ^ (a & m[at + 1]!) ^ (b & m[at + 2]!) ^ (ab & m[at + 3]!) ^ (c & m[at + 4]!) ^ (ac & m[at + 5]!) ^ (bc & m[at + 6]!) ^
      (abc & m[at + 7]!) ^ (d & m[at + 8]!) ^ (ad & m[at + 9]!) ^ (bd & m[at + 10]!) ^ (abd & m[at + 11]!) ^ (cd & m[at + 12]!) ^
      (acd & m[at + 13]!) ^ (bcd & m[at + 14]!); // prettier-ignore
  }
}

const rotl = (value: number, count: number): number => (value << count) | (value >>> (32 - count));

function mix(x: Int32Array): void {
  const a = rotl(x[0]!, 13), c = rotl(x[2]!, 3);
  const b = rotl(x[1]! ^ a ^ c, 1), d = rotl(x[3]! ^ c ^ (a << 3), 7);
  x[0] = rotl(a ^ b ^ d, 5);
  x[1] = b;
  x[2] = rotl(c ^ d ^ (b << 7), 22);
  x[3] = d;
}

function unmix(x: Int32Array): void {
  const b = x[1]!, d = x[3]!;
  const c = rotl(x[2]!, 10) ^ d ^ (b << 7), a = rotl(x[0]!, 27) ^ b ^ d;
  x[0] = rotl(a, 19);
  x[1] = rotl(b, 31) ^ a ^ c;
  x[2] = rotl(c, 29);
  x[3] = rotl(d, 25) ^ c ^ (a << 3);
}

/** 33 round keys of four words. A key shorter than 256 bits gets a one bit, then zeroes. */
function expandKey(key: Uint8Array): Int32Array {
  const padded = new Uint8Array(32);
  padded.set(key);
  if (key.length < 32) padded[key.length] = 1;
  const words = new Int32Array(8 + 4 * (ROUNDS + 1));
  words.set(new Int32Array(padded.buffer));
  for (let at = 8; at < words.length; at++) {
    words[at] = rotl(words[at - 8]! ^ words[at - 5]! ^ words[at - 3]! ^ words[at - 1]! ^ PHI ^ (at - 8), 11);
  }
  const keys = words.slice(8);
  for (let round = 0; round <= ROUNDS; round++) substitute(FORWARD[(ROUNDS + 3 - round) % 8]!, keys.subarray(round * 4, round * 4 + 4));
  return keys;
}

function addKey(x: Int32Array, keys: Int32Array, round: number): void {
  for (let word = 0; word < 4; word++) x[word]! ^= keys[round * 4 + word]!;
}

function encryptBlock(x: Int32Array, keys: Int32Array): void {
  for (let round = 0; round < ROUNDS; round++) {
    addKey(x, keys, round);
    substitute(FORWARD[round % 8]!, x);
    if (round < ROUNDS - 1) mix(x);
  }
  addKey(x, keys, ROUNDS);
}

function decryptBlock(x: Int32Array, keys: Int32Array): void {
  addKey(x, keys, ROUNDS);
  for (let round = ROUNDS - 1; round >= 0; round--) {
    if (round < ROUNDS - 1) unmix(x);
    substitute(BACKWARD[round % 8]!, x);
    addKey(x, keys, round);
  }
}

export function serpent(key: Uint8Array): BlockTransform {
  const keys = expandKey(key);
  const block = new Int32Array(4);
  return (words, at, encrypt) => {
    for (let word = 0; word < 4; word++) block[word] = words[at + word]!;
    if (encrypt) encryptBlock(block, keys);
    else decryptBlock(block, keys);
    words.set(block, at);
  };
}
