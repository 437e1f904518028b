// Whether bytes are all zero: asked for nearly every cluster that is written or converted, so the platform may install a
// faster test (a memcmp against a zero buffer runs at memory speed). The default is plain loops over words.

export type ZeroTest = (bytes: Uint8Array) => boolean;

function wordLoop(bytes: Uint8Array): boolean {
  let at = 0;
  const { byteOffset, length } = bytes;
  while (at < length && (byteOffset + at) % 4 !== 0) if (bytes[at++] !== 0) return false;
  const words = new Int32Array(bytes.buffer, byteOffset + at, (length - at) >> 2);
  for (let index = 0; index < words.length; index++) if (words[index] !== 0) return false;
  for (at += words.length * 4; at < length; at++) if (bytes[at] !== 0) return false;
  return true;
}

let test: ZeroTest = wordLoop;

export function isZero(bytes: Uint8Array): boolean {
  return test(bytes);
}

/** The platform's own test. */
export function installZeroTest(next: ZeroTest): void {
  test = next;
}
