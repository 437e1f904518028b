// Tasks one after the other, in the order in which they came: what changes an image's tables takes its turn here, while
// requests that change no table go on beside it.

export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs `task` after all earlier ones, whether those failed or not. */
  run<T>(task: () => T | Promise<T>): Promise<T> {
    const result = this.#last.then(task, task);
    this.#last = result.catch(() => {});
    return result;
  }

  /** Resolves when everything that is queued now has ended. */
  async idle(): Promise<void> {
    await this.#last;
  }
}
