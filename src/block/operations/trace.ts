// Trace events of long operations, the work of block jobs and of the image tools. An operation has a number like a guest's request
// (trace/request.ts), so that what nodes and the host do for it can be told apart.
import { defineEvents } from '../../trace/event.ts';
import { nextRequest, requestContext } from '../../trace/request.ts';

export const trace = defineEvents('blockJob', {
  begin: 'request {request} {kind:str}',
  step: 'request {request} bytes {bytes}',
  limited: 'request {request} waits {ns} ns for its rate',
  end: 'request {request} {kind:str} failed {failed}',
});

export async function tracedJob<T>(kind: string, work: () => Promise<T>): Promise<T> {
  const request = nextRequest();
  trace.begin?.({ request, kind });
  let failed = true;
  try {
    const result = await numbered(request, work);
    failed = false;
    return result;
  } finally {
    trace.end?.({ request, kind, failed });
  }
}

function numbered<T>(request: number, work: () => Promise<T>): Promise<T> {
  requestContext.enter(request);
  try {
    return work();
  } finally {
    requestContext.leave();
  }
}
