// Passphrases by the id of their secret.
import { Failure } from '../../base/failure.ts';
import type { BlockHost } from '../host.ts';

/** Failure when there is no such secret, or when it is not text. */
export function passphraseOf(host: Pick<BlockHost, 'secret'>, id: string): Uint8Array {
  const value = host.secret(id);
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(value);
  } catch (cause) {
    throw new Failure('invalid-argument', `Data from secret ${id} is not valid UTF-8`, { cause });
  }
  return value;
}
