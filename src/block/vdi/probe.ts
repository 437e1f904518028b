// How VirtualBox disk images (vdi) are recognised: by the signature after the text at the start.

const SIGNATURE_OFFSET = 0x40;
const SIGNATURE = 0xbeda107f;
const HEADER_BYTES = 512;

export function probe(head: Uint8Array, _filename: string): number {
  if (head.length < HEADER_BYTES) return 0;
  return new DataView(head.buffer, head.byteOffset).getUint32(SIGNATURE_OFFSET, true) === SIGNATURE ? 100 : 0;
}
