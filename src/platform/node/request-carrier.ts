// Carries the number of a guest's request over what is awaited, with Node's asynchronous contexts. Only while events want it: every
// promise costs more meanwhile.
import { AsyncLocalStorage } from 'node:async_hooks';
import type { RequestCarrier } from '../../trace/request.ts';

export function asyncRequestCarrier(): RequestCarrier {
  const storage = new AsyncLocalStorage<number>();
  return {
    get: () => storage.getStore() ?? 0,
    set: (request) => storage.enterWith(request),
    end: () => storage.disable(),
  };
}
