// Encryption of guest data in a qcow2 image: finds the cipher that the header asks for (qcow2.txt, "Data Encryption"). LUKS
// headers lie in clusters of the image; the legacy method takes its key from the passphrase alone. The ciphers are crypto/.
import { ErrnoFailure } from '../../base/errno.ts';
import { createLegacyAesCipher } from '../crypto/legacy-aes.ts';
import { openLuks, type LuksStorage, type LuksVolume } from '../crypto/luks.ts';
import { CRYPT } from './header.ts';
import type { Qcow2Image } from './image.ts';
import type { GivenOptions } from './options.ts';

const FORMAT_NAMES: Readonly<Record<number, 'aes' | 'luks'>> = { [CRYPT.AES]: 'aes', [CRYPT.LUKS]: 'luks' };

/** The LUKS header of an open image; kept for info and amend. */
const volumes = new WeakMap<Qcow2Image, LuksVolume>();

export const luksVolumeOf = (image: Qcow2Image): LuksVolume | undefined => volumes.get(image);

/** Reading and writing within the image's encryption header. */
export function luksStorage(image: Qcow2Image): LuksStorage {
  const place = (offset: number, count: number): number => {
    const { crypto } = image.header;
    if (crypto === undefined || offset + count > crypto.length) {
      throw new ErrnoFailure('EINVAL', 'Request for data outside of extension header');
    }
    return crypto.offset + offset;
  };
  return {
    read: async (offset, target) => image.file.read(place(offset, target.length), target),
    write: async (offset, source) => image.file.write(place(offset, source.length), source),
  };
}

/** Sets the image's cipher by header and options. */
export async function openCipher(image: Qcow2Image, given: GivenOptions): Promise<void> {
  const { header, flags, host } = image;
  const wanted = given['encrypt.format'], secretId = given['encrypt.key-secret'];
  const actual = FORMAT_NAMES[header.cryptMethod];
  if (actual === undefined) {
    if (wanted !== undefined) throw new ErrnoFailure('EINVAL', `No encryption in image header, but options specified format '${wanted}'`);
    return;
  }
  if (wanted !== undefined && wanted !== 'auto' && wanted !== actual) {
    throw new ErrnoFailure('EINVAL', `Header reported '${actual}' encryption format but options specify '${wanted}'`);
  }
  if (header.cryptMethod === CRYPT.LUKS && header.crypto === undefined) {
    throw new ErrnoFailure('EINVAL', `Missing CRYPTO header for crypt method ${header.cryptMethod}`);
  }
  const passphrase = flags.noIo ? undefined : passphraseOf(image, secretId);
  if (header.cryptMethod === CRYPT.AES) {
    if (passphrase !== undefined) image.cipher = createLegacyAesCipher(host.cryptography, passphrase);
    return;
  }
  const volume = await openLuks(host.cryptography, luksStorage(image), passphrase);
  volumes.set(image, volume);
  image.cipher = volume.cipher;
  image.cipherByHostOffset = true;
}

function passphraseOf(image: Qcow2Image, secretId: string | undefined): Uint8Array {
  if (secretId === undefined) throw new ErrnoFailure('EINVAL', "Parameter 'encrypt.key-secret' is required for cipher");
  return image.host.secret(secretId);
}
