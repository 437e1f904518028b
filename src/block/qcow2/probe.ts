// How qcow2 images are recognised: magic "QFI\xfb" and a version of at least 2 (version 1 is the qcow format).
export function probe(head: Uint8Array, _filename: string): number {
  if (head.length < 8) return 0;
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  return view.getUint32(0) === 0x514649fb && view.getUint32(4) >= 2 ? 100 : 0;
}
