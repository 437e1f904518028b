// img amend.
import { transcripts } from './transcript.ts';

transcripts({
  'command line': `
    setup img create -q r 1M
    setup img create -q -f qcow2 b 1M
    img amend
    img amend b
    img amend -x b
    img amend -o compat=0.10
    img amend -o compat=0.10 b c
    img amend -o compat=1.1 nope
    img amend -o '' b
    img amend -o bogus=1 b
    img amend -o cluster_size=4k b
    img amend -o preallocation=full b
    img amend -o encryption=on b
    img amend -o lazy_refcounts=maybe b
    img amend -t foo -o size=3M b
    img amend -f qcow2 -o compat=0.9 b
    img amend -o help b
    img amend -o help -f qcow2
    img amend -o help -f raw
    img amend -o help
    img amend -f nofmt -o help
    img amend -f raw -o size=3M r
    img amend -o help -f luks
    img amend -o backing_file=r,backing_fmt=raw b
  `,
  qcow2: `
    setup img create -q -f qcow2 b 1M
    setup io -c 'write -P 1 0 256k' -c 'write -z 256k 128k' b
    img amend -o compat=0.10 b
    img info b
    image b qcow2
    img amend -o compat=1.1,lazy_refcounts=on b
    img info b
    image b qcow2
    img amend -o refcount_bits=8 b
    image b qcow2
    img amend -o refcount_bits=1 b
    image b qcow2
    img amend -o size=2M b
    img info b
    image b qcow2
    img amend --force -o compat=1.1 b
    img amend -o size=1k b
    img info b
    image b qcow2
  `,
});
