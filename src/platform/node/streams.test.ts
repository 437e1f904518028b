// Sockets, TLS with a shared key and HTTP requests, over the loopback interface.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { ByteStream, SocketAddress } from '../../ports/stream.ts';
import { requestHttp } from './http-requests.ts';
import { connectStream, listenStreams } from './streams.ts';

const folder = mkdtempSync(join(tmpdir(), 'nandu-streams-'));
after(() => rmSync(folder, { recursive: true }));

async function connected(address: SocketAddress): Promise<[client: ByteStream, server: ByteStream, close: () => Promise<void>]> {
  let accepted: (stream: ByteStream) => void = () => {};
  const peer = new Promise<ByteStream>((resolve) => (accepted = resolve));
  const listening = await listenStreams(address, (stream) => accepted(stream));
  const client = await connectStream(listening.address);
  return [client, await peer, () => listening.close()];
}

async function read(stream: ByteStream, count: number): Promise<string> {
  const target = new Uint8Array(count);
  await stream.readExactly(target);
  return new TextDecoder().decode(target);
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

for (const address of [{ type: 'unix', path: join(folder, 's') }, { type: 'inet', host: '127.0.0.1', port: '0' }] as const) {
  test(`bytes over ${address.type}`, async () => {
    const [client, server, close] = await connected(address);
    await client.write(bytes('hello world'));
    assert.equal(await read(server, 5), 'hello');
    assert.equal(await read(server, 6), ' world');
    server.cork();
    const parts = [server.write(bytes('a')), server.write(bytes('b'))];
    server.uncork();
    await Promise.all(parts);
    assert.equal(await read(client, 2), 'ab');
    await client.write(bytes('last'));
    client.close();
    assert.equal(await read(server, 4), 'last');
    await assert.rejects(read(server, 1), { errno: 'EPIPE', message: 'Unexpected end-of-file before all data were read' });
    server.close();
    await close();
  });
}

test('large and small reads by turns keep the order', async () => {
  const [client, server, close] = await connected({ type: 'unix', path: join(folder, 'turns') });
  const sizes = [5, 300_000, 28, 262_144, 28, 40_000, 1, 1 << 20, 65_536, 28, 131_072, 7];
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const all = new Uint8Array(total).map((_byte, index) => (index * 7) ^ (index >> 8));
  const writing = (async () => {
    for (let at = 0; at < total; at += 99_999) await client.write(all.subarray(at, Math.min(total, at + 99_999)));
  })();
  let at = 0;
  for (const [index, size] of sizes.entries()) {
    if (index % 4 === 0) await new Promise((resolve) => setTimeout(resolve, 5)); // meanwhile the peer is far ahead, and held back
    const target = new Uint8Array(size);
    await server.readExactly(target);
    assert.deepEqual(target, all.subarray(at, at + size), `${size} bytes at ${at}`);
    at += size;
  }
  await writing;
  client.close();
  server.close();
  await close();
});

test('a slow reader holds the writer back', async () => {
  const [client, server, close] = await connected({ type: 'unix', path: join(folder, 'slow') });
  let written = 0;
  const piece = new Uint8Array(1 << 20).fill(5);
  const writing = (async () => {
    for (; written < 16; written++) await client.write(piece);
  })();
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(written < 8, `${written} MiB are on their way`);
  const all = new Uint8Array(16 << 20);
  await server.readExactly(all);
  await writing;
  assert.ok(all.every((byte) => byte === 5));
  client.close();
  server.close();
  await close();
});

test('errors of connecting and listening', async () => {
  const path = join(folder, 'nothing');
  await assert.rejects(connectStream({ type: 'unix', path }), { message: `Failed to connect to '${path}': No such file or directory` });
  const cannotBind = `Failed to bind socket to ${path}/x: No such file or directory`;
  await assert.rejects(listenStreams({ type: 'unix', path: join(path, 'x') }, () => {}), { message: cannotBind });
  const long = `/${'a'.repeat(120)}`;
  const tooLong = `UNIX socket path '${long}' is too long\nPath must be less than 108 bytes`;
  await assert.rejects(connectStream({ type: 'unix', path: long }), { message: tooLong });
  const taken = await listenStreams({ type: 'inet', host: '127.0.0.1', port: '0' }, () => {});
  await assert.rejects(listenStreams(taken.address, () => {}), { message: 'Failed to find an available port: Address already in use' });
  await taken.close();
});

test('TLS with a shared key', async () => {
  writeFileSync(join(folder, 'keys.psk'), `# keys\nalice:${'1f'.repeat(32)}\n`);
  const other = mkdtempSync(join(folder, 'other-'));
  writeFileSync(join(other, 'keys.psk'), `alice:${'2e'.repeat(32)}\n`);
  const credentials = (endpoint: 'client' | 'server', directory = folder) =>
    ({ kind: 'psk', endpoint, directory, username: 'alice', verifyPeer: true }) as const;
  const [client, server, close] = await connected({ type: 'unix', path: join(folder, 'tls') });
  const [clientTls, serverTls] = await Promise.all([client.startTls(credentials('client')), server.startTls(credentials('server'))]);
  await clientTls.write(bytes('secret'));
  assert.equal(await read(serverTls, 6), 'secret');
  await serverTls.write(bytes('answer'));
  assert.equal(await read(clientTls, 6), 'answer');
  clientTls.close();
  serverTls.close();
  await close();

  const [badClient, goodServer, closeBad] = await connected({ type: 'unix', path: join(folder, 'tls2') });
  const results = await Promise.allSettled([badClient.startTls(credentials('client', other)), goodServer.startTls(credentials('server'))]);
  assert.deepEqual(results.map(({ status }) => status), ['rejected', 'rejected']);
  await closeBad();
});

test('HTTP requests take no more than they may', async () => {
  const server = createServer((request, response) => {
    response.writeHead(request.url === '/gone' ? 404 : 200, { 'X-Name': 'v' }).end('0123456789');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const ask = (path: string, maxBytes: number): ReturnType<typeof requestHttp> =>
    requestHttp({ method: 'GET', url: `http://127.0.0.1:${port}${path}`, headers: {}, verifyPeer: true, timeoutMs: 5000, maxBytes });
  const whole = await ask('/', 100);
  assert.deepEqual([whole.status, whole.headers.get('x-name'), new TextDecoder().decode(whole.body)], [200, 'v', '0123456789']);
  assert.equal(new TextDecoder().decode((await ask('/', 4)).body), '0123');
  assert.equal((await ask('/gone', 4)).status, 404);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(ask('/', 4), /Failed to connect to 127\.0\.0\.1 port \d+ after \d+ ms: Couldn't connect to server/);
});
