// img resize.
import { transcripts } from './transcript.ts';

transcripts({
  'command line': `
    setup img create -q -f qcow2 b 1M
    setup img create -q r 1M
    img resize
    img resize b
    img resize b x
    img resize b +x
    img resize b 0x
    img resize b 1M 2M
    img resize nope 1M
    img resize b -1M
    img resize b 9E
    img resize b +9E
    img resize --shrink b 0
    img resize --shrink b -1M
    img resize --preallocation=foo b 6M
    img resize --image-opts -f raw driver=qcow2,file.filename=b 3M
    img resize r 2M
    img resize -x b 2M
  `,
  qcow2: `
    setup img create -q -f qcow2 b 1M
    setup io -c 'write -P 1 0 1M' b
    img resize b 2M
    img info b
    img resize b 1M
    img resize --shrink b 1M
    img resize b +1M
    img resize b -- -1M
    img resize --shrink b -- -1M
    image b qcow2
    img resize --shrink b -100k
    image b qcow2
    img resize --shrink b 300k
    image b qcow2
    img resize --shrink b -- -10M
    img resize -q b 5M
    img resize --preallocation=full b 6M
    image b qcow2
    img resize --preallocation=metadata b 7M
    image b qcow2
    img resize --preallocation=falloc b 8M
    image b qcow2
    img resize --preallocation=full --shrink b 1M
    img resize --preallocation=falloc b 6M
    img resize --image-opts driver=qcow2,file.filename=b 9M
    img map --output=json b
    image b qcow2
    setup img snapshot -c s b
    img resize b 10M
    img resize --shrink b 1M
    image b qcow2
    setup img create -q -f qcow2 -o compat=0.10 c 1M
    setup img snapshot -c s c
    img resize c 10M
  `,
  'with a longer backing file': `
    setup img create -q -f qcow2 base 4M
    setup io -c 'write -P 1 0 4M' base
    setup img create -q -f qcow2 -b base -F qcow2 top 1M
    img resize top 3M
    image top qcow2
    img map --output=json top
    setup img create -q -f qcow2 -b base -F qcow2 pre 1M
    img resize --preallocation=metadata pre 3M
    image pre qcow2
  `,
  raw: `
    setup img create -q r 1M
    img resize -f raw r 3M
    same r
    img resize -f raw r 3M
    img resize -f raw r 1234567
    img resize --shrink -f raw r 1234567
    img info r
    img resize -f raw r +0
    img resize -f raw r +1
    same r
    img resize -f raw --preallocation=full r 2M
    same r
    img resize -f raw --preallocation=falloc r 3M
    img resize -f raw --preallocation=metadata r 4M
  `,
});
