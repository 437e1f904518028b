// Zstandard compression on several threads, for Nodes whose own thread pool has none. Threads are started when there is
// lasting work, one at a time, and do not keep the program alive.
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { Failure } from '../../base/failure.ts';

export interface CompressionJob {
  readonly id: number;
  readonly source: Uint8Array;
}

export interface CompressionAnswer {
  readonly id: number;
  readonly result?: Uint8Array;
  readonly problem?: string;
}

interface Pending {
  readonly resolve: (result: Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

const MAX_WORKERS = 4;

class CompressionWorker {
  readonly #worker = new Worker(new URL('./zstd-worker.js', import.meta.url), { resourceLimits: { maxYoungGenerationSizeMb: 4 } });
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;
  failed = false;

  constructor() {
    this.#worker.unref();
    this.#worker.on('message', (answer: CompressionAnswer) => this.#answered(answer));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error('the thread ended')));
  }

  get load(): number {
    return this.#pending.size;
  }

  compress(source: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#pending.set(id, { resolve, reject });
      this.#worker.ref();
      const copy = source.slice();
      this.#worker.postMessage({ id, source: copy } satisfies CompressionJob, [copy.buffer]);
    });
  }

  #answered({ id, result, problem }: CompressionAnswer): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#worker.unref();
    if (result !== undefined) pending?.resolve(result);
    else pending?.reject(new Failure('io', `zstd: ${problem ?? 'no answer'}`));
  }

  #fail(cause: unknown): void {
    this.failed = true;
    for (const { reject } of this.#pending.values()) reject(new Failure('io', 'zstd: a thread ended', { cause }));
    this.#pending.clear();
  }
}

const workers: CompressionWorker[] = [];

/** Undefined when threads do not work here. */
export function compressInWorker(source: Uint8Array): Promise<Uint8Array> | undefined {
  if (workers.some((worker) => worker.failed)) return undefined;
  let best = workers.reduce<CompressionWorker | undefined>((a, b) => (a === undefined || b.load < a.load ? b : a), undefined);
  if ((best === undefined || best.load > 0) && workers.length < Math.min(MAX_WORKERS, availableParallelism())) {
    best = new CompressionWorker();
    workers.push(best);
  }
  return best?.compress(source);
}
