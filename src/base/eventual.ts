// A result that is there at once or later. Whoever has the data cached returns it plainly and saves the caller a turn of the
// microtask queue; `await` takes both. Not a replacement for async functions where nothing is hot.

export type Eventual<T> = T | Promise<T>;

export function isPromise<T>(value: Eventual<T>): value is Promise<T> {
  return value instanceof Promise;
}

/** `value` then `next`, without a promise when `value` is already there. */
export function after<T, R>(value: Eventual<T>, next: (value: T) => Eventual<R>): Eventual<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}
