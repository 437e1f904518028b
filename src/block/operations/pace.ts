// What long operations share with whoever waits for them: progress, interruption, a rate, and turns for the event loop, which
// gets none of its own while files answer synchronously.
import { Failure } from '../../base/failure.ts';
import { requestContext } from '../../trace/request.ts';
import type { BlockHost } from '../host.ts';
import { trace } from './trace.ts';

export interface Operation {
  /** Called as work gets done; `total` may still grow. */
  progress?(done: number, total: number): void;
  /** Ends the operation between two steps; the image stays consistent. */
  readonly signal?: { readonly aborted: boolean } | undefined;
  /** At most this many bytes a second; 0 is no limit. */
  readonly bytesPerSecond?: number;
}

export class Interrupted extends Failure {
  constructor() {
    super('io', 'Interrupted');
  }
}

const TURN_NS = 50_000_000;
const SLICE_NS = 100_000_000;

export class Pace {
  readonly #host: BlockHost;
  readonly #operation: Operation;
  #turnNs: number;
  #sliceNs: number;
  #sliceBytes = 0;

  constructor(host: BlockHost, operation: Operation) {
    this.#host = host;
    this.#operation = operation;
    this.#turnNs = host.nowNs();
    this.#sliceNs = this.#turnNs;
  }

  /** Called after each step; what it returns is to be awaited when it is a promise. */
  step(bytes: number): Promise<void> | undefined {
    if (this.#operation.signal?.aborted) throw new Interrupted();
    trace.step?.({ request: requestContext.current, bytes });
    const limit = this.#operation.bytesPerSecond ?? 0;
    if (limit > 0) return this.#limited(bytes, limit);
    const now = this.#host.nowNs();
    if (now - this.#turnNs < TURN_NS) return undefined;
    this.#turnNs = now;
    return this.#turn();
  }

  async #turn(): Promise<void> {
    await this.#host.sleep(0);
    if (this.#operation.signal?.aborted) throw new Interrupted();
  }

  /** As many bytes in each tenth of a second as the rate allows; a bigger step is paid for afterwards. */
  async #limited(bytes: number, bytesPerSecond: number): Promise<void> {
    this.#sliceBytes += bytes;
    const allowedNs = (this.#sliceBytes / bytesPerSecond) * 1e9;
    const waitNs = this.#sliceNs + allowedNs - this.#host.nowNs();
    if (waitNs > 0) {
      trace.limited?.({ request: requestContext.current, ns: Math.round(waitNs) });
      await this.#host.sleep(Math.ceil(waitNs / 1e6));
    }
    if (allowedNs > SLICE_NS) {
      this.#sliceNs = this.#host.nowNs();
      this.#sliceBytes = 0;
    }
    if (this.#operation.signal?.aborted) throw new Interrupted();
  }
}
