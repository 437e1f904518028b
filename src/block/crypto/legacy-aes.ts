// The encryption of qcow, and of qcow2 before LUKS: AES-128 in CBC mode with plain64 IVs by the guest's sector, the passphrase
// itself being the key (its first 16 bytes, zeroes after a shorter one). Weak; kept for old images.
import type { Cryptography } from '../../ports/codec.ts';
import { createSectorCipher, type SectorCipher } from './sector-cipher.ts';

const KEY_BYTES = 16;

export function createLegacyAesCipher(cryptography: Cryptography, passphrase: Uint8Array): SectorCipher {
  const key = new Uint8Array(KEY_BYTES);
  key.set(passphrase.subarray(0, KEY_BYTES));
  return createSectorCipher(cryptography, { cipher: 'aes-128', mode: 'cbc', ivGenerator: 'plain64' }, key);
}
