// What people get wrong in their first minutes, in the real commands: one clear line on standard error and status 1.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { commandPath } from '../guest/guest-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'nandu-first-steps-'));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

writeFileSync(at('text'), 'no kernel\n'.repeat(100));
writeFileSync(at('raw'), new Uint8Array(1 << 20));
spawnSync(commandPath('nandu-img'), ['create', '-q', '-f', 'qcow2', at('disk.qcow2'), '1M']);

/** A kernel for the Multiboot protocol that halts with interrupts off. */
function haltingKernel(): string {
  const HEADER = { magic: 0x1bad_b002, flags: 0x1_0000, load: 0x10_0000 } as const;
  const CODE = 32;
  const bytes = Buffer.alloc(64);
  const { magic, flags, load } = HEADER;
  [magic, flags, -(magic + flags), load, load, load + 64, load + 64, load + CODE].forEach((word, n) => bytes.writeInt32LE(word | 0, 4 * n));
  bytes.set([0xfa, 0xf4], CODE); // CLI, HLT
  writeFileSync(at('halt'), bytes);
  return at('halt');
}

const IMAGE = at('disk.qcow2');
const DRIVE = ['-drive', `file=${IMAGE},if=none,id=d`];
// prettier-ignore
const MISTAKES: readonly (readonly [words: readonly string[], error: string])[] = [
  [['nandu', 'run', at('missing.qcow2')], `nandu: Could not open '${at('missing.qcow2')}': No such file or directory`],
  [['nandu', 'run', folder], `nandu: Could not open '${folder}': Is a directory`],
  [['nandu', 'run', at('text')], `nandu: '${at('text')}' is neither a kernel nor a disk or CD that can be booted`],
  [['nandu', 'run', at('raw')], `nandu: '${at('raw')}' is neither a kernel nor a disk or CD that can be booted`],
  [['nandu-system-x86_64', '-hda', at('missing')], `nandu-system-x86_64: -hda ${at('missing')}: Could not open '${at('missing')}': No such file or directory`],
  [['nandu-system-x86_64', ...DRIVE, '-device', 'virtio-blk'], 'nandu-system-x86_64: -device virtio-blk: drive property not set'],
  [['nandu-system-x86_64', ...DRIVE, '-device', 'virtio-blk,drive=e'],
    "nandu-system-x86_64: -device virtio-blk,drive=e: Property 'virtio-blk-device.drive' can't find value 'e'"],
  [['nandu-system-x86_64', ...DRIVE, '-device', 'scsi-hd,drive=d'], "nandu-system-x86_64: -device scsi-hd,drive=d: No 'SCSI' bus found for device 'scsi-hd'"],
  [['nandu-system-x86_64', ...DRIVE, '-device', 'nvme,drive=d'], 'nandu-system-x86_64: -device nvme,drive=d: serial property not set'],
  [['nandu-system-x86_64', '-kernel', haltingKernel(), '-nographic', '-S'],
    'nandu-system-x86_64: the machine is stopped (prelaunch), and no input is left that could tell it to go on'],
];

for (const [[program, ...words], error] of MISTAKES) {
  test(error.replaceAll(folder, '…'), { timeout: 60_000 }, () => {
    const { status, stderr } = spawnSync(commandPath(program!), words, { encoding: 'utf8', input: '', timeout: 50_000 });
    assert.equal(stderr, `${error}\n`);
    assert.equal(status, 1);
  });
}

test('an image that is in use is named in one line', { timeout: 60_000 }, () => {
  const words = ['-drive', `file=${IMAGE},if=virtio`, '-drive', `file=${IMAGE},if=virtio`, '-nographic'];
  const { status, stderr } = spawnSync(commandPath('nandu-system-x86_64'), words, { encoding: 'utf8', input: '', timeout: 50_000 });
  // Where the host has no locks there is no second user to be seen.
  if (status !== null) assert.match(stderr, /: Failed to get "write" lock\. Is another process using the image \[.*disk\.qcow2\]\?\n$/);
});
