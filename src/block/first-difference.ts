// Where two buffers of the same length first differ: what blkverify and quorum report. Equal buffers, the usual case, are
// compared in words.

/** The index of the first byte that differs; undefined when there is none. */
export function firstDifference(a: Uint8Array, b: Uint8Array): number | undefined {
  const aligned = a.byteOffset % 4 === 0 && b.byteOffset % 4 === 0;
  const words = aligned ? a.length >> 2 : 0;
  const aWords = new Int32Array(a.buffer, aligned ? a.byteOffset : 0, words);
  const bWords = new Int32Array(b.buffer, aligned ? b.byteOffset : 0, words);
  let word = 0;
  while (word < words && aWords[word] === bWords[word]) word++;
  for (let at = word * 4; at < a.length; at++) if (a[at] !== b[at]) return at;
  return undefined;
}
