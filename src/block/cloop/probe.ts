// How compressed loop images are recognised: by the shell script with which version 2 begins.
const SCRIPT = '#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n';

export function probe(head: Uint8Array, _filename: string): number {
  return String.fromCharCode(...head.subarray(0, SCRIPT.length)) === SCRIPT ? 2 : 0;
}
