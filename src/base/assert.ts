// Assertions: a programmer's error stops the program. Never for what a guest, an image or a peer can choose.

export class AssertionError extends Error {
  override name = 'AssertionError';
}

/** Throws when `condition` does not hold. The message says what was expected. */
export function assert(condition: boolean, message = 'assertion failed'): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** For the branch of an exhaustive switch that the types rule out. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${String(value)}`);
}
