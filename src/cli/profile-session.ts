// A profile of a running machine, for `nandu profile` and for the monitor: starts and ends it, and writes it in its forms. What is measured
// is vm/machine-profile.ts.
import { readFileSync } from 'node:fs';
import { setInterval } from 'node:timers';
import { Failure } from '../base/failure.ts';
import { hostClockNs } from '../platform/node/host-clock.ts';
import { nodePlatform } from '../platform/node/node-platform.ts';
import { NodeSampleClock } from '../platform/node/sample-clock.ts';
import { systemErrorText } from '../platform/node/system-error.ts';
import { flameGraph } from '../profile/flame-graph.ts';
import { foldedStacks, speedscopeFile } from '../profile/profile-files.ts';
import { comparedText, compareWithCounts, parseCounts, type CountedShares } from '../profile/compared.ts';
import { profileText } from '../profile/report-text.ts';
import { buildProfile, type Profile } from '../profile/report.ts';
import { readSymbolFile } from '../profile/symbol-files.ts';
import type { SymbolSource, SymbolTable } from '../profile/symbols.ts';
import { MachineSampling, SAMPLING_INTERPRETER, type ProfileHost } from '../vm/machine-profile.ts';
import type { Machine } from '../platform/node/machine.ts';
import { writeOutput } from './output-file.ts';

/** A prime, so that no timer of a guest has it in step. */
export const DEFAULT_HERTZ = 997;
export const HERTZ_MAX = 10_000;
export const DEFAULT_TOP = 25;

const compile = async (name: string): Promise<WebAssembly.Module> => WebAssembly.compile(await nodePlatform.readModule(name));

let prepared: Promise<WebAssembly.Module> | undefined;

/** Begins what the start of a profile would wait for, while there is no machine yet. */
export function prepareProfile(): void {
  NodeSampleClock.prepare();
  prepared = compile(SAMPLING_INTERPRETER);
  prepared.catch(() => {}); // whoever starts the profile sees it
}

/** What a profile needs of Node. */
export const profileHost: ProfileHost = {
  hostNs: hostClockNs,
  loadModule: (name) => (name === SAMPLING_INTERPRETER && prepared !== undefined ? prepared : compile(name)),
  startSampleClock: (words, hertz) => new NodeSampleClock(words, hertz),
  every(ms, callback) {
    const timer = setInterval(callback, ms).unref();
    return () => clearInterval(timer);
  },
};

export type ProfileForm = 'text' | 'flame' | 'folded' | 'speedscope';

/** What a file's name says about its form. */
export function formOf(path: string): ProfileForm {
  if (path.endsWith('.svg')) return 'flame';
  if (path.endsWith('.folded')) return 'folded';
  return path.endsWith('.json') ? 'speedscope' : 'text';
}

export const readSymbols = (path: string): SymbolSource => readSymbolFile(path, bytesOf(path));

export function readCounts(path: string): CountedShares {
  const text = new TextDecoder().decode(bytesOf(path));
  try {
    return parseCounts(text);
  } catch (error) {
    throw error instanceof Failure ? new Failure(error.kind, `${path}: ${error.message}`, { cause: error }) : error;
  }
}

function bytesOf(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Failure('io', `Could not open '${path}': ${systemErrorText(error)}`, { cause: error });
  }
}

export interface SessionOptions {
  readonly hertz: number;
  readonly symbols: SymbolSource | undefined;
  /** Of programs that lie where they were linked, by the name of their task. */
  readonly programSymbols?: ReadonlyMap<string, SymbolTable>;
  /** The same work counted, to show beside it. */
  readonly against?: CountedShares;
  readonly top: number;
  readonly calls: boolean;
}

const sessions = new WeakMap<Machine, ProfileSession>();

/** A machine has one: the monitor ends what `nandu profile` began, and may begin another. */
export function profileSession(machine: Machine, options: SessionOptions): ProfileSession {
  const session = sessions.get(machine) ?? new ProfileSession(machine, options);
  sessions.set(machine, session);
  return session;
}

export class ProfileSession {
  readonly #machine: Machine;
  readonly #options: SessionOptions;
  #sampling: MachineSampling | undefined;
  #isStarting = false;

  constructor(machine: Machine, options: SessionOptions) {
    this.#machine = machine;
    this.#options = options;
  }

  async start(hertz = this.#options.hertz): Promise<void> {
    if (this.isRunning || this.#isStarting) throw new Failure('invalid-argument', 'the machine is profiled already');
    this.#isStarting = true;
    try {
      this.#sampling = await MachineSampling.start(this.#machine, profileHost, { hertz, symbols: this.#options.symbols });
    } finally {
      this.#isStarting = false;
    }
  }

  get isRunning(): boolean {
    return this.#sampling !== undefined && Number.isNaN(this.#sampling.endNs);
  }

  stop(): void {
    if (!this.isRunning) throw new Failure('invalid-argument', 'the machine is not profiled');
    this.#sampling!.stop();
  }

  /** Of what has been sampled so far. */
  profile(): Profile {
    const sampling = this.#sampling;
    if (sampling === undefined) throw new Failure('invalid-argument', 'there is no profile: start one first');
    sampling.take();
    const { sampler, beginNs, endNs, lost } = sampling;
    const { samples, programs, kernel } = sampler;
    kernel.modules.refresh(true);
    const seconds = ((Number.isNaN(endNs) ? hostClockNs() : endNs) - beginNs) / 1e9;
    const known = { symbols: kernel.symbols, isLinux: kernel.isLinux, modules: kernel.modules };
    const { programSymbols } = this.#options;
    return buildProfile({ samples, programs, ...known, seconds, lost, ...(programSymbols !== undefined && { programSymbols }) });
  }

  text(profile: Profile = this.profile()): string {
    const { against, top } = this.#options;
    const compared = against === undefined ? '' : `\n${comparedText(compareWithCounts(profile, against), top)}`;
    return profileText(profile, this.#options) + compared;
  }

  write(path: string, form: ProfileForm = formOf(path), profile: Profile = this.profile()): void {
    const name = this.#machine.options.name ?? 'nandu';
    const forms: Readonly<Record<ProfileForm, () => string>> = {
      text: () => this.text(profile),
      flame: () => flameGraph(profile, `profile of ${name}`),
      folded: () => foldedStacks(profile),
      speedscope: () => speedscopeFile(profile, name),
    };
    writeOutput(path, forms[form]());
  }

  /** The monitor's `profile start [hertz]`, `profile stop`, `profile dump [file]`; its answer. */
  async command(action: string, argument = ''): Promise<string> {
    if (action === 'start') {
      await this.start(argument === '' ? undefined : parseHertz(argument));
      return '';
    }
    if (action === 'stop') this.stop();
    else if (action === 'dump' && argument === '') return this.text().trimEnd();
    else if (action === 'dump') this.write(argument);
    else throw new Failure('invalid-argument', `unexpected argument "${action}"`);
    return '';
  }
}

export function parseHertz(text: string): number {
  const hertz = Number(text);
  if (!/^\d+$/.test(text) || hertz < 1 || hertz > HERTZ_MAX) throw new Failure('invalid-argument', `a rate is 1 to ${HERTZ_MAX} a second`);
  return hertz;
}
