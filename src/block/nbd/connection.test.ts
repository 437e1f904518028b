// Reconnecting: servers that go away and come back, on a clock of the test's own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrnoFailure } from '../../base/errno.ts';
import { ClientHandshake } from './client-handshake.ts';
import { NbdClient } from './client.ts';
import { NbdConnection } from './connection.ts';
import { MemoryExport } from './memory-export.ts';
import { memoryStreamPair, type MemoryStream } from './memory-stream.ts';
import { CONTEXT_BASE_ALLOCATION } from './protocol.ts';
import { serveNbdClient } from './server.ts';

/** A server that can be switched off, and a clock that only sleeping moves. */
class Network {
  readonly exported = new MemoryExport(65536);
  isDown = false;
  attempts = 0;
  nowMs = 0;
  stream: MemoryStream | undefined;
  onSleep: () => void = () => {};
  readonly #sleepers: { untilMs: number; resolve: () => void }[] = [];

  rules(reconnectDelayMs: number, openTimeoutMs = 0): Parameters<typeof NbdConnection.open>[0] {
    return {
      connect: () => this.#connect(),
      reconnectDelayMs,
      openTimeoutMs,
      nowMs: () => this.nowMs,
      sleep: (ms) => this.#sleep(ms),
    };
  }

  /** Time goes on to the next sleeper when nothing else is to be done. */
  #sleep(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms;
    return new Promise((resolve) => {
      this.#sleepers.push({ untilMs, resolve });
      setTimeout(() => {
        this.#sleepers.sort((a, b) => a.untilMs - b.untilMs);
        const next = this.#sleepers.shift()!;
        this.nowMs = Math.max(this.nowMs, next.untilMs);
        this.onSleep();
        next.resolve();
      }, 2);
    });
  }

  async #connect(): Promise<NbdClient> {
    this.attempts++;
    if (this.isDown) throw new ErrnoFailure('ECONNREFUSED');
    const [stream, peer] = memoryStreamPair();
    this.stream = stream;
    void serveNbdClient(peer, { exports: new Map([['', this.exported]]) });
    return new NbdClient(stream, await new ClientHandshake(stream, { exportName: '', context: CONTEXT_BASE_ALLOCATION }).enter());
  }
}

const readOne = (client: NbdClient): Promise<void> => client.read(0, new Uint8Array(1));

test('a lost connection is made again while requests wait', async () => {
  const network = new Network();
  const connection = await NbdConnection.open(network.rules(30_000));
  network.stream!.close();
  network.isDown = true;
  network.onSleep = () => {
    if (network.nowMs >= 5000) network.isDown = false;
  };
  await connection.run(readOne);
  assert.ok(network.attempts >= 3);
  await connection.close();
});

test('requests fail when the time is over, and work again when the server is back', async () => {
  const network = new Network();
  const connection = await NbdConnection.open(network.rules(10_000));
  network.stream!.close();
  network.isDown = true;
  await assert.rejects(connection.run(readOne), { errno: 'EIO' });
  assert.ok(network.nowMs >= 10_000);
  network.isDown = false;
  await assert.rejects(connection.run(readOne), { errno: 'EIO' }); // this one only starts the attempt
  await new Promise((resolve) => setTimeout(resolve, 5));
  await connection.run(readOne);
  await connection.close();
});

test('the first connection is tried for as long as open-timeout says', async () => {
  const network = new Network();
  network.isDown = true;
  await assert.rejects(NbdConnection.open(network.rules(0, 20_000)), { errno: 'ECONNREFUSED' });
  assert.ok(network.nowMs >= 20_000 && network.attempts > 3);
});

test('a server that breaks the protocol is not asked again', async () => {
  const network = new Network();
  const connection = await NbdConnection.open(network.rules(30_000));
  network.exported.bytes.fill(1);
  network.exported.gate = new Promise(() => {});
  const [garbage, peer] = memoryStreamPair();
  await peer.write(new Uint8Array(20).fill(1));
  const client = new NbdClient(garbage, connection.client.export);
  await assert.rejects(readOne(client), { errno: 'EIO' });
  assert.equal(client.isBroken, true);
  await connection.close();
});
