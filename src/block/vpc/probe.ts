// How Microsoft's virtual hard disks (vpc, VHD) are recognised: by the copy of the footer at the start of dynamic ones. Fixed
// ones begin with the guest's data and are never recognised.

export function probe(head: Uint8Array, _filename: string): number {
  return head.length >= 8 && String.fromCharCode(...head.subarray(0, 8)) === 'conectix' ? 100 : 0;
}
