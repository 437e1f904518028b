// A result that is there at once or later. Whoever has the data cached returns it plainly and saves the caller a turn of the
// microtask queue; `await` takes both. Not a replacement for async functions where nothing is hot.
import { Failure } from './failure.ts';

export type Eventual<T> = T | Promise<T>;

export function isPromise<T>(value: Eventual<T>): value is Promise<T> {
  return value instanceof Promise;
}

/** `value` then `next`, without a promise when `value` is already there. */
export function after<T, R>(value: Eventual<T>, next: (value: T) => Eventual<R>): Eventual<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/**
 * Does `work`, then `done` or `failed`, at once where there is nothing to wait for. Only a Failure is a failure: what else is
 * thrown is a programmer's error and goes on.
 */
export function attempt<T>(work: () => Eventual<T>, done: (value: T) => void, failed: (failure: Failure) => void): void {
  const refuse = (error: unknown): void => {
    if (!(error instanceof Failure)) throw error;
    failed(error);
  };
  let result: Eventual<T>;
  try {
    result = work();
  } catch (error) {
    refuse(error);
    return;
  }
  if (result instanceof Promise) void result.then(done, refuse);
  else done(result);
}
