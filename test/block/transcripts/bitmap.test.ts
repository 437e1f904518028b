// img bitmap.
import { transcripts } from './transcript.ts';

transcripts({
  'command line': `
    setup img create -q r 1M
    setup img create -q -f qcow2 b 1M
    img bitmap
    img bitmap b
    img bitmap b x
    img bitmap --add b
    img bitmap --add a b c
    img bitmap --foo b x
    img bitmap --add nope n
    img bitmap -g 4k b v
    img bitmap -g 4k --clear b v
    img bitmap -b b b v
    img bitmap -F qcow2 b v
    img bitmap -F qcow2 --merge x b v
    img bitmap -b b --add b x
    img bitmap --add -g x b z
    img bitmap --add -g 3 b y
    img bitmap --add -g 256 b z
    img bitmap --add -g 4G b z
    img bitmap --add --image-opts -f qcow2 b q1
    img bitmap --add b ''
    img bitmap --clear b nope
    img bitmap --disable b nope
    img bitmap --enable b nope
    img bitmap --remove b nope
    img bitmap --merge nope b x
  `,
  actions: `
    setup img create -q -f qcow2 b 1M
    img bitmap --add b x
    img bitmap --add b x
    img bitmap --add -g 1k b y
    img info b
    setup io -c 'write 100k 1k' b
    img bitmap --disable b x
    img bitmap --enable b x
    img bitmap --clear b x
    img bitmap --merge y b x
    img bitmap --merge y b nope
    img bitmap --add --disable b w
    img bitmap --add --enable b v
    img bitmap --remove --add b v
    img info b
    image b qcow2
    img bitmap -b b -F qcow2 --merge x b v
    setup img create -q -f qcow2 b2 1M
    setup img bitmap --add b2 x
    img bitmap -b b2 -F qcow2 --merge x b v
    img bitmap -b b2 --merge nope b v
    img bitmap -b nope --merge x b v
    img bitmap --remove b v
    img bitmap --add --image-opts driver=qcow2,file.filename=b q1
    img bitmap --add --merge x --clear b n1
    img bitmap --add --remove b n2
    img info b
    image b qcow2
    setup img create -q -f qcow2 -o compat=0.10 old 1M
    img bitmap --add old x
  `,
  'written to by a program that knows no bitmaps': `
    setup img create -q -f qcow2 b 1M
    setup img bitmap --add b x
    poke b 95 00
    img info b
    img check b
    img bitmap --add b y
    img info b
    img check -r leaks b
    image b qcow2
  `,
});
