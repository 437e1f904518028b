// Sends many equal requests, a number of them at a time: the load of `bench`.
import { isPromise, type Eventual } from '../../base/eventual.ts';
import type { BlockBackend } from '../backend.ts';
import { Pace, type Operation } from './pace.ts';

export interface RequestLoad extends Operation {
  readonly backend: BlockBackend;
  readonly isWrite: boolean;
  readonly count: number;
  /** So many are in flight at once. */
  readonly depth: number;
  readonly bytes: number;
  readonly offset: number;
  readonly step: number;
  readonly pattern: number;
  /** A flush after so many requests; 0 for none. */
  readonly flushInterval: number;
  /** A flush waits until nothing else is in flight. */
  readonly drain: boolean;
}

export async function sendRequests(load: RequestLoad): Promise<void> {
  const { backend, count, bytes, step, flushInterval, isWrite } = load;
  const pace = new Pace(backend.graph.host, load);
  const pool = new InFlight(load.depth);
  const buffers = Array.from({ length: Math.min(load.depth, count) }, () => new Uint8Array(bytes).fill(isWrite ? load.pattern : 0));
  const span = backend.size > bytes ? backend.size - bytes : 0;
  let { offset } = load;
  for (let sent = 0; sent < count; sent++) {
    const buffer = buffers[sent % buffers.length]!;
    const started = isWrite ? backend.write(offset, buffer) : backend.read(offset, buffer);
    offset = span === 0 ? 0 : (offset + step) % span;
    if (isPromise(started)) {
      const room = pool.add(started);
      if (room !== undefined) await room;
    }
    if (flushInterval > 0 && (sent + 1) % flushInterval === 0) {
      if (load.drain) await pool.empty();
      await pool.add(backend.flush());
    }
    if (sent % 64 === 63) {
      const pause = pace.step(64 * bytes);
      if (pause !== undefined) await pause;
    }
  }
  await pool.empty();
}

/** Promises of which at most `limit` are pending. */
class InFlight {
  readonly #limit: number;
  #pending = 0;
  #failure: { readonly error: unknown } | undefined;
  /** Whoever waits for a place, or for all of them; there is one sender. */
  #wake: (() => void) | undefined;
  readonly #ended = (): void => {
    this.#pending--;
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  };
  readonly #failed = (error: unknown): void => {
    this.#failure ??= { error };
    this.#ended();
  };

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(started: Promise<void>): Eventual<void> {
    this.#pending++;
    started.then(this.#ended, this.#failed);
    return this.#pending < this.#limit ? undefined : this.#atMost(this.#limit - 1);
  }

  async #atMost(count: number): Promise<void> {
    while (this.#pending > count) await new Promise<void>((wake) => (this.#wake = wake));
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  empty(): Promise<void> {
    return this.#atMost(0);
  }
}
