// img create.
import { transcripts } from './transcript.ts';

transcripts({
  sizes: `
    img create -f raw a 1M
    img create a 1000
    img create a 1.5k
    img create a 0x100
    img create a 0x1k
    img create a 1.0
    img create a 1.k
    img create a 0.1M
    img create a 1K
    img create a 1b
    img create a 1.5
    img create a .5k
    img create a 1kk
    img create a 1e3
    img create a 0x
    img create a 0x1.5
    img create a 1Q
    img create a " 1M"
    img create a +1M
    img create a ''
    img create a -- -1
    img create a -1M
    img create a 9E
    img create a 8388608T
    img create a 10000000000000000000000
    img create a
    img create a 1M 2M
    img create
    img create -f qcow2 g 512.
    img create -f qcow2 g 1b
    img create -f qcow2 g 1000b
    image g qcow2
  `,
  'formats and protocols': `
    img create -f nofmt e 1M
    img create -f blkdebug x 1M
    img create nosuch:x 1M
    img create -f qcow2 json:{} 1M
    img create -f raw /nonexistent/x 1M
    img create -f qcow2 /nonexistent/x 1M
    img create -f raw . 1M
    img create '' 1M
    img create -f file a 2M
    image a raw
    img create -f help
    img create -q -f qcow2 f 1M
    image f qcow2
  `,
  options: `
    img create -f qcow2 -o '' e 1M
    img create -f qcow2 -o , e 1M
    img create -f qcow2 -o compat=0.10, e 1M
    img create -f qcow2 -o ,compat=0.10 e 1M
    img create -f qcow2 -o compat=1.1,, e 1M
    img create -f qcow2 -o bogus=1 e 1M
    img create -f qcow2 -o bogus e 1M
    img create -f qcow2 -o =3 e 1M
    img create -f qcow2 -o help=1 e 1M
    img create -f qcow2 -o cluster_size=x e 1M
    img create -f qcow2 -o cluster_size e 1M
    img create -f qcow2 -o cluster_size=-1 e 1M
    img create -f qcow2 -o cluster_size=1.5 e 1M
    img create -f qcow2 -o cluster_size=64Kx e 1M
    img create -f qcow2 -o cluster_size=99999999999E e 1M
    img create -f qcow2 -o cluster_size=3 e 1M
    img create -f qcow2 -o cluster_size=4M e 1M
    img create -f qcow2 -o cluster_size=4k e 1M
    image e qcow2
    img create -f qcow2 -o lazy_refcounts=maybe e 1M
    img create -f qcow2 -o lazy_refcounts=yes e 1M
    img create -f qcow2 -o nolazy_refcounts e 1M
    img create -f qcow2 -o lazy_refcounts e 1M
    img create -f qcow2 -o compat=0.10 -o lazy_refcounts f 1M
    img create -f qcow2 -o refcount_bits=x e 1M
    img create -f qcow2 -o refcount_bits=4x e 1M
    img create -f qcow2 -o refcount_bits=0x4 e 1M
    img create -f qcow2 -o refcount_bits=-1 e 1M
    img create -f qcow2 -o refcount_bits=99999999999999999999 e 1M
    img create -f qcow2 -o refcount_bits=3 e 1M
    img create -f qcow2 -o refcount_bits=1 e 1M
    img create -f qcow2 -o refcount_bits=64 e 1M
    image e qcow2
    img create -f qcow2 -o compat=0.10,refcount_bits=8 e 1M
    img create -f qcow2 -o compat=v2 e 1M
    img create -f qcow2 -o compat=9 e 1M
    img create -f qcow2 -o size=5M e
    img create -f qcow2 -o size=5M e 6M
    img create -f qcow2 -o size=1.5x e
    img create -f qcow2 -o extended_l2=on e 1M
    img create -f qcow2 -o extended_l2=on,cluster_size=4k e 1M
    img create -f qcow2 -o compression_type=zstd e 1M
    img create -f qcow2 -o compression_type=lzma e 1M
    img create -f qcow2 -o compat=0.10,compression_type=zstd e 1M
    img create -f qcow2 -o preallocation=bad e 1M
    img create -f qcow2 -o preallocation=metadata e 1M
    image e qcow2
    img create -f qcow2 -o preallocation=falloc e 1M
    image e qcow2
    img create -f qcow2 -o preallocation=full e 1M
    image e qcow2
    img create -f qcow2 -o data_file=dd e 1M
    img create -f qcow2 -o data_file=dd,data_file_raw=on e 1M
    img create -f qcow2 -o data_file_raw=on e 1M
    img create -f qcow2 -o encryption=on e 1M
    img create -f qcow2 -o encrypt.format=luks e 1M
    img create -f qcow2 -o encrypt.format=foo e 1M
    img create -f qcow2 -o encryption=on,encrypt.format=luks e 1M
    img create -f raw -o preallocation=full p 64k
    same p
    img create -f raw -o preallocation=x p 64k
    img create -o preallocation=falloc x 1M
    img create -f raw -o nocow=off,extent_size_hint=0,preallocation=off x 1M
    img create -o help
    img create -f raw -o help
    img create -f qcow2 -o help
    img create -f file -o help
    img create -f qcow2 -o ? e 1M
    img create -f qcow2 -o cluster_size=4k,help e 1M
    img create -f raw -o help x
    img create -f nofmt -o help
  `,
  'backing files': `
    setup img create -q -f qcow2 b 1M
    img create -f qcow2 -b b c
    img create -f qcow2 -b b -F qcow2 c
    image c qcow2
    img create -f qcow2 -b b -F raw c 2M
    img create -f qcow2 -b nope -F qcow2 d
    img create -f qcow2 -b nope -F qcow2 d 1M
    img create -f qcow2 -b nope -F nofmt d 1M
    img create -f qcow2 -u -b nope -F qcow2 d 1M
    img create -f qcow2 -u -b nope d 1M
    img create -f qcow2 -u -b nope -F qcow2 d2
    img create -f qcow2 -F qcow2 e 1M
    img create -f qcow2 -o backing_file=b,backing_fmt=qcow2 e
    img create -f qcow2 -o backing_file=b e
    img create -f qcow2 -o backing_file=,backing_fmt=raw e 1M
    img create -f qcow2 -o backing_file=a,,b,backing_fmt=raw -u e 1M
    img create -f qcow2 -o backing_file=a,backing_fmt=nofmt -u e 1M
    img create -f raw -b b f 1M
    img create -f raw -F raw f 1M
    img create -f qcow2 -b f f 1M
    img create -f qcow2 -b . -F raw f 1M
    img create -f qcow2 -o data_file=dd,data_file_raw=on,backing_file=b,backing_fmt=qcow2 e 1M
  `,
});
