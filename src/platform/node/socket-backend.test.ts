// Tests of the socket and file back ends with real sockets and files in a temporary folder.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { CharBackend, CharEvent, CharFrontEnd } from '../../ports/char-backend.ts';
import { openFileBackend } from './file-backend.ts';
import { connectSocketBackend, listenSocketBackend } from './socket-backend.ts';

const folder = mkdtempSync(join(tmpdir(), 'nandu-socket-'));
after(() => rmSync(folder, { recursive: true }));

const unix = (name: string) => ({ family: 'unix', path: join(folder, name) }) as const;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

class Recorder implements CharFrontEnd {
  received = '';
  room = Infinity;
  readonly events: CharEvent[] = [];
  writableCount = 0;
  canReceive(): number {
    return this.room;
  }
  receive(chunk: Uint8Array): void {
    this.received += new TextDecoder('latin1').decode(chunk);
    this.room -= chunk.length;
  }
  event(event: CharEvent): void {
    this.events.push(event);
  }
  writable(): void {
    this.writableCount++;
  }
}

function attached(backend: CharBackend): Recorder {
  const recorder = new Recorder();
  backend.connect(recorder);
  return recorder;
}

async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 1000 && !condition(); turn++) await new Promise((resolve) => setTimeout(resolve, 2));
  assert.ok(condition(), 'it did not happen');
}

function connected(address: ReturnType<typeof unix>): Socket & { text: string } {
  const socket = Object.assign(createConnection(address.path), { text: '' });
  socket.on('data', (chunk) => (socket.text += chunk.toString('latin1')));
  return socket;
}

test('a server passes bytes both ways and takes the next peer after the first', async () => {
  const backend = await listenSocketBackend(unix('a'), false, () => assert.fail('must not wait'));
  const device = attached(backend);
  assert.equal(backend.write(bytes('lost')), 4);
  const first = connected(unix('a'));
  await until(() => device.events.length === 1);
  const second = connected(unix('a'));
  second.write('from second');
  first.write('from first');
  await until(() => device.received === 'from first');
  backend.write(bytes('to first'));
  await until(() => first.text === 'to first');
  first.end();
  await until(() => device.received === 'from firstfrom second');
  assert.deepEqual(device.events, ['opened', 'closed', 'opened']);
  await backend.close();
  await until(() => second.closed);
  assert.equal(existsSync(unix('a').path), false);
});

test('a server that waits says so and starts with its peer', async () => {
  const waits: Socket[] = [];
  const backend = await listenSocketBackend(unix('b'), true, () => void waits.push(connected(unix('b'))));
  assert.equal(waits.length, 1);
  assert.deepEqual(attached(backend).events, ['opened']);
  waits[0]!.destroy();
  await backend.close();
});

test('what the device has no room for is kept', async () => {
  const server = createServer((socket) => socket.end('0123456789'));
  await new Promise<void>((resolve) => server.listen(unix('c').path, resolve));
  const backend = await connectSocketBackend(unix('c'));
  const device = new Recorder();
  device.room = 4;
  backend.connect(device);
  await until(() => device.received === '0123');
  device.room = 10;
  backend.acceptInput();
  await until(() => device.received === '0123456789');
  await backend.close();
  server.close();
});

test('a peer that does not read stops the writer, and frees it', async () => {
  const backend = await listenSocketBackend(unix('d'), false, () => {});
  const device = attached(backend);
  const peer = createConnection(unix('d').path).pause();
  await until(() => device.events.length === 1);
  const block = new Uint8Array(65536);
  let sentBytes = 0;
  for (let taken = 1; taken > 0; sentBytes += taken) taken = backend.write(block);
  assert.equal(device.writableCount, 0);
  let receivedBytes = 0;
  peer.on('data', (chunk) => (receivedBytes += chunk.length)).resume();
  await until(() => receivedBytes === sentBytes && device.writableCount === 1);
  await backend.close();
  peer.destroy();
});

test('errors are in one line', async () => {
  const path = join(folder, 'none', 'x');
  await assert.rejects(connectSocketBackend({ family: 'unix', path }), {
    name: 'Failure',
    message: `Failed to connect to '${path}': No such file or directory`,
  });
  await assert.rejects(
    listenSocketBackend({ family: 'unix', path }, false, () => {}),
    { message: `Failed to bind socket to ${path}: No such file or directory` },
  );
  assert.throws(() => openFileBackend(path, false), { message: `Could not open '${path}': No such file or directory` });
});

test('a file has what was written, appended or anew', async () => {
  const path = join(folder, 'log');
  for (const [append, text] of [[false, 'one'], [true, 'two'], [false, 'three']] as const) {
    const backend = openFileBackend(path, append);
    backend.write(bytes(text));
    await backend.close();
    assert.equal(readFileSync(path, 'utf8'), { one: 'one', two: 'onetwo', three: 'three' }[text]);
  }
});
