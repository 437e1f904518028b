// Runs a fuzzer: `npm run fuzz -- NAME [--seed N] [--cases N] [--seconds N] [--first N]`, `smoke` for all of them briefly, `--list`
// for their names. A failure prints the command that repeats it; the exit status is then 1. The table is tools/fuzzers.ts.
import { describeOutcome, FUZZERS, smoke } from './fuzzers.ts';

const OPTIONS = ['seed', 'cases', 'seconds', 'first'] as const;
type Options = Partial<Record<(typeof OPTIONS)[number], number>>;

const print = (line: string): void => void process.stdout.write(`${line}\n`);

function list(): number {
  for (const [name, { what, cases }] of Object.entries(FUZZERS)) print(`${name.padEnd(12)} ${what} (${cases} cases)`);
  print(`${'smoke'.padEnd(12)} all of them briefly`);
  return 0;
}

/** undefined when the words cannot be understood. */
function parse(words: readonly string[]): { readonly name: string; readonly options: Options } | undefined {
  const [name, ...rest] = words;
  const options: Options = {};
  for (let n = 0; n < rest.length; n += 2) {
    const option = OPTIONS.find((known) => rest[n] === `--${known}`);
    const value = Number(rest[n + 1]);
    if (option === undefined || !Number.isSafeInteger(value) || value < 0) return undefined;
    options[option] = value;
  }
  return name === undefined || (name !== 'smoke' && FUZZERS[name] === undefined) ? undefined : { name, options };
}

async function main(words: readonly string[]): Promise<number> {
  if (words[0] === '--list') return list();
  const wanted = parse(words);
  if (wanted === undefined) {
    process.stderr.write('usage: npm run fuzz -- NAME [--seed N] [--cases N] [--seconds N] [--first N]; --list shows the names\n');
    return 1;
  }
  const { seed = Date.now() % 1_000_000_000, seconds, first = 0 } = wanted.options;
  if (wanted.name === 'smoke') {
    const results = await smoke(seed);
    for (const { name, outcome, isGood } of results) print(isGood ? `${name}: good` : describeOutcome(name, outcome));
    return results.every(({ isGood }) => isGood) ? 0 : 1;
  }
  const fuzzer = FUZZERS[wanted.name]!;
  // Asked for a time and not for a number, it runs for that time.
  const cases = wanted.options.cases ?? (seconds === undefined ? fuzzer.cases : Number.MAX_SAFE_INTEGER);
  const endMs = seconds === undefined ? Infinity : Date.now() + 1000 * seconds;
  print(`${wanted.name}: seed ${seed}`);
  const outcome = await fuzzer.run({ seed, first, cases, isTimeUp: () => Date.now() >= endMs });
  print(describeOutcome(wanted.name, outcome));
  return outcome.failing === undefined ? 0 : 1;
}

process.exit(await main(process.argv.slice(2)));
