// A cheap guess whether bytes are worth compressing: encrypted, random and compressed data are not, and a compressor takes longest
// to find that out. Only what looks random in every way is refused: all byte values equally often, and no word twice in the same
// place of a small table. A wrong guess costs space, never data.

/** Bytes that are counted; fewer say too little about 256 values. A few of them rule out most that is not random. */
const SAMPLE_BYTES = 16384;
const FIRST_SAMPLE_BYTES = 2048;
/** Bounds of chi squared with 255 degrees of freedom, six standard deviations (22.6) to both sides of its mean. */
const MIN_CHI_SQUARED = 255 - 6 * 22.6;
const MAX_CHI_SQUARED = 255 + 6 * 22.6;
const TABLE_BITS = 12;
const MAX_REPEATED_WORDS = 3;

const counts = new Uint16Array(256);
const table = new Int32Array(1 << TABLE_BITS);

/** False when in doubt, and for what is not aligned to words or smaller than the sample. */
export function looksIncompressible(bytes: Uint8Array): boolean {
  if (bytes.length < SAMPLE_BYTES || bytes.byteOffset % 4 !== 0) return false;
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  return isUniform(words, FIRST_SAMPLE_BYTES) && isUniform(words, SAMPLE_BYTES) && !hasRepetitions(words);
}

function isUniform(words: Int32Array, sampleBytes: number): boolean {
  counts.fill(0);
  const sampled = sampleBytes / 4;
  const step = Math.floor(words.length / sampled);
  for (let index = 0, at = 0; index < sampled; index++, at += step) {
    const word = words[at]!;
    counts[word & 255]!++;
    counts[(word >>> 8) & 255]!++;
    counts[(word >>> 16) & 255]!++;
    counts[word >>> 24]!++;
  }
  const expected = sampleBytes / 256;
  let sum = 0;
  for (let value = 0; value < 256; value++) sum += (counts[value]! - expected) ** 2;
  const chiSquared = sum / expected;
  return chiSquared > MIN_CHI_SQUARED && chiSquared < MAX_CHI_SQUARED;
}

/** A word that was seen a short while ago, again and again. */
function hasRepetitions(words: Int32Array): boolean {
  table.fill(0);
  let repeated = 0;
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    const slot = Math.imul(word, 0x9e3779b1) >>> (32 - TABLE_BITS);
    if (table[slot] === word) repeated++;
    else table[slot] = word;
  }
  return repeated > MAX_REPEATED_WORDS;
}
