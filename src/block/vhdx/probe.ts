// How Hyper-V's virtual hard disks (vhdx) are recognised: by the file type identifier at the start.

export function probe(head: Uint8Array, _filename: string): number {
  return head.length >= 8 && String.fromCharCode(...head.subarray(0, 8)) === 'vhdxfile' ? 100 : 0;
}
