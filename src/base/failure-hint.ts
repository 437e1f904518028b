// The line of advice that some failures carry beside their message (`hint`): for whoever shows the failure to a person.

/** The hint of a failure, or of what caused it. */
export function hintOf(error: unknown): string | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    const { hint } = at as { hint?: unknown };
    if (typeof hint === 'string') return hint;
  }
  return undefined;
}
