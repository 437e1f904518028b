// The block cipher Twofish (Schneier, Kelsey, Whiting, Wagner, Hall, Ferguson: "Twofish: A 128-Bit Block Cipher", 1998). The
// key-dependent substitutions and the MDS matrix are put into four tables for each key. Modes of operation are sector-cipher.ts.
import type { BlockTransform } from './block-transform.ts';

const ROUNDS = 16;
const RHO = 0x01010101;
const MDS_POLYNOMIAL = 0x169;
const RS_POLYNOMIAL = 0x14d;

/** Section 4.3.5: the four 4-bit permutations of q0 and of q1. */
// prettier-ignore
const NIBBLES: readonly (readonly string[])[] = [
  ['817d6f320b59eca4', 'ecb81235f4a6709d', 'ba5e6d90c8f32471', 'd7f4126e9b3085ca'],
  ['28bdf76e31940ac5', '1e2b4c376da5f908', '4c75169a0ed82b3f', 'b951c3de647f208a'],
];

/** Section 4.3.2; rows. */
// prettier-ignore
const MDS = [
  [0x01, 0xef, 0x5b, 0x5b],
  [0x5b, 0xef, 0xef, 0x01],
  [0xef, 0x5b, 0x01, 0xef],
  [0xef, 0x01, 0xef, 0x5b],
];

/** Section 4.3; rows. */
// prettier-ignore
const RS = [
  [0x01, 0xa4, 0x55, 0x87, 0x5a, 0x58, 0xdb, 0x9e],
  [0xa4, 0x56, 0x82, 0xf3, 0x1e, 0xc6, 0x68, 0xe5],
  [0x02, 0xa1, 0xfc, 0xc1, 0x47, 0xae, 0x3d, 0x19],
  [0xa4, 0x55, 0x87, 0x5a, 0x58, 0xdb, 0x9e, 0x03],
];

/** Which of q0 and q1 the four bytes go through: the innermost (of 256-bit keys) first, the outermost last. Section 4.3.2. */
// prettier-ignore
const Q_OF_BYTE = [
  [1, 0, 0, 1],
  [1, 1, 0, 0],
  [0, 1, 0, 1],
  [0, 0, 1, 1],
  [1, 0, 1, 0],
];

function permutation(tables: readonly string[]): Uint8Array {
  const nibble = (table: number, index: number): number => parseInt(tables[table]![index]!, 16);
  const half = (table: number, x: number): [number, number] => {
    const a = x >> 4, b = x & 15;
    const turned = ((b >> 1) | (b << 3)) & 15;
    return [nibble(table, a ^ b), nibble(table + 1, a ^ turned ^ ((8 * a) & 15))];
  };
  return Uint8Array.from({ length: 256 }, (_, x) => {
    const [a, b] = half(0, x);
    const [high, low] = half(2, (a << 4) | b);
    return (low << 4) | high;
  });
}

const Q = NIBBLES.map(permutation);

/** A product in GF(2^8). */
function multiply(a: number, b: number, polynomial: number): number {
  let product = 0;
  for (let x = a, y = b; y !== 0; y >>= 1) {
    if (y & 1) product ^= x;
    x <<= 1;
    if (x & 0x100) x ^= polynomial;
  }
  return product;
}

/** What byte `column` contributes to the product with the MDS matrix. */
const mdsColumn = (column: number, byte: number): number =>
  MDS.reduce((word, row, index) => word | (multiply(row[column]!, byte, MDS_POLYNOMIAL) << (8 * index)), 0);

/** Byte `index` of h before the matrix; `bytes` are the key's bytes for this place, outermost first. */
function substituted(index: number, byte: number, keyBytes: readonly number[]): number {
  let value = byte;
  for (let depth = keyBytes.length - 1; depth >= 0; depth--) value = Q[Q_OF_BYTE[3 - depth]![index]!]![value]! ^ keyBytes[depth]!;
  return Q[Q_OF_BYTE[4]![index]!]![value]!;
}

/** The function h of section 4.3.2 for the four equal bytes `byte`; `words` are those of the key. */
function h(byte: number, words: readonly Uint8Array[]): number {
  let result = 0;
  for (let index = 0; index < 4; index++) {
    result ^= mdsColumn(index, substituted(index, byte, words.map((word) => word[index]!))); // prettier-ignore
  }
  return result;
}

const rotl = (value: number, count: number): number => (value << count) | (value >>> (32 - count));

interface Schedule {
  readonly keys: Int32Array;
  /** The function g, a table for each byte of its word. */
  readonly tables: readonly Int32Array[];
}

function schedule(key: Uint8Array): Schedule {
  const even: Uint8Array[] = [], odd: Uint8Array[] = [], vector: Uint8Array[] = [];
  for (let at = 0; at < key.length; at += 8) {
    even.push(key.subarray(at, at + 4));
    odd.push(key.subarray(at + 4, at + 8));
    const code = RS.map((row) => row.reduce((sum, factor, column) => sum ^ multiply(factor, key[at + column]!, RS_POLYNOMIAL), 0));
    vector.unshift(Uint8Array.from(code));
  }
  const keys = new Int32Array(2 * ROUNDS + 8);
  for (let at = 0; at < keys.length; at += 2) {
    const a = h(at, even), b = rotl(h(at + 1, odd), 8);
    keys[at] = a + b;
    keys[at + 1] = rotl((a + 2 * b) | 0, 9);
  }
  const tables = [0, 1, 2, 3].map((index) => {
    const keyBytes = vector.map((word) => word[index]!);
    return Int32Array.from({ length: 256 }, (_, byte) => mdsColumn(index, substituted(index, byte, keyBytes)));
  });
  return { keys, tables };
}

export function twofish(key: Uint8Array): BlockTransform {
  const { keys, tables } = schedule(key);
  const [t0, t1, t2, t3] = tables as [Int32Array, Int32Array, Int32Array, Int32Array];
  const g = (x: number): number => t0[x & 255]! ^ t1[(x >>> 8) & 255]! ^ t2[(x >>> 16) & 255]! ^ t3[x >>> 24]!;
  const encryptBlock = (words: Int32Array, at: number): void => {
    let a = words[at]! ^ keys[0]!, b = words[at + 1]! ^ keys[1]!, c = words[at + 2]! ^ keys[2]!, d = words[at + 3]! ^ keys[3]!;
    for (let round = 0; round < ROUNDS; round++) {
      const x = g(a), y = g(rotl(b, 8));
      const nextA = c ^ (x + y + keys[2 * round + 8]!), nextB = rotl(d, 1) ^ (x + 2 * y + keys[2 * round + 9]!);
      c = a;
      d = b;
      a = rotl(nextA, 31);
      b = nextB;
    }
    words[at] = c ^ keys[4]!;
    words[at + 1] = d ^ keys[5]!;
    words[at + 2] = a ^ keys[6]!;
    words[at + 3] = b ^ keys[7]!;
  };
  const decryptBlock = (words: Int32Array, at: number): void => {
    let c = words[at]! ^ keys[4]!, d = words[at + 1]! ^ keys[5]!, a = words[at + 2]! ^ keys[6]!, b = words[at + 3]! ^ keys[7]!;
    for (let round = ROUNDS - 1; round >= 0; round--) {
      const x = g(c), y = g(rotl(d, 8));
      const formerC = rotl(a, 1) ^ (x + y + keys[2 * round + 8]!), formerD = rotl(b ^ (x + 2 * y + keys[2 * round + 9]!), 31);
      a = c;
      b = d;
      c = formerC;
      d = formerD;
    }
    words[at] = a ^ keys[0]!;
    words[at + 1] = b ^ keys[1]!;
    words[at + 2] = c ^ keys[2]!;
    words[at + 3] = d ^ keys[3]!;
  };
  return (words, at, encrypt) => (encrypt ? encryptBlock(words, at) : decryptBlock(words, at));
}
