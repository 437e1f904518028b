// The wording that wrong-command-lines.ts claims to be QEMU 7.2's is what QEMU 7.2 says, where it is installed.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { WRONG_COMMAND_LINES } from './wrong-command-lines.ts';

const QEMU = 'qemu-system-x86_64';
const { stdout: version } = spawnSync(QEMU, ['-version'], { encoding: 'utf8' });
const skip = !/version 7\.2\./.test(version ?? '') && 'QEMU 7.2 is not installed';

for (const { words } of WRONG_COMMAND_LINES.filter(({ sameAsQemu }) => sameAsQemu)) {
  test(`QEMU ${words}`, { skip }, () => {
    const split = words.split(' ');
    const { stderr, status } = spawnSync(QEMU, ['-display', 'none', ...split], { encoding: 'utf8', timeout: 10_000, input: '' });
    const [line = ''] = stderr.split('\n').filter((text) => !text.startsWith('qemu: module'));
    const expected = WRONG_COMMAND_LINES.find((row) => row.words === words)!.error;
    assert.equal(line.replace(/^qemu(-system-x86_64)?: /, ''), expected);
    assert.equal(status, 1);
  });
}
