// img map.
import { transcripts } from './transcript.ts';

const IMAGES = `
  setup img create -q -f qcow2 b 1M
  setup io -c 'write -P 7 64k 128k' -c 'write -z 384k 64k' b
`;

transcripts({
  'command line': `${IMAGES}
    img map
    img map a b
    img map nope
    img map --output=foo b
    img map --start-offset=x b
    img map --max-length=-1 b
    img map --start-offset=9E b
    img map -s 3 b
    img map -l 100k b
    img map --image-opts -f qcow2 b
    img map -U b
  `,
  ranges: `${IMAGES}
    img map b
    img map --output=json b
    img map --start-offset=64k b
    img map --start-offset=64k --max-length=64k b
    img map --start-offset=70k --max-length=1k --output=json b
    img map --start-offset=2M b
    img map --start-offset=1M --output=json b
    setup img create -q z 0
    img map z
    img map --output=json z
  `,
  'raw files': `
    setup img create -q r 1M
    img map r
    img map -f raw --output=json r
    setup io -f raw -c 'write -P 1 256k 64k' -c 'write -P 1 512k 4k' r
    img map -f raw r
    img map -f raw --output=json r
    img map --image-opts --output=json driver=raw,offset=128k,file.filename=r
    img map --image-opts --output=json driver=raw,size=300k,offset=64k,file.filename=r
  `,
  'backing chains': `${IMAGES}
    setup img create -q -f qcow2 -b b -F qcow2 m 2M
    setup io -c 'write -P 2 128k 128k' -c 'write -z 448k 64k' m
    setup img create -q -f qcow2 -b m -F qcow2 t
    setup io -c 'write -P 3 0 64k' t
    img map t
    img map --output=json t
    img map m
    img map --output=json m
    setup img create -q -f qcow2 -b b -F qcow2 short 512k
    setup img create -q -f qcow2 -b short -F qcow2 long 1M
    img map long
    img map --output=json long
  `,
  'compressed, preallocated, external': `${IMAGES}
    setup img convert -c -O qcow2 b c
    img map c
    img map --output=json c
    setup img create -q -f qcow2 -o preallocation=metadata p 1M
    img map p
    img map --output=json p
    setup img create -q -f qcow2 -o preallocation=full f 1M
    img map --output=json f
    setup img create -q -f qcow2 -o data_file=d.raw d 1M
    setup io -c 'write -P 5 64k 64k' d
    img map d
    img map --output=json d
    setup img create -q -f qcow2 -o extended_l2=on e 1M
    setup io -c 'write -P 5 4k 5k' -c 'write -z 128k 20k' e
    img map e
    img map --output=json e
  `,
  'holes in the file below': `
    setup img create -q -f qcow2 base 4M
    setup io -c 'write -P 1 64k 640k' base
    setup img create -q -f qcow2 -b base -F qcow2 t
    setup io -c 'write -P 2 1M 1M' t
    img map --output=json t
    setup io -f raw -c 'discard 512k 512k' t
    img map t
    img map --output=json t
    img measure -O qcow2 t
    img measure -O raw t
  `,
});
