// The character back end of a stream socket, TCP or Unix, as server or client. One peer at a time: further ones wait
// until it has gone. Without a peer, what the guest writes is lost, as on a cable that is not plugged in.
import { existsSync, lstatSync, unlinkSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { Failure } from '../../base/failure.ts';
import { InputQueue } from '../../chardev/input-queue.ts';
import type { SocketAddress } from '../../chardev/spec.ts';
import type { CharBackend, CharFrontEnd } from '../../ports/char-backend.ts';
import { systemErrorText } from './system-error.ts';

const WAITING_PEERS_MAX = 8;
const CLOSE_MS_MAX = 1000;

class SocketBackend implements CharBackend {
  readonly #input = new InputQueue({ pause: () => this.#peer?.pause(), resume: () => this.#peer?.resume() });
  readonly #waiting: Socket[] = [];
  #peer: Socket | undefined;
  #refused = false;
  /** Releases the listening socket. */
  release: () => void = () => {};
  onFirstPeer: () => void = () => {};

  connect(frontEnd: CharFrontEnd | undefined): void {
    this.#input.frontEnd = frontEnd;
    if (this.#peer !== undefined) frontEnd?.event?.('opened');
    this.#input.deliver();
  }

  write(bytes: Uint8Array): number {
    const peer = this.#peer;
    if (peer === undefined || peer.writableEnded) return bytes.length;
    this.#refused = peer.writableNeedDrain;
    if (this.#refused) return 0;
    peer.write(bytes.slice());
    return bytes.length;
  }

  acceptInput(): void {
    this.#input.deliver();
  }

  async close(): Promise<void> {
    this.release();
    for (const waiting of this.#waiting.splice(0)) waiting.destroy();
    const peer = this.#peer;
    this.#peer = undefined;
    if (peer === undefined) return;
    await new Promise<void>((resolve) => {
      const timeout = setTimeout(resolve, CLOSE_MS_MAX);
      peer.end(() => {
        clearTimeout(timeout);
        resolve();
      });
    });
    peer.destroy();
  }

  adopt(socket: Socket): void {
    socket.on('error', () => {}); // 'close' follows
    if (this.#peer !== undefined) {
      if (this.#waiting.length < WAITING_PEERS_MAX) this.#waiting.push(socket.pause());
      else socket.destroy();
      return;
    }
    this.#peer = socket;
    socket.on('data', (bytes) => this.#input.push(bytes));
    socket.on('drain', () => this.#drained());
    socket.on('close', () => this.#gone(socket));
    this.#input.event('opened');
    this.onFirstPeer();
    socket.resume();
  }

  #drained(): void {
    if (!this.#refused) return;
    this.#refused = false;
    this.#input.frontEnd?.writable?.();
  }

  #gone(socket: Socket): void {
    if (this.#peer !== socket) return;
    this.#peer = undefined;
    this.#input.event('closed');
    this.#drained();
    const next = this.#waiting.shift();
    if (next !== undefined) this.adopt(next);
  }
}

const shown = (address: SocketAddress): string => (address.family === 'unix' ? address.path : `${address.host}:${address.port}`);

export async function connectSocketBackend(address: SocketAddress): Promise<CharBackend> {
  const backend = new SocketBackend();
  const socket = address.family === 'unix' ? createConnection(address.path) : createConnection(address.port, address.host);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve).once('error', (error) => {
      reject(new Failure('io', `Failed to connect to '${shown(address)}': ${systemErrorText(firstCause(error))}`, { cause: error }));
    });
  });
  if (address.family === 'tcp') socket.setNoDelay(true);
  backend.adopt(socket);
  return backend;
}

/** A name with several addresses fails with all their errors. */
const firstCause = (error: unknown): unknown => (error instanceof AggregateError ? error.errors[0] : error);

/** `onWaiting` is called when the server listens and has to wait for its first peer. */
export async function listenSocketBackend(address: SocketAddress, wait: boolean, onWaiting: () => void): Promise<CharBackend> {
  const backend = new SocketBackend();
  const server = createServer((socket) => backend.adopt(socket.setNoDelay(true)));
  await listen(server, address);
  backend.release = () => {
    server.close();
  };
  if (wait) {
    onWaiting();
    await new Promise<void>((resolve) => (backend.onFirstPeer = resolve));
  }
  return backend;
}

async function listen(server: Server, address: SocketAddress): Promise<void> {
  if (address.family === 'unix') removeStaleSocket(address.path);
  const where = address.family === 'unix' ? { path: address.path } : { port: address.port, ...(address.host && { host: address.host }) };
  await new Promise<void>((resolve, reject) => {
    server.once('listening', resolve).once('error', (error) => {
      const what = address.family === 'unix' ? `Failed to bind socket to ${address.path}` : 'Failed to find an available port';
      reject(new Failure('io', `${what}: ${bindErrorText(address, error)}`, { cause: error }));
    });
    server.listen(where);
  });
}

/** The library turns a folder that is not there into "permission denied". */
const bindErrorText = (address: SocketAddress, error: Error): string =>
  address.family === 'unix' && !existsSync(dirname(address.path)) ? 'No such file or directory' : systemErrorText(error);

/** A server that was killed leaves its socket behind. Anything else of that name is not ours to remove. */
function removeStaleSocket(path: string): void {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path);
  } catch {
    // Binding will say what is wrong.
  }
}
