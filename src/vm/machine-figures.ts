// What a machine has done since its start, as numbers that only grow: `nandu top` takes the difference of two readings.
import { timeUse } from '../trace/time-use.ts';
import type { Machine } from './machine.ts';

export interface DriveFigures {
  readonly name: string;
  readonly reads: number;
  readonly writes: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** Of LatencyHistogram, of every eighth request. */
  readonly latencies: readonly number[];
}

export interface MachineFigures {
  readonly version: 1;
  readonly name: string;
  readonly state: string;
  readonly ramBytes: number;
  readonly instructions: number;
  /** How often the executor came back, and how often guest code asked a device. */
  readonly exits: number;
  readonly deviceAccesses: number;
  /** Nanoseconds of the machine's thread. */
  readonly ns: {
    readonly turns: number;
    readonly slices: number;
    readonly devices: number;
    readonly timers: number;
    readonly completions: number;
    readonly translating: number;
    readonly compiling: number;
  };
  readonly drives: readonly DriveFigures[];
}

export function machineFigures(machine: Machine): MachineFigures {
  const { vcpu, options, drives, runState } = machine;
  const { formMs, emitMs, compileMs } = vcpu.regions.statistics;
  return {
    version: 1, name: options.name ?? '', state: runState, ramBytes: options.ramBytes, instructions: vcpu.instructionsNow,
    exits: vcpu.exits, deviceAccesses: Number(vcpu.get64('countMmio') + vcpu.get64('countPort')),
    ns: {
      turns: timeUse.turns, slices: timeUse.slices, devices: timeUse.device, timers: timeUse.timer, completions: timeUse.completion,
      translating: (vcpu.decodeMs + formMs + emitMs) * 1e6, compiling: compileMs * 1e6,
    },
    drives: [...drives.drives.values()].map((drive) => {
      const statistics = drive.backend?.node.statistics;
      return {
        name: drive.name, reads: statistics?.readOperations ?? 0, writes: statistics?.writeOperations ?? 0,
        readBytes: statistics?.readBytes ?? 0, writtenBytes: statistics?.writeBytes ?? 0, latencies: [...drive.latencies.counts],
      };
    }),
  };
}
