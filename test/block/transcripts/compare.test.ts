// img compare.
import { transcripts } from './transcript.ts';

transcripts({
  'command line': `
    setup img create -q -f qcow2 b 1M
    setup img create -q r 1M
    img compare
    img compare r
    img compare r r r
    img compare r nope
    img compare nope r
    img compare -F qcow2 r r
    img compare -f foo r r
    img compare -T foo r r
    img compare -U r r
    img compare --image-opts driver=raw,file.filename=r driver=raw,file.filename=r
    img compare --image-opts -f raw r r
    img compare -p b b
    img compare -q b r
    img compare -p -q b b
  `,
  contents: `
    setup img create -q -f qcow2 b 1M
    setup img create -q r 1M
    img compare b r
    img compare -f qcow2 -F raw b r
    img compare -s b r
    img compare -s b b
    setup img create -q r2 2M
    img compare r r2
    img compare -s r r2
    img compare -p r r2
    setup io -f raw -c 'write -P 3 1537k 64k' r2
    img compare r r2
    img compare r2 r
    setup io -f raw -c 'write -P 3 100k 1k' r
    img compare r r2
    img compare r2 r
    img compare b r
    img compare r b
    img compare -q r r2
    img compare -p r r2
    setup io -c 'write -P 3 100k 1k' b
    img compare b r
    setup io -c 'write -P 3 200k 1' b
    img compare b r
    img compare r b
  `,
  strict: `
    setup img create -q -f qcow2 b 1M
    setup img create -q -f qcow2 b2 1M
    setup io -c 'write -z 0 64k' b2
    img compare b b2
    img compare -s b b2
    setup io -c 'write -P 0 64k 64k' b2
    img compare b b2
    img compare -s b b2
    setup img create -q -f qcow2 c 1M
    setup io -c 'write -P 1 64k 64k' c
    setup img create -q -f qcow2 d 1M
    setup io -c 'write -P 1 64k 64k' d
    img compare -s c d
    setup img create -q -f qcow2 -b c -F qcow2 e
    img compare -s c e
    setup img create -q r 1M
    setup io -f raw -c 'write -P 1 64k 64k' r
    img compare -s c r
  `,
});
