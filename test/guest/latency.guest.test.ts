// `nandu latency` as a command: it boots its guest, and its figures add up, for each controller; two settings compared; the page and the
// trace that it writes.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { hasDebianTools } from '../../src/cli/debian-guest.ts';
import type { Summary } from '../../src/cli/latency/summary.ts';
import { LAYER } from '../../src/trace/request-latency.ts';
import { commandPath } from './guest-process.ts';

const skip = hasDebianTools() ? false : 'there is no apt-get for a Linux kernel';
const folder = mkdtempSync(join(tmpdir(), 'nandu-latency-test-'));
after(() => rmSync(folder, { recursive: true }));

function latency(...words: readonly string[]): string {
  const all = ['latency', '--count', '400', ...words];
  const { status, stdout, stderr } = spawnSync(commandPath('nandu'), all, { encoding: 'utf8', maxBuffer: 1 << 26 });
  assert.equal(status, 0, stderr);
  return stdout;
}

const summaryOf = (...words: readonly string[]): Summary => JSON.parse(latency('--json', ...words)) as Summary;

function checkSum({ layers, total, middleNs, programNs, unexplainedPercent, measured }: Summary, isAlone = true): void {
  const sum = layers.reduce((all, { meanNs }) => all + meanNs, 0);
  assert.ok(Math.abs(sum - middleNs) < 0.02 * middleNs, `layers ${sum}, total ${middleNs}`);
  assert.ok(unexplainedPercent < 2 && measured!.clockPercent < 2);
  assert.equal(programNs !== undefined && programNs > 0, isAlone);
  assert.ok(total.count >= 390 && measured!.plain.count === 400 && measured!.host.count === 100);
}

const CONTROLLERS = {
  virtio: 'virtqueue_pop', nvme: 'nvme_command', ahci: 'ata_ahci_command', ide: 'ata_ide_command', scsi: 'virtio_scsi_request',
};

for (const [driver, event] of Object.entries(CONTROLLERS)) {
  test(`layers of requests through ${driver}`, { skip }, () => {
    const summary = summaryOf('--driver', driver);
    checkSum(summary);
    const names = summary.layers.map(({ name }) => name);
    for (const name of [LAYER.atOnce, LAYER.drive, LAYER.device, LAYER.before, LAYER.after, 'block node: raw', 'block node: file']) {
      assert.ok(names.includes(name), `${name} is in ${names.join(', ')}`);
    }
    assert.ok(summary.typical.events.some(({ name }) => name === event));
  });
}

test('several random reads of qcow2 at once through the thread pool; the page and the trace', { skip }, () => {
  const [page, trace] = [join(folder, 'page.html'), join(folder, 'trace')];
  const summary = summaryOf(
    '--format', 'qcow2', '--random', '--depth', '4', '--drive', 'file.x-cached-reads=off', '--html', page, '--trace', trace,
  );
  checkSum(summary, false);
  const names = summary.layers.map(({ name }) => name);
  assert.ok(names.includes(LAYER.pooled) && names.includes('block node: qcow2') && !names.includes(LAYER.atOnce));
  assert.ok(summary.typical.events.some(({ thread }) => thread === 'thread pool'));
  const html = readFileSync(page, 'utf8');
  assert.match(html, /<svg[^]*block node: qcow2[^]*<\/html>\n$/);
  assert.doesNotMatch(html, /\b(src|href)=/);
  const { stdout } = spawnSync(commandPath('nandu'), ['trace', trace], { encoding: 'utf8', maxBuffer: 1 << 28 });
  assert.match(stdout, /^host_file_done [\d.]+ pid=\d+ request \d+ call \d+ pooled 1 failed 0$/m);
});

test('a setting that cannot be measured is named', () => {
  const words = ['latency', '--compare', '--driver floppy', '--driver ahci'];
  const { status, stderr } = spawnSync(commandPath('nandu'), words, { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.match(stderr, /^nandu: --compare '--driver floppy': --driver: 'floppy' is none of /);
});

test('two settings compared', { skip }, () => {
  const text = latency('--runs', '1', '--write', '--compare', '--driver virtio', '--driver ahci');
  assert.match(text, /^A: --driver virtio\nB: --driver ahci\n1 runs of each/);
  assert.match(text, /^B - A: -?[\d.]+ us \(-?[\d.]+ %\), 95 % of bootstrapped runs from /m);
  assert.match(text, /Mann-Whitney: A is the slower one in [\d.]+ % of pairs, p [<=] [\d.]+\n/);
});
