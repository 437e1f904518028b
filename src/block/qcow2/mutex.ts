// A fair lock for asynchronous critical sections: who asks first gets it first. Whoever finds it free gets it without a turn of
// the microtask queue. A section may say that it changes nothing; what is in memory may then be looked at beside it.

interface Waiter {
  readonly changes: boolean;
  wake(): void;
}

export class Mutex {
  #held = false;
  #changes = false;
  readonly #waiting: Waiter[] = [];

  get isFree(): boolean {
    return !this.#held;
  }

  /** Nobody is changing anything. */
  get isReadable(): boolean {
    return !this.#held || !this.#changes;
  }

  acquire(changes = true): Promise<void> | undefined {
    if (!this.#held) {
      this.#held = true;
      this.#changes = changes;
      return undefined;
    }
    return new Promise((wake) => this.#waiting.push({ changes, wake }));
  }

  release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) {
      this.#held = false;
      return;
    }
    this.#changes = next.changes; // it stays held
    next.wake();
  }

  async run<T>(section: () => T | Promise<T>): Promise<T> {
    const wait = this.acquire();
    if (wait !== undefined) await wait;
    try {
      return await section();
    } finally {
      this.release();
    }
  }
}
