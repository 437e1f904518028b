// A cheap guess whether bytes are worth compressing: encrypted, random and compressed data are not, and a compressor takes longest
// to find that out. Only what looks random in every way is refused: all byte values equally often in a sample, and no word of
// another sample twice. A wrong guess costs space, never data.

/**
 * Bytes that are counted: with so many, values so uneven that coding them would save three thousandths of the space are noticed.
 */
const SAMPLE_BYTES = 4096;
/** A few of them rule out most that is not random. */
const FIRST_SAMPLE_BYTES = 1024;
/** Fewer bytes than this are left to the compressor, which is quick with them. */
const MIN_BYTES = 16384;
/** Bounds of chi squared with 255 degrees of freedom, six standard deviations (22.6) to both sides of its mean. */
const MIN_CHI_SQUARED = 255 - 6 * 22.6;
const MAX_CHI_SQUARED = 255 + 6 * 22.6;
/** Repetitions are looked for in a quarter of the words: one of the four windows of 256 bytes in each kilobyte. */
const WINDOW_WORDS = 64;
const STRIDE_WORDS = 256;
/** Of those, words with these lowest bits are remembered, one in 8: the same ones wherever a part of the data is repeated. */
const PICK_MASK = 7;
const PICKED = 5;
const TABLE_BITS = 10;

const counts = new Int32Array(256);
/** Where a word was seen, counted through all data ever looked at: what lies before `tableBase` is of earlier data. */
const table = new Int32Array(1 << TABLE_BITS);
let tableBase = 1;

/** False when in doubt, and for what is not aligned to words or small. */
export function looksIncompressible(bytes: Uint8Array): boolean {
  if (bytes.length < MIN_BYTES || bytes.byteOffset % 4 !== 0) return false;
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  return isUniform(words, FIRST_SAMPLE_BYTES) && isUniform(words, SAMPLE_BYTES) && !hasRepetitions(words);
}

function isUniform(words: Int32Array, sampleBytes: number): boolean {
  counts.fill(0);
  const sampled = sampleBytes / 4;
  // An odd step, because data likes to be structured in powers of two.
  const step = (Math.floor(words.length / sampled) - 1) | 1;
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

/** Two random words are equal once in four thousand million times, so one pair among those picked says enough. */
function hasRepetitions(words: Int32Array): boolean {
  const base = newTable(words.length);
  for (let start = 0; start + STRIDE_WORDS <= words.length; start += STRIDE_WORDS) {
    const first = start + windowOf(start) * WINDOW_WORDS;
    for (let at = first; at < first + WINDOW_WORDS; at++) {
      const word = words[at]!;
      if ((word & PICK_MASK) !== PICKED) continue;
      const slot = Math.imul(word, 0x9e3779b1) >>> (32 - TABLE_BITS);
      const seen = table[slot]! - base;
      if (seen >= 0 && words[seen] === word) return true;
      table[slot] = base + at;
    }
  }
  return false;
}

/** One of the four, without any order that a repetition at some distance could always slip through. */
function windowOf(start: number): number {
  const mixed = Math.imul(start, 0x9e3779b1);
  return Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97) >>> 30;
}

/** Clearing it would take longer than using it. */
function newTable(words: number): number {
  if (tableBase + words > 0x7fffffff) {
    table.fill(0);
    tableBase = 1;
  }
  const base = tableBase;
  tableBase += words;
  return base;
}
