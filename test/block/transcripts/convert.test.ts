// img convert.
import { DISK_SIZE, transcripts } from './transcript.ts';

const IMAGES = `
  setup img create -q r 1M
  setup io -f raw -c 'write -P 1 0 100k' -c 'write -P 2 300k 1k' -c 'write -P 0 400k 64k' -c 'write -P 3 700k 100k' r
  setup img create -q -f qcow2 b 1M
  setup io -c 'write -P 1 64k 128k' -c 'write -z 384k 64k' -c 'write -P 9 500k 3k' b
`;

const SETTINGS = [
  '-S 0',
  '-S 4k',
  '-S 512',
  '-S 64k',
  '-S 1M',
  '-m 1',
  '-m 16',
  '-W',
  '-c',
  '-c -W',
  '-c -S 0',
  '-C',
  '-t none',
  '-t writethrough',
  '-T none',
  '--salvage',
  '-o cluster_size=4k',
  '-o cluster_size=2M',
  '-o compat=0.10',
  '-o refcount_bits=1',
  '-o extended_l2=on',
  '-o preallocation=metadata',
  '-o preallocation=full',
  '-o lazy_refcounts=on',
  '-o compression_type=zstd -c',
  '-o data_file=dd',
  '-r 100M',
  '-o cluster_size=512 -c',
];

transcripts(
  {
    'command line': `${IMAGES}
    img convert
    img convert r
    img convert nope o
    img convert r /nonexistent/x
    img convert r r
    img convert -f raw -O raw r r
    img convert -O nofmt r o
    img convert -f nofmt r o
    img convert -O qcow2 -S 3 r o
    img convert -O qcow2 -S 17M r o
    img convert -O qcow2 -S x r o
    img convert -m 0 r o
    img convert -m 17 r o
    img convert -m x r o
    img convert -t foo r o
    img convert -T foo r o
    img convert -r x r o
    img convert -x r o
    img convert -o '' r o
    img convert --image-opts -f raw driver=raw,file.filename=r o
    img convert -U r o
    img convert -q r o
    img convert -p r o
    img convert -p -q r o
  `,
    'combinations that are refused': `${IMAGES}
    img convert -c -O raw r o
    img convert -c -O vdi r o
    img convert -c -C -O qcow2 r o
    img convert -S 4k -C -O qcow2 r o
    img convert --salvage -C r o
    img convert --target-is-zero r o
    img convert --target-image-opts r driver=raw,file.filename=o
    img convert --skip-broken-bitmaps -O qcow2 b o
    img convert -c -o preallocation=metadata -O qcow2 b o
    img convert -c -o encryption=on -O qcow2 b o
    img convert -l x b b o
    img convert -l x -O qcow2 r o
    img convert -l x -O qcow2 b o
    img convert -l snapshot.id=1 -O qcow2 b o
    img convert -l snapshot.bogus=1 -O qcow2 b o
    img convert -O qcow2 -o cluster_size=3 r o
    img convert -O qcow2 -o bogus=1 r o
    img convert -O qcow2 -o help
    img convert -O qcow2 -o help r o
  `,
    'raw to raw': `${IMAGES}
    img convert r o
    same o
    img convert -S 0 r o
    same o
    img convert b o
    same o
    img convert r b o
    same o
    img convert -f qcow2 -O raw b o
    same o
    img map --output=json o
    setup img create -q odd 1500
    setup io -f raw -c 'write -P 1 1000 536' odd
    img convert odd o
    same o
    img convert -O qcow2 odd o
    image o qcow2
    setup img create -q empty 0
    img convert empty o
    img convert -O qcow2 empty o
    image o qcow2
  `,
    'copying left to the host': `${IMAGES}
    img convert -C r o
    same o
    img map --output=json o
    img convert -C -f qcow2 -O raw b o
    same o
    img map --output=json o
    img convert -C -n r o
    same o
    img convert -C -O qcow2 r o
    image o qcow2
    img convert -C -W -m 4 -O raw b o
    same o
    setup img create -q odd 1500
    setup io -f raw -c 'write -P 1 1000 536' odd
    img convert -C odd o
    same o
    setup img convert -c -O qcow2 r c
    img convert -C c o
    same o
    img convert -C r b o
    same o
    img convert -C --image-opts driver=raw,offset=64k,file.filename=r o
    same o
    img convert -C --image-opts driver=raw,file.driver=blkdebug,file.image.filename=r o
    same o
    img convert -C -t none r o
    same o
    setup img create -q big 8M
    img convert -C -n --target-image-opts r driver=raw,offset=128k,file.filename=big
    same big
  `,
    'existing targets': `${IMAGES}
    img convert -n r o2
    setup img create -q o 512k
    img convert -n r o
    img convert -n -o size=3M r o
    setup img create -q o 2M
    setup io -f raw -c 'write -P 7 0 2M' o
    img convert -n r o
    same o
    img convert --target-is-zero -n b o
    same o
    img convert --target-is-zero -n -B b -O qcow2 r o
    img convert -n --target-image-opts r driver=raw,file.filename=o
    same o
    img convert -n --target-image-opts -O raw r driver=raw,file.filename=o
    setup img create -q -f qcow2 q 1M
    setup io -c 'write -P 7 0 1M' q
    img convert -n -O qcow2 r q
    image q qcow2
    img convert -n -O raw b r
    image r raw
  `,
    'backing files': `${IMAGES}
    img convert -B b -O qcow2 r o
    img convert -B b -F qcow2 -O qcow2 r o
    image o qcow2
    img convert -F qcow2 -O qcow2 r o
    img convert -B nope -F qcow2 -O qcow2 r o
    img convert -B b -F qcow2 -O raw r o
    img convert -F qcow2 -O raw r o
    img convert -B b -F qcow2 -O qcow2 r r o
    img convert -O qcow2 -o backing_file=b r o
    img convert -O qcow2 -o backing_file=b,backing_fmt=qcow2 r o
    image o qcow2
    setup img create -q -f qcow2 -b b -F qcow2 top 2M
    setup io -c 'write -P 4 0 64k' -c 'write -z 64k 64k' -c 'write -P 5 1500k 64k' top
    img convert -O qcow2 top o
    image o qcow2
    img convert -O qcow2 -B b -F qcow2 top o
    image o qcow2
    img map --output=json o
    img convert -O qcow2 -c -B b -F qcow2 top o
    image o qcow2
  `,
    'snapshots and bitmaps': `${IMAGES}
    setup img snapshot -c s b
    setup io -c 'write -P 5 0 300k' b
    img convert -l s -O qcow2 b o
    image o qcow2
    img convert -l 1 b o
    same o
    img convert -l snapshot.name=s b o
    same o
    img convert -l snapshot.id=1,snapshot.name=s b o
    same o
    img convert -l snapshot.id=2 b o
    setup img bitmap --add b b0
    setup img bitmap --add --disable -g 4k b b1
    setup io -c 'write -P 6 100k 100k' b
    img convert --bitmaps -O qcow2 b o
    img info o
    image o qcow2
    img convert --bitmaps -O raw r o
    img convert --bitmaps -O qcow2 r o
    img convert --bitmaps -O raw b o
    img convert --bitmaps -O qcow2 b b o
  `,
  },
  { masks: DISK_SIZE },
);

transcripts(
  Object.fromEntries(
    SETTINGS.map((options) => [
      `to qcow2 with ${options}`,
      `${IMAGES}
        img convert -O qcow2 ${options} r o
        image o qcow2
        img convert -O qcow2 ${options} b o
        image o qcow2
      `,
    ]),
  ),
);
