// Trace events around the calls of the host's files: what lies between the two is the host's. `pooled`: another thread did it, and
// the event loop went on meanwhile; else the call held the machine's thread, as a read of what is in the page cache does.
import type { Eventual } from '../../base/eventual.ts';
import { defineEvents } from '../../trace/event.ts';
import { requestContext } from '../../trace/request.ts';

const trace = defineEvents('hostFile', {
  read: 'request {request} call {call} offset {offset} bytes {bytes}',
  write: 'request {request} call {call} offset {offset} bytes {bytes}',
  flush: 'request {request} call {call} offset {offset} bytes {bytes}',
  done: 'request {request} call {call} pooled {pooled} failed {failed}',
});

let calls = 0;

export const isTracedHost = (): boolean => (trace.read ?? trace.write ?? trace.flush ?? trace.done) !== undefined;

export function tracedHost<T>(kind: 'read' | 'write' | 'flush', offset: number, bytes: number, action: () => Eventual<T>): Eventual<T> {
  const request = requestContext.current;
  const call = ++calls;
  trace[kind]?.({ request, call, offset, bytes });
  let result: Eventual<T>;
  try {
    result = action();
  } catch (error) {
    trace.done?.({ request, call, pooled: false, failed: true });
    throw error;
  }
  if (result instanceof Promise) {
    result.then(
      () => trace.done?.({ request, call, pooled: true, failed: false }), () => trace.done?.({ request, call, pooled: true, failed: true }),
    );
  } else trace.done?.({ request, call, pooled: false, failed: false });
  return result;
}
