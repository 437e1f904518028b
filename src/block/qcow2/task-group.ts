// A few asynchronous pieces of one request at a time. All of them are over when `finish` returns, also after an error, so that
// nobody writes into the caller's buffer later.
import type { Eventual } from '../../base/eventual.ts';

const MAX_TASKS = 8;

export class TaskGroup {
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Waits for a place when too many are running. */
  async add(task: Eventual<void>): Promise<void> {
    if (!(task instanceof Promise)) return;
    const running = task.then(
      () => void this.#running.delete(running),
      (error: unknown) => {
        this.#running.delete(running);
        this.#failure ??= { error };
      },
    );
    this.#running.add(running);
    if (this.#running.size >= MAX_TASKS) await Promise.race(this.#running);
  }

  /** Waits for all; throws the first error. */
  async finish(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
