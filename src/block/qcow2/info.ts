// What `info` tells of a qcow2 image beyond its size: QMP's ImageInfoSpecificQCow2, in the schema's order.
import { luksInfo } from '../crypto/luks.ts';
import type { InfoObject, InfoValue, PersistentBitmapInfo } from '../driver.ts';
import { luksVolumeOf } from './encryption.ts';
import { COMPRESSION_TYPE, CRYPT } from './header.ts';
import type { Qcow2Image } from './image.ts';

export function specificInfo(image: Qcow2Image, bitmaps: readonly PersistentBitmapInfo[]): { type: string; data: InfoObject } {
  const { header, geometry } = image;
  const data: Record<string, InfoValue | undefined> = {};
  data['compat'] = header.version === 2 ? '0.10' : '1.1';
  if (header.dataFile !== undefined) data['data-file'] = header.dataFile;
  if (image.hasDataFile) data['data-file-raw'] = image.isRawDataFile;
  if (header.version >= 3) {
    data['extended-l2'] = geometry.extendedL2;
    data['lazy-refcounts'] = image.hasLazyRefcountsFeature;
    data['corrupt'] = image.isCorrupt;
  }
  data['refcount-bits'] = geometry.refcountBits;
  const encrypt = encryptionInfo(image);
  if (encrypt !== undefined) data['encrypt'] = encrypt;
  if (bitmaps.length > 0) data['bitmaps'] = bitmaps.map(({ name, granularity, flags }) => ({ name, granularity, flags }));
  data['compression-type'] = header.compressionType === COMPRESSION_TYPE.ZSTD ? 'zstd' : 'zlib';
  return { type: 'qcow2', data };
}

function encryptionInfo(image: Qcow2Image): InfoObject | undefined {
  switch (image.header.cryptMethod) {
    case CRYPT.AES:
      return { format: 'aes' };
    case CRYPT.LUKS: {
      const volume = luksVolumeOf(image);
      return { format: 'luks', ...(volume === undefined ? {} : luksInfo(volume.header)) };
    }
    default:
      return undefined;
  }
}
