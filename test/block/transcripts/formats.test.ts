// Every format that can be written: made, converted to and from, compared, mapped, by ours and by the reference.
import { DISK_SIZE, present, transcripts } from './transcript.ts';

const SOURCE = `
  setup img create -q r 3M
  setup io -f raw -c 'write -P 1 0 100k' -c 'write -P 2 300k 1k' -c 'write -P 0 400k 64k' -c 'write -P 3 1700k 200k' r
`;

/** A format with `-o` options; masks cover what is random in it. */
const TARGETS: Readonly<Record<string, readonly string[]>> = {
  raw: ['', '-o preallocation=falloc', '-o preallocation=full'],
  qcow2: ['', '-c', '-o compat=0.10', '-o cluster_size=4k', '-c -o compression_type=zstd'],
  qcow: [''], // the reference's `convert -c -O qcow` ends with status 1 and no message
  vdi: ['', '-o static=on'],
  vhdx: ['', '-o subformat=fixed', '-o block_size=1M'],
  vpc: ['', '-o subformat=fixed', '-o force_size=on', '-o subformat=fixed,force_size=on'],
  vmdk: [
    '',
    '-o subformat=monolithicFlat',
    '-o subformat=twoGbMaxExtentSparse',
    '-o subformat=twoGbMaxExtentFlat',
    '-o subformat=streamOptimized',
    '-o zeroed_grain=on',
    '-o compat6=on',
    '-o adapter_type=lsilogic',
    '-c -o subformat=streamOptimized',
  ],
  qed: ['', '-o cluster_size=4k', '-o table_size=4'],
  parallels: ['', '-o cluster_size=64k'],
};

const RULES = { masks: [...DISK_SIZE, [/(cid|"cid"): \d+/g, '$1: <cid>']] as const };

for (const format of await present(...Object.keys(TARGETS))) {
  const script = TARGETS[format]!.map(
    (options) => `
      img convert -O ${format} ${options} r o
      image o ${format}
      img info o
      setup img convert -O ${format} ${options} r t
      img compare t r
      img compare -f ${format} t t
      img convert -f ${format} t back
      same back
      img map -f ${format} t
      img map -f ${format} --output=json t
      img check -f ${format} t
    `,
  ).join('');
  const create = TARGETS[format]!.filter((options) => !options.includes('-c'))
    .map(
      (options) => `
      img create -f ${format} ${options} n 5M
      image n ${format}
    `,
    )
    .join('');
  transcripts(
    {
      [`${format}: convert`]: SOURCE + script,
      [`${format}: create`]: `${create}\nimg create -f ${format} -o help x\nimg create -f ${format} n`,
    },
    RULES,
  );
}
