// A fair lock for asynchronous critical sections: who asks first gets it first. Whoever finds it free gets it without a turn of
// the microtask queue. A section may say that it changes nothing; what is in memory may then be looked at beside it. A section
// that never waits can leave a function instead of taking the lock: all such that wait are done in one go, so that a queue that
// one slow section has made does not go on as a queue for ever.
import { assert } from '../../base/assert.ts';

interface Waiter {
  readonly changes: boolean;
  /** Does its whole section at once (true), or has the lock from now on (false). */
  wake(): boolean;
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
    return new Promise((resolve) => {
      const wake = (): boolean => {
        resolve();
        return false;
      };
      this.#waiting.push({ changes, wake });
    });
  }

  /** Runs `section`, which neither waits nor throws, after whoever has the lock now. */
  enqueue(section: () => void): void {
    assert(this.#held, 'there is somebody to wait for');
    const wake = (): boolean => {
      section();
      return true;
    };
    this.#waiting.push({ changes: true, wake });
  }

  release(): void {
    let isOver = true;
    while (isOver) {
      const next = this.#waiting.shift();
      if (next === undefined) {
        this.#held = false;
        return;
      }
      this.#changes = next.changes; // it stays held
      isOver = next.wake();
    }
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
