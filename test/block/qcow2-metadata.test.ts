// What changes only the metadata of qcow2 images (snapshots, bitmaps, amend) beside the reference: the same words, and the same
// image afterwards byte for byte, but for the dates of snapshots. The tools' whole command lines are the transcripts'.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Prng } from '../../src/base/prng.ts';
import { runImg } from '../../src/cli/image-tools/img.ts';
import { ImageBytes, withoutDates } from './qcow2-damage.ts';
import { noReference, runReference, TwinFolders, type Mask } from './reference.ts';

const MASKS: readonly Mask[] = [
  [/#block\d+/g, '#block'],
  [/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, '<date>'],
  [/disk size: .*/g, 'disk size'],
];

describe('qcow2 metadata', { skip: noReference }, () => {
  let twins: TwinFolders;
  before(() => {
    twins = new TwinFolders({ img: runImg });
  });
  after(() => twins.remove());

  function sameBytes(name: string, when: string): void {
    const [ours, theirs] = [twins.ours, twins.theirs].map((folder) => withoutDates(readFileSync(join(folder, name))));
    assert.ok(ours!.equals(theirs!), `${when} leaves another image`);
  }

  /** Prepares an image `i` as `options` say, then runs every line on both sides. */
  async function run(setup: readonly string[], lines: readonly string[]): Promise<void> {
    for (const line of setup) await twins.prepare(line);
    for (const line of lines) {
      await twins.same(`img ${line}`, MASKS);
      sameBytes('i', line);
    }
    const status = await runReference('img', ['check', 'i'], { cwd: twins.ours });
    assert.equal(status.status, 0, status.stdout + status.stderr);
  }

  const image = (options: string, size = '2M'): string[] => [
    `img create -q -f qcow2 -o cluster_size=4k${options} i ${size}`,
    "io -c 'write -P 1 0 300k' -c 'write -P 2 1M 8k' i",
  ];
  const version3 = (options = ''): string[] => [...image(options), "io -c 'write -z 1100k 100k' i"];

  const AMENDS: Readonly<Record<string, readonly [setup: readonly string[], options: readonly string[]]>> = {
    'to version 2 and back': [version3(), ['compat=0.10', 'lazy_refcounts=on', 'refcount_bits=8', 'compat=1.1', 'compat=0.9']],
    'lazy refcounts': [
      version3(),
      ['compat=0.10,lazy_refcounts=on', 'lazy_refcounts=on', 'lazy_refcounts=off', 'lazy_refcounts=on', 'compat=0.10'],
    ],
    'refcount widths': [
      version3(),
      ['refcount_bits=8', 'refcount_bits=1', 'refcount_bits=64', 'compat=0.10', 'refcount_bits=3', 'compat=0.10,refcount_bits=16'],
    ],
    'a width that is too small': [[...version3(), 'img snapshot -c a i'], ['refcount_bits=1', 'refcount_bits=2']],
    sizes: [version3(), ['size=4M', 'size=6M', 'size=1000']],
    'what cannot be amended': [
      version3(),
      ['backing_file=x', 'data_file=x', 'data_file_raw=on', 'encrypt.state=active', 'cluster_size=4k', 'nothing=1'],
    ],
    'snapshots through versions': [[...version3(), 'img snapshot -c a i', "io -c 'write 0 64k' i"], ['compat=0.10', 'compat=1.1']],
    'compression type': [version3(',compression_type=zstd'), ['compat=0.10']],
    'several at once': [version3(',compat=0.10').slice(0, 2), ['compat=1.1,size=8M,lazy_refcounts=on,refcount_bits=32']],
  };
  for (const [name, [setup, options]] of Object.entries(AMENDS)) {
    test(`amend: ${name}`, () =>
      run(
        setup,
        options.flatMap((option) => [`amend -p -o ${option} i`, 'check i']),
      ));
  }

  test('amend: zero clusters over a backing file', async () => {
    await twins.prepare('img create -q -f qcow2 base 4M');
    await twins.prepare("io -c 'write -P 9 0 4M' base");
    const setup = [
      'img create -q -f qcow2 -b base -F qcow2 i',
      'img snapshot -c a i',
      "io -c 'write -z 64k 128k' i",
      'img snapshot -c b i',
      "io -c 'write -z 1M 64k' i",
    ];
    await run(setup, ['amend -p -o compat=0.10 i']);
  });

  test('bitmaps', () =>
    run(version3(), [
      'bitmap --add i one',
      'bitmap --add i one',
      'bitmap --add -g 100 i bad',
      'bitmap --add --disable -g 512 i two',
      'bitmap --add i three',
      'bitmap --remove i nothing',
      'bitmap --merge one --merge three i two',
      'info i',
      'resize i 8M',
      'resize --shrink i 1M',
      'bitmap --clear --enable i two',
      'snapshot -c s i',
      'snapshot -a s i',
      'snapshot -d s i',
      'measure -O qcow2 i',
      'bitmap --remove i one',
      'check -r all i',
      'convert --bitmaps -O qcow2 i copy',
      'info copy',
      'bitmap --remove i two',
      'bitmap --remove i three',
      'info i',
    ]));

  test('bitmaps with bits', async () => {
    const setup = [...image(',compat=1.1', '3M'), 'img bitmap --add -g 512 i x', "io -c 'write 1M 70k' -c 'write 2M 1M' i"];
    const merges = ['bitmap --add --merge x i y', 'bitmap --add -g 64k --merge x i z', 'bitmap --add -g 512 --merge z i w'];
    await run(setup, [...merges, 'check i', 'resize i 5M', 'check i']);
  });

  test('a bitmap that was not closed properly', async () => {
    for (const line of [...version3(), 'img bitmap --add i lost', 'img bitmap --add i good']) await twins.prepare(line);
    for (const folder of [twins.ours, twins.theirs]) {
      const bytes = new ImageBytes(join(folder, 'i'));
      const extension = bytes.bytes(0, 4096).indexOf(Buffer.from('23852875', 'hex'));
      bytes.write8(Number(bytes.read64(extension + 24)) + 15, 3);
      bytes.close();
    }
    await run([], [
      'info i',
      'check i',
      ...['--clear', '--enable', '--disable', '--merge good'].map((action) => `bitmap ${action} i lost`),
      'bitmap --merge lost i good',
      'resize i 9M',
      'convert --bitmaps -O qcow2 i copy',
      'convert --bitmaps --skip-broken-bitmaps -O qcow2 i copy',
      'bitmap --remove i lost',
      'info i',
    ]);
  });

  const KINDS = [
    'cluster_size=4k',
    'cluster_size=16k,extended_l2=on',
    'cluster_size=1k,refcount_bits=8',
    'cluster_size=4k,compat=0.10',
    'cluster_size=512,refcount_bits=64',
  ];
  KINDS.forEach((options, seed) => {
    test(`random snapshots: ${options}`, async () => {
      const random = new Prng(seed + 1);
      await twins.prepare(`img create -q -f qcow2 -o ${options} i 2M`);
      const names: string[] = [];
      for (let n = 0; n < 12; n++) {
        if (random.oneIn(2)) await twins.prepare(`io -c '${randomWrite(random, n)}' i`);
        else await snapshotAction(random, names, n);
      }
      assert.equal((await runReference('img', ['check', 'i'], { cwd: twins.ours })).status, 0);
    });
  });

  function randomWrite(random: Prng, n: number): string {
    const start = random.below(400) * 4096;
    const count = Math.min((1 + random.below(60)) * 4096, 2 * 2 ** 20 - start);
    const verb = random.pick([`write -P ${n + 1}`, `write -P ${n + 1}`, 'write -z', 'discard']);
    return `${verb} ${start} ${count}`;
  }

  async function snapshotAction(random: Prng, names: string[], n: number): Promise<void> {
    let line = `snapshot -c s${n} i`;
    const choice = names.length === 0 ? 0 : random.below(3);
    if (choice === 0) names.push(`s${n}`);
    else if (choice === 1) line = `snapshot -d ${names.splice(random.below(names.length), 1)[0]} i`;
    else line = `snapshot -a ${random.pick(names)} i`;
    await twins.same(`img ${line}`);
    sameBytes('i', line);
  }
});
