// Turns the profiler of a machine on and off. Its executors take the place of the usual ones meanwhile, so what has been translated is made
// anew with places to stop; a machine that is not profiled pays for nothing but the activity word.
import { Failure } from '../base/failure.ts';
import { cpuOffset } from '../cpu/x86/state.ts';
import { GuestMemory } from '../profile/guest-memory.ts';
import { Sampler } from '../profile/sampler.ts';
import type { SymbolSource } from '../profile/symbols.ts';
import type { SampleClock, SampleWords } from '../ports/sample-clock.ts';
import { ACTIVITY, beginActivity, endActivity, watchActivity } from '../trace/activity.ts';
import type { Machine } from './machine.ts';

export interface ProfileHost {
  hostNs(): number;
  loadModule(name: string): Promise<WebAssembly.Module>;
  startSampleClock(words: SampleWords, hertz: number): SampleClock;
  /** Calls back again and again; returns what ends that. */
  every(ms: number, callback: () => void): () => void;
}

export interface SamplingOptions {
  readonly hertz: number;
  readonly symbols: SymbolSource | undefined;
}

export const SAMPLING_INTERPRETER = 'interpreter-sampling.wasm';

/** A machine that is idle takes its samples so often. */
const IDLE_DRAIN_MS = 500;

export class MachineSampling {
  readonly sampler: Sampler;
  readonly beginNs: number;
  endNs = Number.NaN;
  readonly #machine: Machine;
  readonly #host: ProfileHost;
  readonly #clock: SampleClock;
  readonly #endDrains: () => void;
  /** Since they were collected. */
  #records = 0;

  /** The machine stands between two turns of its loop. */
  static async start(machine: Machine, host: ProfileHost, options: SamplingOptions): Promise<MachineSampling> {
    if (machine.vcpu.onNotes !== null) throw new Failure('invalid-argument', 'the machine is counted, so it cannot be sampled');
    return new MachineSampling(machine, host, options, await host.loadModule(SAMPLING_INTERPRETER));
  }

  private constructor(
    machine: Machine, host: ProfileHost, { hertz, symbols }: SamplingOptions, interpreter: WebAssembly.Module,
  ) {
    this.#machine = machine;
    this.#host = host;
    const { vcpu, memory } = machine;
    this.beginNs = host.hostNs();
    this.sampler = new Sampler(new GuestMemory(vcpu.u32, vcpu.area, memory.ramBytes), vcpu.area, symbols, this.beginNs);
    vcpu.useInterpreter(interpreter);
    vcpu.regions.options = { ...vcpu.regions.options, sampling: true };
    vcpu.regions.flush();
    const shared = new Int32Array(vcpu.u32.buffer as SharedArrayBuffer);
    const at = (field: string): number => vcpu.area + cpuOffset(field);
    const [activityAt, askedAt, notedAt] = [at('hostActivity'), at('sampleAsked'), at('sampleNoted')];
    shared[notedAt >> 2] = 0;
    watchActivity(shared, activityAt >> 2);
    this.#clock = host.startSampleClock({ memory: shared.buffer, activityAt, askedAt, notedAt }, hertz);
    vcpu.onSample = () => {
      Atomics.store(shared, askedAt >> 2, 0);
      const doing = beginActivity(ACTIVITY.PROFILER);
      if (this.#keep()) this.#collect();
      endActivity(doing);
    };
    this.#endDrains = host.every(IDLE_DRAIN_MS, () => this.take());
  }

  /** What has been asked for becomes samples; the guest stands between two blocks. */
  take(): void {
    if (!Number.isNaN(this.endNs)) return;
    this.#keep();
    this.#collect();
  }

  /** Adds a record; whether it is time to collect them. */
  #keep(): boolean {
    const isFull = this.#machine.vcpu.support.takeSample(this.#host.hostNs()) !== 0;
    return ++this.#records >= this.sampler.recordsMax || isFull;
  }

  #collect(): void {
    this.#records = 0;
    this.sampler.collect(this.#clock);
  }

  get lost(): number {
    return this.#clock.lost + this.sampler.samples.lost;
  }

  stop(): void {
    if (!Number.isNaN(this.endNs)) return;
    this.#endDrains();
    this.#clock.stop();
    this.take();
    this.endNs = this.#host.hostNs();
    this.sampler.markCollections(this.#clock.collections());
    const { vcpu } = this.#machine;
    vcpu.onSample = null;
    vcpu.useInterpreter();
    vcpu.regions.options = { ...vcpu.regions.options, sampling: false };
    vcpu.regions.flush();
    watchActivity();
  }
}
