// A flat firmware image (`-bios FILE`): where its bytes appear. The board maps the
// regions read-only; shadowing under PAM control is the chipset's.
import { Failure } from '../../base/failure.ts';

export interface RomRegion {
  readonly physical: number;
  readonly bytes: Uint8Array;
}

export interface RomImage {
  readonly regions: readonly RomRegion[];
}

const KIB = 1024;
const GRANULE_BYTES = 64 * KIB;
const ROM_BYTES_MAX = 16 * KIB * KIB;
const LOW_COPY_BYTES_MAX = 128 * KIB;

/** The image ends at 4 GiB; its last 128 KiB also end at 1 MiB. */
export function loadRom(file: Uint8Array, name: string): RomImage {
  if (file.length === 0 || file.length % GRANULE_BYTES !== 0 || file.length > ROM_BYTES_MAX) {
    throw new Failure('invalid-format', `could not load PC BIOS '${name}'`);
  }
  const low = file.subarray(Math.max(0, file.length - LOW_COPY_BYTES_MAX));
  return {
    regions: [
      { physical: 2 ** 32 - file.length, bytes: file },
      { physical: KIB * KIB - low.length, bytes: low },
    ],
  };
}
