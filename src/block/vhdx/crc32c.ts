// CRC-32C (Castagnoli), as iSCSI defines it (RFC 3720, appendix B.4): the checksum of VHDX's structures.

const POLYNOMIAL = 0x82f63b78;

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
  return value >>> 0;
});

export function crc32c(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (let at = 0; at < bytes.length; at++) value = table[(value ^ bytes[at]!) & 0xff]! ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/** Where every checked structure has its checksum. */
const CHECKSUM_OFFSET = 4;

/** The checksum of a structure, with its own field taken as zero. */
export function checksumOf(structure: Uint8Array): number {
  const copy = structure.slice();
  copy.fill(0, CHECKSUM_OFFSET, CHECKSUM_OFFSET + 4);
  return crc32c(copy);
}

export function hasValidChecksum(structure: Uint8Array): boolean {
  return new DataView(structure.buffer, structure.byteOffset).getUint32(CHECKSUM_OFFSET, true) === checksumOf(structure);
}

export function sealChecksum(structure: Uint8Array): void {
  new DataView(structure.buffer, structure.byteOffset).setUint32(CHECKSUM_OFFSET, checksumOf(structure), true);
}
