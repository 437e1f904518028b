// Runs kvm-unit-tests (built elsewhere; see docs/kvm-unit-tests.md) under a system emulator command and compares the
// outcome with a recorded baseline. Not part of `npm test`: the tests are not ours and are not committed.
// The flags of a test come from the suite's own x86/unittests.cfg; the rest of the command line follows its x86/run.
//
//   node dist/tools/kvm-unit-tests.js --tests DIR [--tests DIR ...] [--command 'CMD ARGS'] [--baseline FILE]
//        [--save FILE] [--only NAME,NAME] [--timeout SECONDS] [--table FILE]
//        [--adapt] leaves out what nandu lacks, [--reuse FILE ...] takes what an earlier --save has instead of running it
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

type Arch = 'x86_64' | 'i386';
type Verdict = 'pass' | 'fail' | 'skip' | 'timeout';

export interface UnitTest {
  readonly name: string;
  readonly arch: Arch;
  readonly file: string;
  readonly args: string;
  readonly extra: string;
  readonly smp: number;
  /** Further devices that the suite's run script adds. */
  readonly devices: readonly string[];
  /** Why the test cannot run without hardware virtualization, or undefined. */
  readonly unfit?: string;
}

export interface UnitTestResult extends Omit<UnitTest, 'unfit' | 'devices'> {
  readonly result: Verdict;
  /** The suite's SUMMARY line, or the reason of a skip or a failure. */
  readonly summary: string;
  readonly seconds: number;
}

/** Sections of unittests.cfg: `[name]` followed by `key = value` lines. */
export function parseConfig(text: string): Map<string, Map<string, string>> {
  const sections = new Map<string, Map<string, string>>();
  let current: Map<string, string> | undefined;
  for (const line of text.split('\n')) {
    const head = /^\[(.+)\]/.exec(line);
    if (head !== null) sections.set(head[1]!, (current = new Map()));
    const pair = /^(\w+)\s*=\s*(.*)$/.exec(line);
    if (pair !== null) current?.set(pair[1]!, pair[2]!.trim());
  }
  return sections;
}

/** Words of a shell-like string with '…' and "…" quoting. Command substitution becomes a constant. */
export function words(text: string): string[] {
  const plain = text.replace(/`[^`]*`/g, '0');
  return [...plain.matchAll(/(?:[^\s'"]|'[^']*'|"[^"]*")+/g)].map(([word]) => word.replace(/['"]/g, ''));
}

function unfitReason(section: ReadonlyMap<string, string>): string | undefined {
  const parameters = section.get('qemu_params') ?? section.get('extra_params') ?? '';
  if (section.get('accel') === 'kvm' || /-enable-kvm|-cpu host/.test(parameters)) return 'needs KVM';
  if (section.has('check')) return 'needs a setting of the KVM module';
  if ((section.get('groups') ?? '').includes('nodefault')) return 'marked as manual run only';
  return undefined;
}

export function testsOf(folder: string): UnitTest[] {
  const arch: Arch = /^ARCH=i386$/m.test(readFileSync(join(folder, 'config.mak'), 'utf8')) ? 'i386' : 'x86_64';
  const sections = parseConfig(readFileSync(join(folder, 'x86', 'unittests.cfg'), 'utf8'));
  return [...sections].flatMap(([name, section]) => {
    const file = join(folder, 'x86', section.get('file') ?? '');
    if ((section.get('arch') ?? arch) !== arch || !existsSync(file)) return [];
    const unfit = unfitReason(section);
    const extra = section.get('qemu_params') ?? section.get('extra_params') ?? '';
    const args = words(section.get('test_args') ?? '').join(' ');
    const devices = ['-device', 'pci-testdev'];
    return [{ name, arch, file, args, extra, devices, smp: Number(section.get('smp') ?? 1), ...(unfit === undefined ? {} : { unfit }) }];
  });
}

/** What nandu does not have and a test cannot do without. */
const BEYOND_NANDU: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/^smptest/, 'needs two processors'],
  [/^(svm|vmx|ept)/, 'needs nested virtualization'],
  [/^intel_iommu/, 'needs a q35 machine with an IOMMU'],
];

/** Options that nandu does not know and tests can do without, each with what takes its place. */
const ADAPTATIONS: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  [/,(vendor=\w+|host-phys-bits)\b/g, ''],
  [/-cpu Opteron_G1/g, '-cpu qemu64'],
];

/** A test as nandu can run it: one processor, the processor models it has. */
function adaptToNandu(test: UnitTest): UnitTest {
  const reason = BEYOND_NANDU.find(([pattern]) => pattern.test(test.name))?.[1];
  const extra = ADAPTATIONS.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), test.extra);
  return { ...test, extra, devices: [], smp: 1, ...(test.unfit === undefined && reason !== undefined ? { unfit: reason } : {}) };
}

// prettier-ignore
function commandLine(test: UnitTest, command: readonly string[]): string[] {
  return [
    ...command, '-no-reboot', '-nodefaults', '-device', 'pc-testdev', '-device', 'isa-debug-exit,iobase=0xf4,iosize=0x4',
    '-display', 'none', '-serial', 'stdio', ...test.devices, '-kernel', test.file, '-smp',
    String(test.smp), ...words(test.extra), ...(test.args === '' ? [] : ['-append', test.args]),
  ];
}

interface Ending {
  readonly code: number | null;
  readonly timedOut: boolean;
  readonly output: string;
  readonly errors: string;
}

function runCommand(argv: readonly string[], timeoutMs: number): Promise<Ending> {
  return new Promise((done) => {
    const child = spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    let timedOut = false;
    child.stdout.setEncoding('latin1').on('data', (text: string) => (output = (output + text).slice(-1_000_000)));
    child.stderr.setEncoding('latin1').on('data', (text: string) => (errors = (errors + text).slice(-10_000)));
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.on('error', (error) => (errors += error.message));
    child.on('close', (code) => {
      clearTimeout(timer);
      done({ code, timedOut, output, errors });
    });
  });
}

/** isa-debug-exit ends the process with (status << 1) | 1; the suite's status is 0 for success and 77 >> 1 for a skip. */
function verdictOf({ code, timedOut, output, errors }: Ending): { result: Verdict; summary: string } {
  const lines = output.replace(/[^\n\t\x20-\x7e]/g, '').split('\n');
  const summary = lines.findLast((line) => line.startsWith('SUMMARY: '))?.slice('SUMMARY: '.length);
  if (timedOut) return { result: 'timeout', summary: summary ?? lines.findLast((line) => line !== '') ?? '' };
  if (code === 1 && output === '') return { result: 'fail', summary: errors.trim().split('\n').at(-1) ?? '' };
  if (code === 1) return { result: 'pass', summary: summary ?? '' };
  if (code === 77) return { result: 'skip', summary: summary ?? lines.findLast((line) => line.startsWith('SKIP')) ?? '' };
  const complaint = lines.find((line) => /^FAIL|assert failed|^Unhandled/.test(line));
  const failure = complaint ?? lines.findLast((line) => line !== '') ?? errors.trim();
  return { result: 'fail', summary: [summary, failure].filter((part) => part !== undefined).join('; ') };
}

async function runTest(test: UnitTest, command: readonly string[], timeoutMs: number): Promise<UnitTestResult> {
  const { unfit, devices: _, ...identity } = test;
  if (unfit !== undefined) return { ...identity, file: basename(test.file), result: 'skip', summary: unfit, seconds: 0 };
  const startMs = Date.now();
  const ending = await runCommand(commandLine(test, command), timeoutMs);
  const seconds = Math.round((Date.now() - startMs) / 100) / 10;
  return { ...identity, file: basename(test.file), ...verdictOf(ending), seconds };
}

/** A markdown table: one row per test, the baseline's verdict beside the new one. */
export function comparisonTable(baseline: readonly UnitTestResult[], results: readonly UnitTestResult[]): string {
  const keyOf = (entry: UnitTestResult): string => `${entry.arch} ${entry.name}`;
  const before = new Map(baseline.map((entry) => [keyOf(entry), entry]));
  const cell = (text: string): string => text.replaceAll('|', '\\|').slice(0, 90);
  const rows = results.map((entry) => {
    const reference = before.get(keyOf(entry));
    const note = entry.result === 'pass' && reference?.result === 'pass' ? '' : cell(entry.summary);
    return `| ${entry.name} | ${entry.arch} | ${reference?.result ?? '-'} | ${entry.result} | ${note} |`;
  });
  const passing = results.filter((entry) => before.get(keyOf(entry))?.result === 'pass');
  const kept = passing.filter((entry) => entry.result === 'pass').length;
  return [
    '| test | arch | QEMU | nandu | |',
    '|---|---|---|---|---|',
    ...rows,
    '',
    `Of ${passing.length} tests that pass under QEMU's translator, ${kept} pass.`,
    '',
  ].join('\n');
}

const RESULTS_HEADING = '## Results\n';

/** The document with everything after its results heading replaced. */
function withResults(document: string, table: string): string {
  const [before] = document.split(RESULTS_HEADING);
  return `${before}${RESULTS_HEADING}\n${table}`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      tests: { type: 'string', multiple: true },
      command: { type: 'string', default: 'bin/nandu-system-x86_64' },
      baseline: { type: 'string' },
      save: { type: 'string' },
      table: { type: 'string' },
      only: { type: 'string' },
      adapt: { type: 'boolean', default: false },
      reuse: { type: 'string', multiple: true, default: [] },
      timeout: { type: 'string', default: '90' },
    },
  });
  if (values.tests === undefined) throw new Error('--tests DIR is missing: the folder with the built tests');
  const only = values.only?.split(',');
  const chosen = values.tests.flatMap((folder) => testsOf(resolve(folder))).filter(({ name }) => only?.includes(name) ?? true);
  const tests = values.adapt ? chosen.map(adaptToNandu) : chosen;
  const known = values.reuse.flatMap((file) => JSON.parse(readFileSync(file, 'utf8')) as UnitTestResult[]);
  const results: UnitTestResult[] = [];
  for (const test of tests) {
    const earlier = known.find(({ name, arch }) => name === test.name && arch === test.arch);
    const result = earlier ?? (await runTest(test, words(values.command), Number(values.timeout) * 1000));
    process.stderr.write(`${result.result.padEnd(8)}${result.arch.padEnd(7)} ${result.name}  ${result.summary} ${result.seconds} s\n`);
    results.push(result);
    if (values.save !== undefined) writeFileSync(values.save, `${JSON.stringify(results, null, 1)}\n`);
  }
  if (values.baseline === undefined) return;
  const table = comparisonTable(JSON.parse(readFileSync(values.baseline, 'utf8')) as UnitTestResult[], results);
  if (values.table === undefined) process.stdout.write(table);
  else writeFileSync(values.table, withResults(existsSync(values.table) ? readFileSync(values.table, 'utf8') : '', table));
}

if (process.argv[1]?.endsWith('kvm-unit-tests.js') === true) await main();
