// img dd.
import { DISK_SIZE, transcripts } from './transcript.ts';

const IMAGES = `
  setup img create -q r 1M
  setup io -f raw -c 'write -P 1 0 100k' -c 'write -P 2 300k 1k' r
  setup img create -q -f qcow2 b 1M
  setup io -c 'write -P 1 64k 128k' b
`;

transcripts(
  {
    'command line': `${IMAGES}
    img dd
    img dd if=r
    img dd of=o
    img dd if=nope of=o
    img dd if=r of=o foo=1
    img dd if=r of=o foo
    img dd if=r of=o bs=x
    img dd if=r of=o bs=0
    img dd if=r of=o bs=3G
    img dd if=r of=o count=x
    img dd if=r of=o skip=x
    img dd -O nofmt if=r of=o
    img dd -f nofmt if=r of=o
    img dd if=r of=/nonexistent/o
    img dd -x if=r of=o
    img dd --image-opts if=driver=raw,,file.filename=r of=o
  `,
    copies: `${IMAGES}
    img dd if=r of=o
    same o
    img dd if=b of=o
    same o
    img dd if=r if=b of=o
    same o
    img dd -f raw -O qcow2 if=r of=o bs=4k count=3 skip=1
    img info o
    image o qcow2
    img dd if=r of=o skip=9999
    img info o
    img dd if=b of=o bs=1 count=5 skip=3
    img info o
    img dd -O qcow2 if=b of=o bs=1 count=5
    image o qcow2
    img dd -U if=r of=o bs=100k
    same o
    img dd --force-share if=r of=o bs=1M count=100 skip=0
    same o
    img dd if=r of=o bs=64k skip=3
    same o
  `,
  },
  { masks: DISK_SIZE },
);
