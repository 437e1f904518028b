// Whether bytes are all zero: asked for nearly every cluster that is written or converted, so the platform may install a
// faster test (a memcmp against a zero buffer runs at memory speed). The default is plain loops over words.

/** Of the bytes from `start` to `end` - 1. */
export type ZeroTest = (bytes: Uint8Array, start: number, end: number) => boolean;

function wordLoop(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  const { byteOffset } = bytes;
  while (at < end && (byteOffset + at) % 4 !== 0) if (bytes[at++] !== 0) return false;
  const words = new Int32Array(bytes.buffer, byteOffset + at, (end - at) >> 2);
  for (let index = 0; index < words.length; index++) if (words[index] !== 0) return false;
  for (at += words.length * 4; at < end; at++) if (bytes[at] !== 0) return false;
  return true;
}

let test: ZeroTest = wordLoop;

/** A part is named by its bounds rather than by a view of it: making one takes longer than looking at a few kilobytes. */
export function isZero(bytes: Uint8Array, start = 0, end = bytes.length): boolean {
  if (start < end && bytes[start] !== 0) return false;
  return test(bytes, start, end);
}

/** The platform's own test. */
export function installZeroTest(next: ZeroTest): void {
  test = next;
}
