// A fair lock for asynchronous critical sections: who asks first gets it first. Whoever finds it free gets it without a turn of
// the microtask queue.

export class Mutex {
  #held = false;
  readonly #waiting: (() => void)[] = [];

  get isFree(): boolean {
    return !this.#held;
  }

  acquire(): Promise<void> | undefined {
    if (!this.#held) {
      this.#held = true;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#held = false;
    else next(); // it stays held
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
