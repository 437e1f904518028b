// What is said of drives that wait, on a clock that the test moves: a flush that a breakpoint of blkdebug holds, an NBD server that does
// not answer, and what waits for them in turn: draining, the reset's wait, closing.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, beforeEach, test } from 'node:test';
import { memoryStreamPair, type MemoryStream } from '../../src/block/nbd/memory-stream.ts';
import { createBlockHost } from '../../src/platform/node/block-host.ts';
import { runHumanCommand, type MonitorTarget } from '../../src/qmp/human-commands.ts';
import { loopNs, setLoopClock } from '../../src/trace/stalls.ts';
import { lastingWaitsLine } from '../../src/trace/waits.ts';
import { DriveCommands } from '../../src/vm/drives/drive-commands.ts';
import { MachineDrives } from '../../src/vm/drives/machine-drives.ts';
import { withDefaults, type DriveOptions } from '../../src/vm/options.ts';
import { takeEvents } from '../traced-events.ts';

const folder = mkdtempSync(join(tmpdir(), 'nandu-waits-'));
after(() => rmSync(folder, { recursive: true }));

const SECOND = 1e9;
const former = loopNs;
let now = 0;
beforeEach(() => setLoopClock(() => now));
afterEach(() => setLoopClock(former));

const monitor = (drives: MachineDrives): MonitorTarget => ({
  version: '0', name: undefined, uuid: undefined, runState: 'running', drives: new DriveCommands(drives),
  pause() {}, resume() {}, reset() {}, powerButton() {}, quit() {},
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function open(drive: DriveOptions, options: Parameters<typeof createBlockHost>[0]): Promise<MachineDrives> {
  const host = { block: createBlockHost(options), temporaryPath: () => join(folder, 'temporary') };
  return MachineDrives.open(host, withDefaults({ drives: [drive] }));
}

test('a flush that is stuck for five seconds is named with what holds it', async () => {
  const filename = join(folder, 'disk');
  writeFileSync(filename, new Uint8Array(1 << 20));
  const node = { driver: 'raw', 'file.driver': 'blkdebug', 'file.image.driver': 'file', 'file.image.filename': filename };
  const drives = await open({ id: 'virtio0', interface: 'none', node }, { files: 'pooled' });
  const target = monitor(drives);
  const run = (line: string): string | Promise<string> => runHumanCommand(target, line);
  assert.equal(await run('qemu-io virtio0 "break flush_to_os stuck"'), '');
  assert.match(await run('qemu-io virtio0 "read 0 512"'), /^Error: "read 0 512" is none of "break EVENT TAG"/);
  const events = takeEvents('wait_long');
  await drives.drives.get('virtio0')!.write(0, new Uint8Array(512)); // else there is nothing to flush
  const flush = drives.drives.get('virtio0')!.flush() as Promise<void>;
  await turn();
  now += 5 * SECOND;
  assert.match(await run('info stalls'), /^blkdebug: breakpoint stuck waits since 5\.0 s\nvirtio0: flush waits since 5\.0 s$/m);
  const reset = drives.idle();
  await turn();
  now += 2 * SECOND;
  assert.match(lastingWaitsLine(), /; virtio0: end of its requests waits since 2\.0 s$/);
  assert.equal(await run('qemu-io virtio0 "resume stuck"'), '');
  await Promise.all([flush, reset]);
  assert.equal(lastingWaitsLine(), '');
  assert.match(await run('info stalls'), /virtio0: flush waited 1 times, longest 7\.0 s/);
  events.stop();
  const ended = events.taken.map(({ values }) => `${String(values['name'])}: ${String(values['operation'])}`);
  assert.deepEqual(new Set(ended), new Set(['blkdebug: breakpoint stuck', 'virtio0: flush', 'virtio0: end of its requests']));
  await drives.close();
});

/** An old-style server that says how large it is, and then nothing. */
function silentServer(): { readonly connect: () => Promise<MemoryStream>; readonly streams: MemoryStream[] } {
  const streams: MemoryStream[] = [];
  return { streams, async connect() {
    const [client, server] = memoryStreamPair();
    const greeting = new Uint8Array(152);
    const view = new DataView(greeting.buffer);
    view.setBigUint64(0, 0x4e42444d41474943n); // NBDMAGIC
    view.setBigUint64(8, 0x0000420281861253n); // the old style
    view.setBigUint64(16, 1n << 20n);
    view.setUint32(24, 5); // flags, flush
    void server.write(greeting);
    streams.push(server);
    return client;
  } };
}

test('a server that does not answer is named, and closing says goodbye without waiting for ever', async () => {
  const server = silentServer();
  const network = { connect: server.connect, http: () => Promise.reject(new Error('no HTTP here')) };
  const node = { driver: 'raw', 'file.driver': 'nbd', 'file.host': 'slow.example', 'file.port': '10809' };
  const drives = await open({ id: 'd0', interface: 'none', node, readOnly: true }, { files: 'pooled', network });
  const read = (drives.drives.get('d0')!.read(0, new Uint8Array(512)) as Promise<void>).then(() => 'read', () => 'failed');
  await turn();
  now += 4 * SECOND;
  assert.equal(lastingWaitsLine(), 'NBD server nbd://slow.example:10809: read waits since 4.0 s; d0: read waits since 4.0 s');
  const closed = drives.close();
  for (const stream of server.streams) stream.close();
  assert.equal(await read, 'failed');
  await closed;
  assert.equal(lastingWaitsLine(), '');
});
