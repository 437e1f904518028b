// nandu-io against the installed qemu-io: the same command lines (io-commands.txt) must print the same, end the same, and leave
// the same images.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { runIo } from '../../src/cli/image-tools/io.ts';
import { CapturedIo, mustRun, noReference, splitWords, TwinFolders, type Mask } from './reference.ts';

interface Topic {
  readonly name: string;
  readonly commandLines: readonly string[];
}

function readTopics(): readonly Topic[] {
  const text = readFileSync(join(process.cwd(), 'test/block/io-commands.txt'), 'utf8').replaceAll(/^#.*\n/gm, '');
  const topics = text.split(/^== /m).slice(1);
  return topics.map((section) => {
    const [name, ...rows] = section.trim().split('\n');
    return { name: name!, commandLines: rows.filter((row) => row !== '') };
  });
}

const [FOLDER, ...TOPICS] = readTopics();

/** Times and rates. */
const MASKS: readonly Mask[] = [
  [/ ops; .*$/gm, ' ops'],
  [/^(\d+,\d+),\d+:\d\d:\d\d\.\d\d,.*$/gm, '$1'],
];

const RULES = `[inject-error]
event = "read_aio"
once = "on"

[set-state]
event = "write_aio"
new_state = "2"

[inject-error]
event = "write_aio"
state = "2"
errno = "28"
`;

/** Images that a topic may change. */
const IMAGES = {
  raw: ['raw.img', 'copy.img', 'one.img', 'two.img', 'three.img'],
  qcow2: ['image.qcow2', 'second.qcow2', 'overlay.qcow2'],
} as const;

const template = mkdtempSync(join(tmpdir(), 'nandu-io-'));

before(() => {
  writeFileSync(join(template, 'rules'), RULES);
  if (noReference !== false) return;
  for (const line of FOLDER!.commandLines) {
    const [tool, ...words] = splitWords(line);
    mustRun(tool as 'img' | 'io', words, template);
  }
});
after(() => rmSync(template, { recursive: true }));

for (const { name: topic, commandLines } of TOPICS) {
  describe(`like qemu-io: ${topic}`, { skip: noReference }, () => {
    let folders: TwinFolders;
    before(() => {
      folders = new TwinFolders({ io: runIo });
      for (const folder of [folders.ours, folders.theirs]) cpSync(template, folder, { recursive: true });
    });
    after(() => folders.remove());

    test(`${commandLines.length} command lines`, async () => {
      for (const line of commandLines) await folders.same(line, MASKS);
    });

    test('the images', async () => {
      for (const name of IMAGES.raw) await folders.sameImage(name);
      for (const name of IMAGES.qcow2) await folders.sameImage(name, 'qcow2');
    });
  });
}

describe('like qemu-io: commands from standard input', { skip: noReference }, () => {
  const inputs = [
    'length\n\nfoo\nread 0 512\n  info  \nquit\nlength\n',
    'length\nread',
    '',
    'read -P 1 0 512\n',
    'read 0 512 # x\nread "0" 512\n\'length\'\n',
  ];
  for (const input of inputs) {
    test(JSON.stringify(input), async () => {
      const folders = new TwinFolders({ io: runIo });
      try {
        await folders.prepare('img create -q -f qcow2 image.qcow2 4M');
        await folders.same('io image.qcow2', MASKS, input);
      } finally {
        folders.remove();
      }
    });
  }
});

test('help and version', async () => {
  const io = new CapturedIo('qemu-io');
  assert.equal(await runIo(['--help'], io), 0);
  assert.match(io.stdout, /^Usage: qemu-io \[OPTIONS\]/);
  const version = new CapturedIo('nandu-io');
  assert.equal(await runIo(['-V'], version), 0);
  assert.match(version.stdout, /^nandu-io version \S+ \(compatible with qemu-io 7\.2\)\n/);
  const wrong = new CapturedIo('nandu-io');
  assert.equal(await runIo(['-Z'], wrong), 1);
  assert.equal(wrong.stderr, "nandu-io: invalid option -- 'Z'\n");
});

test('copies that differ end the program at once', async () => {
  const io = new CapturedIo('nandu-io');
  const copies = 'children.0.driver=null-co,children.1.driver=null-co,children.1.read-zeroes=on';
  const words = `--image-opts driver=quorum,vote-threshold=2,blkverify=on,${copies}`;
  assert.equal(await runIo([...words.split(' '), '-c', 'read 0 512', '-c', 'length'], io), 1);
  assert.deepEqual([io.stdout, io.stderr], ['', 'quorum: offset=0 bytes=512 contents mismatch at offset 0\n']);
});
