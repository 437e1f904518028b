// How growing images of Bochs are recognised: by magic, type and subtype in the redolog header, and the version.
const FIELDS: readonly (readonly [offset: number, sizeBytes: number, value: string])[] = [
  [0, 32, 'Bochs Virtual HD Image'],
  [32, 16, 'Redolog'],
  [48, 16, 'Growing'],
];
const VERSION_OFFSET = 64;
const VERSIONS = [0x00010000, 0x00020000];
const HEADER_BYTES = 512;

export function probe(head: Uint8Array, _filename: string): number {
  if (head.length < HEADER_BYTES) return 0;
  const text = (offset: number, length: number): string => String.fromCharCode(...head.subarray(offset, offset + length));
  const fits = FIELDS.every(([offset, sizeBytes, value]) => text(offset, Math.min(sizeBytes, value.length + 1)) === `${value}\0`);
  return fits && VERSIONS.includes(new DataView(head.buffer, head.byteOffset).getUint32(VERSION_OFFSET, true)) ? 100 : 0;
}
