// How Parallels images are recognised: by one of two magics, and version 2.
const MAGICS = ['WithoutFreeSpace', 'WithouFreSpacExt'];
const MAGIC_BYTES = 16;
const HEADER_BYTES = 64;
const VERSION = 2;

export function probe(head: Uint8Array, _filename: string): number {
  if (head.length < HEADER_BYTES) return 0;
  const version = new DataView(head.buffer, head.byteOffset).getUint32(MAGIC_BYTES, true);
  return version === VERSION && MAGICS.includes(String.fromCharCode(...head.subarray(0, MAGIC_BYTES))) ? 100 : 0;
}
