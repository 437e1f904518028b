// The cache modes of -t and -T, by their names: what they mean for the host's page cache and for flushes.
import { Failure } from '../../base/failure.ts';

export interface CacheMode {
  readonly direct: boolean;
  readonly noFlush: boolean;
  readonly writethrough: boolean;
}

// prettier-ignore
const MODES: Readonly<Record<string, CacheMode>> = {
  none:         { direct: true,  noFlush: false, writethrough: false },
  off:          { direct: true,  noFlush: false, writethrough: false },
  directsync:   { direct: true,  noFlush: false, writethrough: true },
  writeback:    { direct: false, noFlush: false, writethrough: false },
  unsafe:       { direct: false, noFlush: true,  writethrough: false },
  writethrough: { direct: false, noFlush: false, writethrough: true },
};

export const cacheMode = (name: string): CacheMode | undefined => (Object.hasOwn(MODES, name) ? MODES[name] : undefined);

/** `what` is "cache" or "source cache". */
export function parseCacheMode(what: string, name: string): CacheMode {
  const mode = cacheMode(name);
  if (mode === undefined) throw new Failure('invalid-argument', `Invalid ${what} option: ${name}`);
  return mode;
}
