// Carries the number of a guest's request over what is awaited, with Node's asynchronous contexts. Only while events want it: every
// promise costs more meanwhile.
import { AsyncLocalStorage } from 'node:async_hooks';
import type { RequestCarrier } from '../../trace/request.ts';

/** One for the process: Node marks everything that waits with each that there ever was. */
let storage: AsyncLocalStorage<number> | undefined;

export function asyncRequestCarrier(): RequestCarrier {
  const numbers = (storage ??= new AsyncLocalStorage<number>());
  return {
    get: () => numbers.getStore() ?? 0,
    set: (request) => numbers.enterWith(request),
    end: () => numbers.disable(),
  };
}
