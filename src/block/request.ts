// The requests in flight on a node: which ranges they cover, who has to wait for whom, and when none is left. A request that
// its driver answers at once never gets here, so that cached reads cost nothing.

export interface TrackedRequest {
  readonly offset: number;
  readonly count: number;
  serialising: boolean;
  waiters: (() => void)[] | undefined;
}

const overlaps = (a: TrackedRequest, offset: number, count: number): boolean => a.offset < offset + count && offset < a.offset + a.count;

export class TrackedRequests {
  readonly #requests = new Set<TrackedRequest>();
  #serialising = 0;
  #idle: (() => void)[] = [];

  get count(): number {
    return this.#requests.size;
  }

  get anySerialising(): boolean {
    return this.#serialising > 0;
  }

  begin(offset: number, count: number, serialising = false): TrackedRequest {
    const request: TrackedRequest = { offset, count, serialising, waiters: undefined };
    this.#requests.add(request);
    if (serialising) this.#serialising++;
    return request;
  }

  end(request: TrackedRequest): void {
    this.#requests.delete(request);
    if (request.serialising) this.#serialising--;
    request.waiters?.forEach((wake) => wake());
    if (this.#requests.size > 0) return;
    for (const wake of this.#idle.splice(0)) wake();
  }

  /** Registers a promise that is already running. */
  async track(result: Promise<void>, offset: number, count: number): Promise<void> {
    const request = this.begin(offset, count);
    try {
      await result;
    } finally {
      this.end(request);
    }
  }

  /**
   * Waits until no other request overlaps that is serialising, or, for a serialising one, none at all. `self` was begun
   * before; of two that wait for each other the older goes first, since it does not see the younger.
   */
  async waitForOverlaps(self: TrackedRequest): Promise<void> {
    for (;;) {
      const other = this.#olderOverlap(self);
      if (other === undefined) return;
      await new Promise<void>((wake) => (other.waiters ??= []).push(wake));
    }
  }

  #olderOverlap(self: TrackedRequest): TrackedRequest | undefined {
    for (const other of this.#requests) {
      if (other === self) return undefined; // a Set keeps the order of insertion: the rest is younger
      if ((other.serialising || self.serialising) && overlaps(other, self.offset, self.count)) return other;
    }
    return undefined;
  }

  /** Resolves when nothing is in flight. */
  async idle(): Promise<void> {
    while (this.#requests.size > 0) await new Promise<void>((wake) => this.#idle.push(wake));
  }
}
