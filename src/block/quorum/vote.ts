// Votes: which of several answers the most have in common. Used for data and for errors.

export interface Version<T> {
  readonly value: T;
  /** Indices of the voters, in their order. */
  readonly voters: readonly number[];
}

/** The answers that differ, in the order in which they first appear. */
export function versions<T>(answers: readonly (readonly [voter: number, value: T])[], same: (a: T, b: T) => boolean): Version<T>[] {
  const found: { readonly value: T; readonly voters: number[] }[] = [];
  for (const [voter, value] of answers) {
    const known = found.find((version) => same(version.value, value));
    if (known === undefined) found.push({ value, voters: [voter] });
    else known.voters.push(voter);
  }
  return found;
}

/** The version with most voters; of several the first. */
export function winner<T>(found: readonly Version<T>[]): Version<T> {
  return found.reduce((best, version) => (version.voters.length > best.voters.length ? version : best));
}
