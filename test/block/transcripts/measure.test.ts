// img measure.
import { transcripts } from './transcript.ts';

const IMAGES = `
  setup img create -q r 1M
  setup io -f raw -c 'write -P 1 0 100k' r
  setup img create -q -f qcow2 b 1M
  setup io -c 'write -P 1 0 256k' b
`;

transcripts({
  'command line': `${IMAGES}
    img measure
    img measure a b
    img measure nope
    img measure --output=foo b
    img measure --size x
    img measure --size -1
    img measure --size 1G b
    img measure -f qcow2 --size 1G
    img measure -l s --size 1G
    img measure -l s b
    img measure -f raw --image-opts b
    img measure -O nofmt b
    img measure -O vdi --size 1G
    img measure -O qed --size 1G
    img measure -O qcow2 -o bogus=1 b
    img measure -o help
  `,
  sizes: `${IMAGES}
    img measure r
    img measure -O raw b
    img measure -U b
    img measure --size 1G
    img measure -O qcow2 r
    img measure -O qcow2 b
    img measure -O qcow2 --size 1G
    img measure --output=json -O qcow2 --size 1G
    img measure --output=json -O qcow2 b
    img measure --image-opts driver=qcow2,file.filename=b
    img measure -O qcow2 -o cluster_size=4k b
    img measure -O qcow2 -o cluster_size=2M --size 1T
    img measure -O qcow2 -o refcount_bits=1 --size 10G
    img measure -O qcow2 -o preallocation=full b
    img measure -O qcow2 -o compat=0.10,extended_l2=on --size 1G
    img measure -O qcow2 -o extended_l2=on --size 1G
    setup img snapshot -c s b
    setup io -c 'write -P 1 0 1M' b
    img measure -O qcow2 -l s b
    img measure -O qcow2 b
    setup img bitmap --add b bb
    img measure -O qcow2 b
    img measure -O qcow2 --output=json b
    setup img create -q -f qcow2 -b b -F qcow2 o
    img measure -O qcow2 o
  `,
});
