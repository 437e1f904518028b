// CAST-128 with keys of 128 bits, also called CAST5-128 (RFC 2144): a cipher with blocks of 8 bytes, kept for old LUKS volumes.
import { castBoxes } from './cast5-boxes.ts';

/** One block of 8 bytes in `view` at `at`, changed in place. */
export type NarrowTransform = (view: DataView, at: number, encrypt: boolean) => void;

const ROUNDS = 16;

/** Which bytes of the intermediate keys choose the entries of S5 to S8, and of which box the fifth is (section 2.4). */
type Row = readonly [s5: number, s6: number, s7: number, s8: number, fifthBox: number, fifth: number];

/** The target's word, the word of the other key that it begins with, and the row; bytes below 16 are x's, from 16 on z's. */
type Step = readonly [target: number, start: number, row: Row];

const X = 0;
const Z = 16;

// prettier-ignore
const X_TO_Z: readonly Step[] = [
  [0, 0, [X + 0xd, X + 0xf, X + 0xc, X + 0xe, 7, X + 0x8]],
  [1, 2, [Z + 0x0, Z + 0x2, Z + 0x1, Z + 0x3, 8, X + 0xa]],
  [2, 3, [Z + 0x7, Z + 0x6, Z + 0x5, Z + 0x4, 5, X + 0x9]],
  [3, 1, [Z + 0xa, Z + 0x9, Z + 0xb, Z + 0x8, 6, X + 0xb]],
];
// prettier-ignore
const Z_TO_X: readonly Step[] = [
  [0, 2, [Z + 0x5, Z + 0x7, Z + 0x4, Z + 0x6, 7, Z + 0x0]],
  [1, 0, [X + 0x0, X + 0x2, X + 0x1, X + 0x3, 8, Z + 0x2]],
  [2, 1, [X + 0x7, X + 0x6, X + 0x5, X + 0x4, 5, Z + 0x1]],
  [3, 3, [X + 0xa, X + 0x9, X + 0xb, X + 0x8, 6, Z + 0x3]],
];
/** K1 to K16, four after each of the steps above; K17 to K32 once more the same. */
// prettier-ignore
const SUBKEYS: readonly (readonly Row[])[] = [
  [[Z + 0x8, Z + 0x9, Z + 0x7, Z + 0x6, 5, Z + 0x2], [Z + 0xa, Z + 0xb, Z + 0x5, Z + 0x4, 6, Z + 0x6],
   [Z + 0xc, Z + 0xd, Z + 0x3, Z + 0x2, 7, Z + 0x9], [Z + 0xe, Z + 0xf, Z + 0x1, Z + 0x0, 8, Z + 0xc]],
  [[X + 0x3, X + 0x2, X + 0xc, X + 0xd, 5, X + 0x8], [X + 0x1, X + 0x0, X + 0xe, X + 0xf, 6, X + 0xd],
   [X + 0x7, X + 0x6, X + 0x8, X + 0x9, 7, X + 0x3], [X + 0x5, X + 0x4, X + 0xa, X + 0xb, 8, X + 0x7]],
  [[Z + 0x3, Z + 0x2, Z + 0xc, Z + 0xd, 5, Z + 0x9], [Z + 0x1, Z + 0x0, Z + 0xe, Z + 0xf, 6, Z + 0xc],
   [Z + 0x7, Z + 0x6, Z + 0x8, Z + 0x9, 7, Z + 0x2], [Z + 0x5, Z + 0x4, Z + 0xa, Z + 0xb, 8, Z + 0x6]],
  [[X + 0x8, X + 0x9, X + 0x7, X + 0x6, 5, X + 0x3], [X + 0xa, X + 0xb, X + 0x5, X + 0x4, 6, X + 0x7],
   [X + 0xc, X + 0xd, X + 0x3, X + 0x2, 7, X + 0x8], [X + 0xe, X + 0xf, X + 0x1, X + 0x0, 8, X + 0xd]],
];

/** Masking keys, then rotation keys. */
function expandKey(key: Uint8Array): Int32Array {
  const [, , , , s5, s6, s7, s8] = castBoxes() as Int32Array[];
  const fifthBoxes = [s5!, s6!, s7!, s8!];
  const bytes = new Uint8Array(32);
  bytes.set(key);
  const view = new DataView(bytes.buffer);
  const mixed = ([a, b, c, d, box, e]: Row): number =>
    s5![bytes[a]!]! ^ s6![bytes[b]!]! ^ s7![bytes[c]!]! ^ s8![bytes[d]!]! ^ fifthBoxes[box - 5]![bytes[e]!]!;
  const keys = new Int32Array(2 * ROUNDS);
  for (let at = 0; at < keys.length; at += 4) {
    const group = (at / 4) % 4;
    const toZ = group % 2 === 0;
    const [steps, from, to] = toZ ? [X_TO_Z, X, Z] : [Z_TO_X, Z, X];
    for (const [target, start, row] of steps) view.setInt32(to + 4 * target, view.getInt32(from + 4 * start) ^ mixed(row));
    for (const [index, row] of SUBKEYS[group]!.entries()) keys[at + index] = mixed(row);
  }
  return keys;
}

const rotate = (word: number, bits: number): number => (word << (bits & 31)) | (word >>> (-bits & 31));

/** The round function of its type (section 2.2). */
function roundValue([s1, s2, s3, s4]: readonly Int32Array[], data: number, round: number, keys: Int32Array): number {
  const mask = keys[round]!;
  const type = round % 3;
  const word = rotate(type === 0 ? mask + data : type === 1 ? mask ^ data : mask - data, keys[ROUNDS + round]!);
  const a = s1![word >>> 24]!, b = s2![(word >>> 16) & 255]!, c = s3![(word >>> 8) & 255]!, d = s4![word & 255]!;
  if (type === 0) return ((a ^ b) - c + d) | 0;
  return type === 1 ? ((a - b + c) | 0) ^ d : (((a + b) | 0) ^ c) - d;
}

export function cast5(key: Uint8Array): NarrowTransform {
  const boxes = castBoxes();
  const keys = expandKey(key);
  return (view, at, encrypt) => {
    let left = view.getInt32(at), right = view.getInt32(at + 4);
    for (let index = 0; index < ROUNDS; index++) {
      const next = left ^ roundValue(boxes, right, encrypt ? index : ROUNDS - 1 - index, keys);
      left = right;
      right = next;
    }
    view.setInt32(at, right);
    view.setInt32(at + 4, left);
  };
}
