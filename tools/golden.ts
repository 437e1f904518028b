// Writes the golden texts of the translator again (test/golden/*.txt) and says how the sizes changed: `npm run golden`.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { GoldenBench, goldenFile } from '../test/golden/golden.ts';
import { IDIOMS } from '../test/golden/idioms.ts';

/** Bytes of code of all functions in a golden text. */
const sizeOf = (text: string): number => [...text.matchAll(/;; (\d+) bytes of code/g)].reduce((sum, [, bytes]) => sum + Number(bytes), 0);

const bench = new GoldenBench();
let before = 0;
let after = 0;
for (const idiom of IDIOMS) {
  const file = goldenFile(idiom.name);
  const text = bench.text(idiom);
  const [old, now] = [existsSync(file) ? sizeOf(readFileSync(file, 'utf8')) : 0, sizeOf(text)];
  writeFileSync(file, text);
  process.stdout.write(`${idiom.name.padEnd(20)} ${String(old).padStart(6)} ${String(now).padStart(6)} bytes\n`);
  [before, after] = [before + old, after + now];
}
process.stdout.write(`${'all'.padEnd(20)} ${String(before).padStart(6)} ${String(after).padStart(6)} bytes\n`);
