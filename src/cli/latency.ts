// `nandu latency`: where the time of a disk's requests goes. Boots a guest that measures (latency/measure.ts), or reads a trace; prints
// tables, JSON or a page. The analysis is trace/request-latency.ts, the words are latency/options.ts.
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure } from '../base/failure.ts';
import { systemErrorText } from '../platform/node/system-error.ts';
import { LATENCY_EVENTS, requestLives } from '../trace/request-latency.ts';
import { LATENCY_HELP, parseLatency, passesCache, SCRATCH_BYTES, titleOf, workloadOf, type LatencyRequest } from './latency/options.ts';
import { plainTotals, summarize, summarizeMeasured, type Summary } from './latency/summary.ts';
import { summaryText } from './latency/text.ts';
import { checkOutput, writeOutput } from './output-file.ts';
import { readTraceFile } from './trace.ts';

/** The layers must explain the total, and the stamps the guest's own clock, to this. */
const UNEXPLAINED_PERCENT_MAX = 2;

export async function runLatency(words: readonly string[], out: (text: string) => void): Promise<number> {
  const request = parseLatency(words);
  if (request.help) {
    out(`${LATENCY_HELP}  nandu-system-x86_64 ... ${LATENCY_EVENTS.map((pattern) => `-trace '${pattern}'`).join(' ')} -trace file=FILE\n`);
    return 0;
  }
  if (request.compare !== undefined) return runComparison(request.compare, words, request.runs, out);
  for (const path of [request.html, request.trace]) if (path !== undefined) checkOutput(path);
  const { summary, samples } = request.file === undefined ? await measured(request) : await traced(request, request.file);
  if (request.html !== undefined) {
    const { latencyPage } = await import('./latency/page.ts');
    writeOutput(request.html, latencyPage(summary));
  }
  out(request.json ? `${JSON.stringify({ ...summary, ...(request.samples && { samples }) }, undefined, 2)}\n` : summaryText(summary));
  return checked(summary);
}

function checked({ unexplainedPercent, measured: found }: Summary): number {
  const worst = Math.max(unexplainedPercent, found?.clockPercent ?? 0);
  if (worst <= UNEXPLAINED_PERCENT_MAX) return 0;
  process.stderr.write(`nandu: the layers are ${worst.toFixed(1)} % from the total\n`);
  return 1;
}

interface Result {
  readonly summary: Summary;
  readonly samples: readonly number[];
}

/** From a trace that somebody else has made. */
async function traced({ isWrite, bytes }: LatencyRequest, file: string): Promise<Result> {
  const { lives: all, leftOut } = requestLives(await readTraceFile(file));
  const lives = all.filter((life) => life.isWrite === isWrite && (bytes === undefined || life.bytes === bytes));
  if (lives.length === 0) throw new Failure('not-found', `${file}: no such request from its doorbell to its interrupt`);
  const others = all.length - lives.length;
  return {
    summary: summarize(`${file}${others === 0 ? '' : `, without ${others} requests of another kind`}`, lives, leftOut),
    samples: lives.map(({ totalNs }) => totalNs),
  };
}

async function measured(request: LatencyRequest): Promise<Result> {
  const folder = mkdtempSync(join(process.env['TMPDIR'] ?? (existsSync('/var/tmp') ? '/var/tmp' : tmpdir()), 'nandu-latency-'));
  try {
    const path = request.disk ?? (await scratchImage(folder, request.format));
    return await measureImage(request, path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** All of it has data, so that a read reaches the file. */
async function scratchImage(folder: string, format: string): Promise<string> {
  const path = join(folder, `scratch.${format}`);
  const { createImage, openImage } = await import('../platform/node/block.ts');
  await createImage(path, { format, size: SCRATCH_BYTES });
  const image = await openImage(path, { format });
  const piece = new Uint8Array(1 << 20).fill(0x5a);
  for (let at = 0; at < SCRATCH_BYTES; at += piece.length) await image.write(at, piece);
  await image.close();
  return path;
}

async function measureImage(request: LatencyRequest, path: string): Promise<Result> {
  const workload = workloadOf(request, request.disk === undefined ? SCRATCH_BYTES : fileBytes(path));
  const [{ latencyGuest }, { measure }, { measureHost }] = await Promise.all([
    import('./latency/guest.ts'), import('./latency/measure.ts'), import('./latency/host-baseline.ts'),
  ]);
  const guest = await latencyGuest(request.driver, workload, ({ step, percent }) => showProgress(`${step} ${percent.toFixed(0)} %`));
  showProgress('');
  try {
    const drive = `file=${path.replaceAll(',', ',,')},format=${request.format},cache=${request.cache}${request.drive}${readOnly(request)}`;
    const { latencies, records } = await measure({ guest, driver: request.driver, workload, drive });
    const host = measureHost(path, workload, passesCache(request));
    if (request.trace !== undefined) await writeTrace(request.trace, records);
    return { summary: summarizeMeasured(titleOf(request, workload), latencies, host), samples: plainTotals(latencies) };
  } finally {
    guest.remove();
  }
}

/** ATA disks cannot be read-only; their image is then under an overlay that takes nothing. */
const readOnly = ({ disk, driver }: LatencyRequest): string =>
  disk === undefined ? '' : driver === 'ahci' || driver === 'ide' ? ',snapshot=on' : ',readonly=on';

function fileBytes(path: string): number {
  try {
    return statSync(path).size;
  } catch (error) {
    throw new Failure('io', `Could not open '${path}': ${systemErrorText(error)}`, { cause: error });
  }
}

async function writeTrace(path: string, records: Parameters<typeof requestLives>[0]): Promise<void> {
  const { SimpleTraceWriter } = await import('../trace/simple-format.ts');
  const pieces: Uint8Array[] = [];
  const writer = new SimpleTraceWriter((piece) => pieces.push(piece.slice()), process.pid);
  for (const { event, atNs, values } of records) if (event !== undefined) writer.sink(event, atNs, values);
  writer.flush();
  writeOutput(path, Buffer.concat(pieces));
}

async function runComparison(
  options: readonly [string, string], words: readonly string[], runs: number, out: (text: string) => void,
): Promise<number> {
  const { compare, comparisonText } = await import('./latency/compare.ts');
  const at = words.indexOf('--compare');
  const rest = [...words.slice(0, at), ...words.slice(at + 3)];
  const common = rest.filter((word, index) => !['--json', '--samples', '--runs'].includes(word) && rest[index - 1] !== '--runs');
  const comparison = await compare(options, common, runs, (done, of) => showProgress(done === of ? '' : `run ${done} of ${of}`));
  out(rest.includes('--json') ? `${JSON.stringify(comparison, undefined, 2)}\n` : comparisonText(comparison));
  return 0;
}

let progressShown = false;

function showProgress(text: string): void {
  if (!process.stderr.isTTY || (text === '' && !progressShown)) return;
  progressShown = text !== '';
  process.stderr.write(`\r\x1b[K${text}`);
}
