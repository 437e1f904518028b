// img check.
import { transcripts } from './transcript.ts';

transcripts({
  'command line': `
    setup img create -q -f qcow2 b 1M
    setup img create -q r 1M
    img check
    img check a b
    img check nope
    img check --image-opts -f qcow2 b
    img check -r foo b
    img check -T foo b
    img check r
    img check --output=json r
    img check -f raw b
    img check -r all r
    img check -U b
    img check -r all -U b
    img check -q b
    img check -T none b
    img check --image-opts driver=qcow2,file.filename=b
  `,
  'sound images': `
    setup img create -q -f qcow2 b 1M
    img check b
    img check --output=json b
    setup io -c 'write 0 300k' b
    img check b
    img check --output=json b
    img check -r leaks b
    img check -r all b
    setup img convert -c -O qcow2 b c
    img check c
    img check --output=json c
    setup img snapshot -c s b
    setup io -c 'write 64k 64k' b
    img check b
    setup img create -q -f qcow2 -o extended_l2=on e 1M
    setup io -c 'write 4k 20k' e
    img check e
    setup img create -q -f vdi v 3M
    img check v
    img check --output=json v
    setup img create -q -f vhdx x 3M
    img check x
    setup img create -q -f qed q 3M
    setup io -c 'write 0 64k' q
    img check q
    setup img create -q -f parallels p 3M
    img check p
    setup img create -q -f vpc w 3M
    img check w
  `,
});

/** Where the tables of a fresh image with 64 KiB clusters lie: header, refcount table, refcount block, L1 table, L2 table. */
const FRESH = `
  setup img create -q -f qcow2 b 1M
  setup io -c 'write -P 1 0 300k' b
`;

const DAMAGES: Readonly<Record<string, string>> = {
  'a refcount that is too low': 'poke b 131082 0000',
  'a refcount that is too high': 'poke b 131080 0007',
  'a leaked cluster': 'poke b 131100 0001',
  'two L2 entries for one cluster': 'poke b 262152 8000000000050000',
  'an L2 entry without COPIED': 'poke b 262144 0000000000050000',
  'an unaligned L2 entry': 'poke b 262144 8000000000050200',
  'an L2 entry beyond the end': 'poke b 262144 8000000100000000',
  'a reserved bit in an L2 entry': 'poke b 262144 8000000000050002',
  'an unaligned L1 entry': 'poke b 196608 8000000000040200',
  'an L1 entry that is a flag alone': 'poke b 196608 8000000000000000',
  'no refcount block': 'poke b 65536 0000000000000000',
  'an unaligned refcount block': 'poke b 65536 0000000000020200',
  'the corrupt bit': 'poke b 79 02',
  'the dirty bit': 'poke b 79 01',
  'an unknown incompatible bit': 'poke b 72 80',
  'an unknown compatible bit': 'poke b 80 80',
};

transcripts(
  Object.fromEntries(
    Object.entries(DAMAGES).map(([name, damage]) => [
      `damaged: ${name}`,
      `${FRESH}
        ${damage}
        img check b
        img check --output=json b
        img check -r leaks b
        img check b
        img check -r all b
        img check --output=json -r all b
        image b qcow2
      `,
    ]),
  ),
);
