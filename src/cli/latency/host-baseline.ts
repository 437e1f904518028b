// The same requests on the host, of the same file: by the same program where the host is Linux on x86-64 (program.ts), which then stamps
// with the time stamp counter; else through node:fs, whose own cost is in the figures.
import { spawnSync } from 'node:child_process';
import { chmodSync, closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure } from '../../base/failure.ts';
import { hostClockNs } from '../../platform/node/host-clock.ts';
import { HOST_OUTPUT, latencyProgram } from './program.ts';
import { offsetsOf, type Workload } from './workload.ts';

export interface HostBaseline {
  readonly totals: readonly number[];
  /** How it was done. */
  readonly by: string;
}

export function measureHost(path: string, workload: Workload, direct: boolean): HostBaseline {
  const how = `${workload.isWrite ? 'pwrite' : 'pread'}${direct ? ' with O_DIRECT' : ' through the page cache'}`;
  const totals = process.platform === 'linux' && process.arch === 'x64' ? byProgram(path, workload, direct) : undefined;
  if (totals !== undefined) return { totals, by: `${how}, by the guest's program` };
  return { totals: byNode(path, workload, direct), by: `${how}, from Node` };
}

/** Undefined where the host does not run it. */
function byProgram(path: string, workload: Workload, direct: boolean): number[] | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'nandu-latency-'));
  try {
    const program = join(folder, 'measure');
    writeFileSync(program, latencyProgram({ workload, path, direct, onHost: true }));
    chmodSync(program, 0o755);
    const outputBytes = HOST_OUTPUT.CLOCKS + workload.count * HOST_OUTPUT.STAMP;
    const { status, stdout } = spawnSync(program, { maxBuffer: 2 * outputBytes });
    if (status !== 0 || stdout.length !== outputBytes) return undefined;
    return totalsOf(stdout);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Ticks become nanoseconds by the clock that was read before and after. */
function totalsOf(output: Buffer): number[] {
  const word = (at: number): bigint => output.readBigUInt64LE(at);
  const elapsedNs = Number((word(24) - word(0)) * 1_000_000_000n + word(32) - word(8));
  const nsOfTick = elapsedNs / Number(word(40) - word(16));
  const totals: number[] = [];
  for (let at = HOST_OUTPUT.CLOCKS; at < output.length; at += HOST_OUTPUT.STAMP) totals.push(Number(word(at + 8) - word(at)) * nsOfTick);
  return totals;
}

function byNode(path: string, workload: Workload, direct: boolean): number[] {
  if (workload.depth > 1) throw new Failure('unsupported', '--depth above 1 is measured on Linux on x86-64 hosts only');
  const flags = (workload.isWrite ? constants.O_RDWR : constants.O_RDONLY) | (direct ? (constants.O_DIRECT ?? 0) : 0);
  const descriptor = openSync(path, flags);
  // The memory of WebAssembly begins at a page, as O_DIRECT wants it.
  const buffer = new Uint8Array(new WebAssembly.Memory({ initial: Math.ceil(workload.bytes / 65536) }).buffer, 0, workload.bytes);
  try {
    const pass = (): number[] => offsetsOf(workload).map((offset) => {
      const begun = hostClockNs();
      if (workload.isWrite) writeSync(descriptor, buffer, 0, buffer.length, offset);
      else readSync(descriptor, buffer, 0, buffer.length, offset);
      return hostClockNs() - begun;
    });
    pass();
    return pass();
  } finally {
    closeSync(descriptor);
  }
}
