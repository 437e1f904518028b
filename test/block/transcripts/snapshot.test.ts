// img snapshot.
import { transcripts } from './transcript.ts';

transcripts({
  'command line': `
    setup img create -q -f qcow2 b 1M
    setup img create -q r 1M
    img snapshot
    img snapshot a b
    img snapshot b
    img snapshot -l nope
    img snapshot -c x -l b
    img snapshot -l -l b
    img snapshot -a x -d y b
    img snapshot -c x -f raw r
    img snapshot -l r
    img snapshot -c x r
    img snapshot -d x r
    img snapshot -U -c x b
    img snapshot -U -l b
    img snapshot --image-opts -l driver=qcow2,file.filename=b
  `,
  'making, applying, deleting': `
    setup img create -q -f qcow2 b 1M
    setup io -c 'write -P 1 0 256k' b
    img snapshot -l b
    img snapshot -c s b
    img snapshot b
    setup io -c 'write -P 2 128k 256k' b
    img snapshot -c s b
    img snapshot -l b
    image b qcow2
    img snapshot -a 1 b
    image b qcow2
    img snapshot -a 2 b
    image b qcow2
    img snapshot -a nope b
    img snapshot -d nope b
    img snapshot -d s b
    img snapshot -l b
    image b qcow2
    img snapshot -d s b
    img snapshot -d s b
    img snapshot -q -c z b
    img snapshot -q -d z b
    img snapshot -c '' b
    img snapshot -l b
    img snapshot -d '' b
    img snapshot -c 1 b
    img snapshot -c x b
    img snapshot -l b
    img snapshot -d 1 b
    img snapshot -l b
    img snapshot -c ${'x'.repeat(300)} b
    img snapshot -l b
    image b qcow2
  `,
  'sizes that differ': `
    setup img create -q -f qcow2 b 1M
    img snapshot -c small b
    setup img resize b 2M
    img snapshot -c big b
    img snapshot -a small b
    img info b
    img snapshot -a big b
    img info b
    image b qcow2
  `,
  'formats without snapshots': `
    setup img create -q -f qed e 1M
    img snapshot -c x e
    img snapshot -l e
    img snapshot -a x e
    img snapshot -d x e
    setup img create -q -f vmdk v 1M
    img snapshot -c x v
    setup img create -q -f qcow2 -o data_file=d.raw d 1M
    img snapshot -c x d
  `,
  "a machine's state": `
    setup img create -q -f qcow2 b 4M
    setup io -c 'write -b -P 5 0 64k' b
    img snapshot -c x b
    img check b
    setup io -c 'write -b -P 6 4k 8k' b
    img check b
    img snapshot -a x b
    img check b
    image b qcow2
  `,
});
