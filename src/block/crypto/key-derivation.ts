// How many iterations of PBKDF2 (RFC 8018) take a wanted time on this machine. The derivation itself is the host's.
import { Failure } from '../../base/failure.ts';
import type { Cryptography, HashName } from '../../ports/codec.ts';

const ITERATIONS_MIN = 1000;
/** What hosts take. */
export const ITERATIONS_MAX = 2 ** 31 - 1;
/** A measurement shorter than this says little. */
const PROBE_MS = 25;
const PROBE_ITERATIONS = 1 << 14;

/** The iterations with which deriving a key of `keyBytes` takes about `timeMs`. */
export async function iterationsFor(cryptography: Cryptography, hash: HashName, keyBytes: number, timeMs: number): Promise<number> {
  const perMs = timeMs === 0 ? 0 : await measure(cryptography, hash, keyBytes);
  const iterations = Math.max(ITERATIONS_MIN, Math.floor(perMs * timeMs));
  if (iterations > ITERATIONS_MAX) throw new Failure('limit', `PBKDF iterations ${iterations} larger than ${ITERATIONS_MAX}`);
  return iterations;
}

async function measure(cryptography: Cryptography, hash: HashName, keyBytes: number): Promise<number> {
  const password = new TextEncoder().encode('password');
  const salt = new TextEncoder().encode('salt');
  for (let iterations = PROBE_ITERATIONS; ; iterations *= 2) {
    const start = cryptography.timeMs();
    await cryptography.pbkdf2(hash, password, salt, iterations, keyBytes);
    const elapsed = cryptography.timeMs() - start;
    if (elapsed >= PROBE_MS || iterations >= ITERATIONS_MAX / 2) return iterations / Math.max(elapsed, 0.001);
  }
}
