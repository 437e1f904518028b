// A device's call of its drive for one request of the guest: everything below runs with the request's number, and an end that comes
// later is timed, because it runs by itself between two turns of the machine. Not the requests themselves: those are each device's.
import { attempt, type Eventual } from '../base/eventual.ts';
import type { Failure } from '../base/failure.ts';
import { requestContext } from './request.ts';
import { heldSince, loopNs } from './stalls.ts';

export interface DeviceRequest {
  readonly request: number;
  /** Whose completion it is, for `info stalls`. */
  readonly name: string;
}

export function attemptRequest<T>(
  { request, name }: DeviceRequest, work: () => Eventual<T>, done: (value: T) => void, failed: (failure: Failure) => void,
): void {
  let isLater = false;
  const ending = <Value>(end: (value: Value) => void) => (value: Value): void => {
    if (!isLater) return end(value);
    const begun = loopNs();
    end(value);
    heldSince(begun, 'completion', name);
  };
  requestContext.enter(request);
  try {
    attempt(work, ending(done), ending(failed));
  } finally {
    requestContext.leave();
    isLater = true;
  }
}
