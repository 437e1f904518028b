// Our NBD server and our client against each other, over a stream in memory. Against others: test/block/nbd.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrnoFailure, type Errno } from '../../base/errno.ts';
import { ClientHandshake, type ClientOptions } from './client-handshake.ts';
import { NbdClient } from './client.ts';
import { MemoryExport } from './memory-export.ts';
import { memoryStreamPair, type MemoryStream } from './memory-stream.ts';
import { CMD, CONTEXT_BASE_ALLOCATION, encodeRequest, FLAG, OPTION_MAGIC, optionHeader } from './protocol.ts';
import { serveNbdClient } from './server.ts';

const MIB = 1 << 20;

interface Running {
  readonly stream: MemoryStream;
  readonly finished: Promise<void>;
  readonly errors: string[];
}

function startServer(...exports: readonly MemoryExport[]): Running {
  const [stream, peer] = memoryStreamPair();
  const errors: string[] = [];
  const finished = serveNbdClient(peer, {
    exports: new Map(exports.map((exported) => [exported.name, exported])),
    onError: (line) => errors.push(line),
  });
  return { stream, finished, errors };
}

const clientOptions = (more: Partial<ClientOptions> = {}): ClientOptions => ({ exportName: '', context: CONTEXT_BASE_ALLOCATION, ...more });

async function connect(running: Running, more: Partial<ClientOptions> = {}): Promise<NbdClient> {
  const handshake = new ClientHandshake(running.stream, clientOptions(more));
  return new NbdClient(handshake.stream, await handshake.enter());
}

function closedGate(): { gate: Promise<void>; open: () => void } {
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => (open = resolve));
  return { gate, open: () => open() };
}

const hasErrno = (errno: string) => (error: unknown): boolean => error instanceof ErrnoFailure && error.errno === errno;

test('client and server agree on the export', async () => {
  const running = startServer(new MemoryExport(MIB));
  const client = await connect(running);
  assert.equal(client.export.size, MIB);
  assert.equal(client.export.contextId, 0);
  assert.equal(client.export.structuredReplies, true);
  const flags = FLAG.SEND_DF | FLAG.SEND_FUA | FLAG.CAN_MULTI_CONN;
  assert.equal(client.export.flags & flags, flags);
  await client.close();
  await running.finished;
  assert.deepEqual(running.errors, []);
});

test('what is written is read again, also sparsely', async () => {
  const exported = new MemoryExport(MIB);
  const running = startServer(exported);
  const client = await connect(running);
  await client.write(10_000, new Uint8Array(50_000).fill(7), 0);
  await client.command(CMD.WRITE_ZEROES, 20_000, 30_000, 0);
  await client.command(CMD.FLUSH, 0, 0, 0);
  const target = new Uint8Array(MIB).fill(1);
  await client.read(0, target);
  assert.deepEqual(target, exported.bytes);
  assert.equal(target[15_000], 7);
  assert.equal(target[25_000], 0);
  assert.equal(exported.flushes, 1);
  assert.deepEqual(await client.status(0, MIB), { count: 8192, flags: 3 });
  await client.close();
  await running.finished;
});

test('many requests at a time are answered, and only sixteen are in flight', async () => {
  const exported = new MemoryExport(4 * MIB);
  const { gate, open } = closedGate();
  exported.gate = gate;
  const running = startServer(exported);
  const client = await connect(running);
  const writes = Array.from({ length: 64 }, (_, n) => client.write(n * 65536, new Uint8Array(65536).fill(n + 1), 0));
  await new Promise((resolve) => setTimeout(resolve, 20));
  open();
  await Promise.all(writes);
  assert.equal(exported.inFlightMax, 16);
  assert.equal(exported.bytes[63 * 65536], 64);
  await client.close();
  await running.finished;
});

test('failures of the export reach the client as NBD errors', async () => {
  const exported = new MemoryExport(MIB);
  exported.bytes.fill(1);
  const running = startServer(exported);
  const client = await connect(running);
  const seenAs = { EIO: 'EIO', EDQUOT: 'ENOSPC', EROFS: 'EPERM', EBUSY: 'EINVAL', ENOTSUP: 'ENOTSUP' } as const;
  for (const [errno, seen] of Object.entries(seenAs) as [Errno, Errno][]) {
    exported.failing = errno;
    await assert.rejects(client.read(0, new Uint8Array(10)), hasErrno(seen));
    await assert.rejects(client.write(0, new Uint8Array(10), 0), hasErrno(seen));
  }
  exported.failing = undefined;
  await client.read(0, new Uint8Array(10));
  await client.close();
  await running.finished;
});

test('requests that make no sense are refused and do no harm', async () => {
  const exported = new MemoryExport(MIB, { readOnly: true });
  const running = startServer(exported);
  const client = await connect(running);
  await assert.rejects(client.write(0, new Uint8Array(10), 0), hasErrno('EINVAL'));
  await assert.rejects(client.read(MIB - 5, new Uint8Array(10)), hasErrno('EINVAL'));
  await assert.rejects(client.command(77, 0, 0, 0), hasErrno('EINVAL'));
  await assert.rejects(client.command(CMD.CACHE, 0, 100, 0x20), hasErrno('EINVAL'));
  await assert.rejects(client.status(0, 0), hasErrno('EINVAL'));
  await client.read(0, new Uint8Array(10));
  await client.close();
  await running.finished;
});

test('an export that is not there', async () => {
  const running = startServer(new MemoryExport(MIB, { name: 'a' }));
  const message = "Requested export not available\nserver reported: export 'b' not present";
  await assert.rejects(connect(running, { exportName: 'b' }), { message });
  await running.finished;
});

test('the list of exports', async () => {
  const running = startServer(new MemoryExport(MIB, { name: 'a' }), new MemoryExport(512, { name: 'ü' }));
  const list = await new ClientHandshake(running.stream, clientOptions()).list();
  assert.deepEqual(list.map(({ name, description, details, contexts }) => [name, description, details?.size, contexts]), [
    ['a', 'in memory', MIB, ['base:allocation']],
    ['ü', 'in memory', 512, ['base:allocation']],
  ]);
  await running.finished;
});

test('a peer that is killed fails what is in flight', async () => {
  const exported = new MemoryExport(MIB);
  const { gate, open } = closedGate();
  exported.bytes.fill(1);
  exported.gate = gate;
  const running = startServer(exported);
  const client = await connect(running);
  const read = client.read(0, new Uint8Array(4096));
  await new Promise((resolve) => setTimeout(resolve, 5));
  running.stream.close();
  await assert.rejects(read, hasErrno('EIO'));
  await assert.rejects(client.read(0, new Uint8Array(1)), hasErrno('EIO'));
  open();
  await running.finished; // the server waits for its own requests and then goes
});

test('a client that never reads cannot make the server hold more than a few replies', async () => {
  const exported = new MemoryExport(4 * MIB);
  exported.bytes.fill(1);
  const running = startServer(exported);
  const client = await connect(running); // its receive loop takes replies: write to the stream behind its back
  void client;
  const request = { flags: 0, type: CMD.READ, cookieHigh: 9, cookieLow: 9, offset: 0, length: MIB };
  let sent = 0;
  const flood = (async () => {
    for (; sent < 500; sent++) await running.stream.write(encodeRequest(request));
  })().catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 30));
  running.stream.close();
  await flood;
  await running.finished;
  assert.ok(exported.inFlightMax <= 16);
});

test('nonsense instead of a handshake ends the connection with a line', async () => {
  for (const [bytes, line] of [
    [new Uint8Array(4), undefined],
    [Uint8Array.of(0, 0, 0, 16), 'option negotiation failed: Unknown client flags 0x10 received'],
    [Uint8Array.of(0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8), 'option negotiation failed: Bad magic received'],
    [
      Uint8Array.of(0, 0, 0, 3, ...optionHeader.encode({ magic: OPTION_MAGIC, option: 99, length: 0x7fff_ffff })),
      'option negotiation failed: len (2147483647 ) is larger than max len (33554432)',
    ],
  ] as const) {
    const running = startServer(new MemoryExport(512));
    await running.stream.write(bytes);
    running.stream.end();
    await running.finished;
    if (line !== undefined) assert.deepEqual(running.errors, [line]);
    assert.equal(running.errors.length, 1);
  }
});
