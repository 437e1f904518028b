// img commit.
import { transcripts } from './transcript.ts';

const CHAIN = `
  setup img create -q -f qcow2 base 1M
  setup io -c 'write -P 1 0 256k' base
  setup img create -q -f qcow2 -b base -F qcow2 mid
  setup io -c 'write -P 2 128k 256k' -c 'write -z 448k 64k' mid
  setup img create -q -f qcow2 -b mid -F qcow2 top
  setup io -c 'write -P 3 64k 64k' -c 'write -z 0 30k' top
`;

transcripts({
  'command line': `${CHAIN}
    img commit
    img commit a b
    img commit nope
    img commit base
    img commit -U top
    img commit -t foo top
    img commit -r x top
    img commit -b nope mid
    img commit -b top top
    img commit -f raw top
    setup img create -q -f raw plain 1M
    img commit plain
    img commit -b nope plain
    img commit -f raw plain
  `,
  'into the next layer': `${CHAIN}
    img commit top
    image mid qcow2
    image top qcow2
    img commit -q mid
    image base qcow2
    image mid qcow2
  `,
  'a read that fails': `${CHAIN}
    img commit --image-opts driver=qcow2,file.driver=blkdebug,file.image.filename=top,file.inject-error.0.event=read_aio
    image mid qcow2
    image top qcow2
    img commit -q top
    image mid qcow2
  `,
  'keeping the overlay': `${CHAIN}
    img commit -d top
    image mid qcow2
    image top qcow2
    img map top
  `,
  'into a deeper layer': `${CHAIN}
    img commit -b base top
    image base qcow2
    image mid qcow2
    image top qcow2
    img commit -b mid top
    image mid qcow2
    img commit -r 100M --image-opts driver=qcow2,file.filename=top
    image mid qcow2
  `,
  'a longer overlay': `${CHAIN}
    setup img create -q -f qcow2 -b base -F qcow2 big 2M
    setup io -c 'write -P 5 1536k 64k' big
    img commit big
    img info base
    image base qcow2
    setup img create -q -f raw rbase 512k
    setup img create -q -f qcow2 -b rbase -F raw over 1M
    setup io -c 'write -P 5 400k 300k' over
    img commit over
    image rbase raw
  `,
});
