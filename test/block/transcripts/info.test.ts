// img info.
import { DISK_SIZE, present, transcripts } from './transcript.ts';

const FORMATS = await present('raw', 'qcow2', 'qcow', 'vdi', 'vhdx', 'vpc', 'vmdk', 'qed', 'parallels');

transcripts(
  Object.fromEntries(
    FORMATS.map((format) => [
      `an image of the reference: ${format}`,
      `
        setup img create -q -f ${format} a 3M
        img info a
        img info -f ${format} a
        img info --output=json a
        img info --backing-chain a
        img info --backing-chain --output=json a
        img info --image-opts driver=${format},file.filename=a
      `,
    ]),
  ),
  { masks: [[/(cid|"cid"): \d+/g, '$1: <cid>']] },
);

transcripts({
  'a name of nothing': `
    img info ''
    img info -f raw ''
    img info -f nbd ''
    img info --image-opts file.filename=
    img info --image-opts driver=file,filename=
  `,
  'backing chains': `
    setup img create -q -f qcow2 base 3M
    setup img create -q -f qcow2 -b base -F qcow2 o1
    setup img create -q -f qcow2 -b o1 -F qcow2 o2
    img info o2
    img info --backing-chain o2
    img info --backing-chain --output=json o2
    setup img create -q -f qcow2 -u -b nope -F qcow2 broken 1M
    img info broken
    img info --output=json broken
    img info --backing-chain broken
    setup img rebase -u -b o2 -F qcow2 base
    img info --backing-chain base
  `,
  'snapshots and bitmaps': `
    setup img create -q -f qcow2 a 3M
    setup img snapshot -c s1 a
    setup io -c 'write 0 64k' a
    setup img snapshot -c s2 a
    img info a
    img info --output=json a
    setup img bitmap --add a b0
    setup img bitmap --add -g 1M --disable a b1
    img info a
    img info --output=json a
  `,
  'kinds of qcow2': `
    setup img create -q -f qcow2 -o compat=0.10 a 3M
    img info a
    img info --output=json a
    setup img create -q -f qcow2 -o lazy_refcounts=on,refcount_bits=1,cluster_size=512 b 3M
    img info b
    img info --output=json b
    setup img create -q -f qcow2 -o extended_l2=on,compression_type=zstd c 3M
    img info c
    setup img create -q -f qcow2 -o data_file=d.raw,data_file_raw=on d 3M
    img info d
    img info --output=json d
    setup img create -q -f qcow2 -o preallocation=full e 3M
    img info e
  `,
});

transcripts(
  {
    'sizes for people': `
      setup img create -q a 512
      img info a
      setup img create -q a 1000k
      img info a
      setup img create -q a 1023k
      img info a
      setup img create -q a 1024000
      img info a
      setup img create -q a 999M
      img info a
      setup img create -q a 1001M
      img info a
      setup img create -q a 123456789012
      img info a
      setup img create -q a 3T
      img info a
      setup img create -q a 0
      img info a
    `,
  },
  { masks: DISK_SIZE },
);
