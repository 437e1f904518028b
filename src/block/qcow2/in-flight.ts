// The requests of one image that are between looking up (or allocating) clusters and being done with them. A write that overlaps
// an allocation waits for it, since the clusters would be allocated twice; what frees clusters waits for every write into them.

export interface InFlight {
  readonly offset: number;
  readonly end: number;
  /** Allocations make later writes wait; plain writes only what frees clusters. */
  readonly allocates: boolean;
  waiters: (() => void)[] | undefined;
}

export class InFlightList {
  readonly #requests = new Set<InFlight>();

  get isEmpty(): boolean {
    return this.#requests.size === 0;
  }

  begin(offset: number, end: number, allocates: boolean): InFlight {
    const request: InFlight = { offset, end, allocates, waiters: undefined };
    this.#requests.add(request);
    return request;
  }

  end(request: InFlight): void {
    this.#requests.delete(request);
    request.waiters?.forEach((wake) => wake());
  }

  /** The allocation with the lowest offset that overlaps. */
  allocationIn(offset: number, end: number): InFlight | undefined {
    let found: InFlight | undefined;
    for (const request of this.#requests) {
      if (!request.allocates || request.offset >= end || offset >= request.end) continue;
      if (found === undefined || request.offset < found.offset) found = request;
    }
    return found;
  }

  anyIn(offset: number, end: number): InFlight | undefined {
    for (const request of this.#requests) if (request.offset < end && offset < request.end) return request;
    return undefined;
  }

  wait(request: InFlight): Promise<void> {
    return new Promise((wake) => (request.waiters ??= []).push(wake));
  }
}
