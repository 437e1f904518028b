// How VMware's virtual disks (vmdk) are recognised: by the magic of a sparse extent, or by the version line of a descriptor
// after comments and empty lines.

export function probe(head: Uint8Array, _filename: string): number {
  if (head.length < 4) return 0;
  const magic = String.fromCharCode(...head.subarray(0, 4));
  if (magic === 'COWD' || magic === 'KDMV') return 100;
  return looksLikeDescriptor(head) ? 100 : 0;
}

const NEWLINE = 0x0a;
const RETURN = 0x0d;

function looksLikeDescriptor(head: Uint8Array): boolean {
  let at = 0;
  while (at < head.length) {
    if (head[at] === 0x23) {
      const end = head.indexOf(NEWLINE, at);
      if (end < 0) return false;
      at = end + 1;
      continue;
    }
    if (head[at] === 0x20) {
      while (head[at] === 0x20) at++;
      if (head[at] === RETURN && head[at + 1] === NEWLINE) at++;
      if (head[at] !== NEWLINE) return false;
      at++;
      continue;
    }
    const line = String.fromCharCode(...head.subarray(at, at + 'version=1\r\n'.length));
    return /^version=[123]\r?\n/.test(line);
  }
  return false;
}
