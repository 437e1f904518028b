// Whether bytes are equal: asked for whole images, so the platform may install a faster test, as for zeroes (zero.ts).

/** Of the bytes from `start` to `end` - 1 of both. */
export type EqualityTest = (a: Uint8Array, b: Uint8Array, start: number, end: number) => boolean;

function equalWords(a: Uint8Array, b: Uint8Array, start: number, end: number): boolean {
  const isAligned = (a.byteOffset + start) % 4 === 0 && (b.byteOffset + start) % 4 === 0;
  const words = isAligned ? (end - start) >> 2 : 0;
  const left = new Int32Array(a.buffer, isAligned ? a.byteOffset + start : 0, words);
  const right = new Int32Array(b.buffer, isAligned ? b.byteOffset + start : 0, words);
  for (let index = 0; index < words; index++) if (left[index] !== right[index]) return false;
  for (let at = start + words * 4; at < end; at++) if (a[at] !== b[at]) return false;
  return true;
}

let test: EqualityTest = equalWords;

/** Most buffers that differ do so in their first bytes. */
export function equalBytes(a: Uint8Array, b: Uint8Array, start: number, end: number): boolean {
  if (start < end && a[start] !== b[start]) return false;
  return test(a, b, start, end);
}

/** The platform's own test. */
export function installEqualityTest(next: EqualityTest): void {
  test = next;
}
