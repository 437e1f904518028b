// The processor oracle: builds test/oracle/cpu-oracle.c with the host's C compiler and runs test cases with it.
// Where there is no compiler or no x86-64 Linux, openOracle says why, and the caller skips.
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { Failure } from '../../src/base/failure.ts';
import { cHeader, decodeBatch, encodeBatch, ORACLE_MODES, PAGE_BYTES, REGION } from './oracle-case.ts';
import type { OracleCase, OracleMode, OracleResult } from './oracle-case.ts';

const BATCH_CASES = 2048;
const NOP = 0x90;
const PUSH_RAX = 0x50;
const NOT_CANONICAL = 0x8000_0000_0010n;
const STACK_FAULT = 12;
const MAGIC = 0x4c43524f; // "ORCL"
const FEATURE_YMM = 1;
/** libc's SSE code is fine between cases; the handler itself must not depend on the thread pointer or a red zone. */
const COMPILER_FLAGS = ['-O1', '-mgeneral-regs-only', '-fno-stack-protector', '-fcf-protection=none', '-fPIE', '-pie'];

export interface Oracle {
  /** Whether the processor has AVX state, so that cases may carry ymmHigh. */
  readonly hasYmm: boolean;
  /** The modes that this host can run. */
  readonly modes: readonly OracleMode[];
  /** False under hypervisors that report the stack fault of an address that is not canonical as a protection fault. */
  readonly tellsStackFaults: boolean;
  run(cases: readonly OracleCase[]): Promise<OracleResult[]>;
  close(): void;
}

/** The program's path, or why it cannot be had. Cached by its source in the temporary folder. */
function build(source: string): string | { readonly skip: string } {
  const header = cHeader();
  const hash = createHash('sha256').update(readFileSync(source)).update(header).update(COMPILER_FLAGS.join()).digest('hex');
  const folder = join(tmpdir(), `nandu-oracle-${userInfo().uid}`, hash.slice(0, 16));
  const program = join(folder, 'cpu-oracle');
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, 'cpu-oracle-layout.h'), header);
  const unfinished = `${program}.${process.pid}`; // test processes may build at the same time
  const compiler = spawnSync('cc', [...COMPILER_FLAGS, '-I', folder, '-o', unfinished, source], { encoding: 'utf8' });
  if (compiler.error !== undefined) return { skip: 'no C compiler (cc)' };
  if (compiler.status !== 0) return { skip: `cc cannot build the oracle: ${compiler.stderr.trim().split('\n')[0]}` };
  renameSync(unfinished, program);
  return program;
}

/** Reads exact byte counts from a stream. */
class ExactReader {
  #chunks: Uint8Array[] = [];
  #available = 0;
  #wanted = 0;
  #isEnded = false;
  #wake: (() => void) | undefined;

  constructor(stream: Readable) {
    stream.on('data', (chunk: Uint8Array) => {
      this.#chunks.push(chunk);
      this.#available += chunk.length;
      if (this.#available >= this.#wanted) this.#wake?.();
    });
    stream.on('close', () => {
      this.#isEnded = true;
      this.#wake?.();
    });
  }

  /** undefined when the stream ended before. */
  async read(count: number): Promise<Uint8Array | undefined> {
    this.#wanted = count;
    if (this.#available < count && !this.#isEnded) await new Promise<void>((wake) => (this.#wake = wake));
    if (this.#available < count) return undefined;
    const bytes = new Uint8Array(Buffer.concat(this.#chunks));
    this.#chunks = bytes.length > count ? [bytes.subarray(count)] : [];
    this.#available -= count;
    return bytes.subarray(0, count);
  }
}

class Runner {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #reader: ExactReader;

  constructor(program: string) {
    this.#child = spawn(program, [], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdin.on('error', () => undefined); // a dead runner shows as the end of its output
    this.#child.on('error', () => undefined);
    this.#reader = new ExactReader(this.#child.stdout);
  }

  /** The feature word of the greeting. */
  async features(): Promise<number> {
    const greeting = await this.#reader.read(8);
    const view = greeting === undefined ? undefined : new DataView(greeting.buffer, greeting.byteOffset, 8);
    if (view?.getUint32(0, true) !== MAGIC) throw new Failure('unsupported', 'the processor oracle does not start');
    return view.getUint32(4, true);
  }

  /** undefined when the runner died of one of the cases. */
  async run(cases: readonly OracleCase[]): Promise<OracleResult[] | undefined> {
    this.#child.stdin.write(encodeBatch(cases));
    const head = await this.#reader.read(8);
    if (head === undefined) return undefined;
    const bytes = await this.#reader.read(new DataView(head.buffer, head.byteOffset, 8).getUint32(0, true));
    return bytes === undefined ? undefined : decodeBatch(bytes, cases.length);
  }

  /** Does not keep the process alive between batches. */
  setIdle(isIdle: boolean): void {
    const handles = [this.#child, this.#child.stdin, this.#child.stdout] as unknown as { ref?(): void; unref?(): void }[];
    for (const handle of handles) (isIdle ? handle.unref : handle.ref)?.call(handle);
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}

const CRASH: OracleResult = {
  outcome: 'crash', vector: 0, errorCode: 0, cr2: 0n, rip: 0n, registers: new BigUint64Array(16), flags: 0, changes: [],
};

function trivial(mode: OracleMode, instruction: number, rsp: bigint): OracleCase {
  const registers = new BigUint64Array(16);
  registers[4] = rsp;
  return { mode, code: Uint8Array.of(instruction), codeOffset: 0, registers, flags: 0, data: new Uint8Array(), dataOffset: 0 };
}

class HostOracle implements Oracle {
  readonly hasYmm: boolean;
  modes: readonly OracleMode[] = [];
  tellsStackFaults = true;
  readonly #program: string;
  #runner: Runner;

  constructor(program: string, runner: Runner, features: number) {
    this.#program = program;
    this.#runner = runner;
    this.hasYmm = (features & FEATURE_YMM) !== 0;
  }

  /** Kernels without 32-bit emulation or LDT, and some hypervisors, run 64-bit code only. */
  async findLimits(): Promise<void> {
    const names = Object.keys(ORACLE_MODES) as OracleMode[];
    const results = await this.run(names.map((mode) => trivial(mode, NOP, BigInt(REGION.DATA + PAGE_BYTES / 2))));
    this.modes = names.filter((_, number) => results[number]!.outcome === 'completed');
    const [stackFault] = await this.run([trivial('long', PUSH_RAX, NOT_CANONICAL)]);
    this.tellsStackFaults = stackFault!.vector === STACK_FAULT;
  }

  async run(cases: readonly OracleCase[]): Promise<OracleResult[]> {
    const results: OracleResult[] = [];
    this.#runner.setIdle(false);
    for (let start = 0; start < cases.length; start += BATCH_CASES) {
      results.push(...(await this.#runBatch(cases.slice(start, start + BATCH_CASES))));
    }
    this.#runner.setIdle(true);
    return results;
  }

  /** A batch that kills the runner is halved until the guilty case is alone. */
  async #runBatch(cases: readonly OracleCase[]): Promise<OracleResult[]> {
    const results = await this.#runner.run(cases);
    if (results !== undefined) return results;
    this.#runner = new Runner(this.#program);
    await this.#runner.features();
    if (cases.length === 1) return [CRASH];
    const middle = cases.length >> 1;
    return [...(await this.#runBatch(cases.slice(0, middle))), ...(await this.#runBatch(cases.slice(middle)))];
  }

  close(): void {
    this.#runner.stop();
  }
}

/** npm scripts run in the package's folder. */
const sourceFile = (): string => join(process.cwd(), 'test', 'oracle', 'cpu-oracle.c');

/** Starts the oracle; `source` is its C file. */
export async function openOracle(source = sourceFile()): Promise<Oracle | { readonly skip: string }> {
  if (process.platform !== 'linux' || process.arch !== 'x64') return { skip: 'the host is not x86-64 Linux' };
  const program = build(source);
  if (typeof program !== 'string') return program;
  const runner = new Runner(program);
  try {
    const oracle = new HostOracle(program, runner, await runner.features());
    await oracle.findLimits();
    return oracle;
  } catch (error) {
    runner.stop();
    if (!(error instanceof Failure)) throw error;
    return { skip: error.message };
  }
}
