// img bench.
import { transcripts } from './transcript.ts';

transcripts({
  'command line': `
    setup img create -q -f qcow2 b 8M
    img bench
    img bench a b
    img bench nope
    img bench -c x b
    img bench -d x b
    img bench -s x b
    img bench -S x b
    img bench -o x b
    img bench -i foo b
    img bench -t foo b
    img bench -n -c 10 b
    img bench -w --pattern=256 -c 10 b
    img bench -w --pattern=x b
    img bench -w --flush-interval=x b
    img bench -w -c 100000000000 b
    img bench --flush-interval=5 -c 10 b
    img bench -w -c 10 -d 4 --flush-interval=2 b
    img bench --image-opts -f qcow2 -c 1 b
  `,
  loads: `
    setup img create -q -f qcow2 b 8M
    setup img create -q r 1M
    img bench -c 0 b
    img bench -c 100 -f raw r
    img bench -c 10 -d 2 -s 4k b
    img bench -c 10 -S 8k -o 1M b
    img bench -c 3 -S 0 b
    img bench -c 10 -o 9M b
    img bench -c 2 -s 16M b
    img bench -c 2 -s 1000 b
    img bench -c 10 -w --pattern=5 b
    image b qcow2
    img bench -w -c 10 -d 4 --flush-interval 4 -f raw r
    img bench -w --no-drain --flush-interval=5 -c 10 -d 5 b
    img bench -i threads -c 10 b
    img bench -i native -c 10 b
    img bench -n -i threads -c 10 b
    img bench -i threads -n -c 10 b
    img bench -n -t none -c 10 b
    img bench -i io_uring -w -c 10 b
    img bench -i native -c 1 null-co://
    img bench -q -U -c 10 b
    img bench -t none -c 10 b
    img bench --image-opts -c 1 driver=qcow2,file.filename=b
    image b qcow2
  `,
});
