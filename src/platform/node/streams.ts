// Byte streams over TCP and UNIX sockets: connecting, listening, and reading exact amounts with the peer held back when it
// sends more than is asked for. Errors are ErrnoFailures in the words that users of the reference tools know. TLS is tls-stream.ts,
// HTTP is http-requests.ts.
import { existsSync, lstatSync, unlinkSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { ErrnoFailure, errnoOf } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { ByteStream, SocketAddress, StreamServer, TlsCredentials } from '../../ports/stream.ts';
import { systemCalls } from './system-calls.ts';
import { systemErrorText } from './system-error.ts';

/** What a peer may send ahead before it is held back. */
const READ_AHEAD_BYTES = 256 << 10;
/** For less a system call of our own is not worth it. */
const DIRECT_BYTES_MIN = 32 << 10;
const MSG_DONTWAIT = 0x40;

interface Reader {
  readonly target: Uint8Array;
  filled: number;
  resolve(): void;
  reject(error: unknown): void;
}

export class SocketStream implements ByteStream {
  readonly socket: Socket;
  readonly isServer: boolean;
  #chunks: Buffer[] = [];
  /** Bytes of the first chunk that are taken already. */
  #taken = 0;
  #buffered = 0;
  #reader: Reader | undefined;
  #end: Failure | undefined;
  #detached = false;
  /** What comes from the system is what was sent, without encryption. */
  readonly #isPlain: boolean;

  constructor(socket: Socket, isServer: boolean) {
    this.socket = socket;
    this.isServer = isServer;
    this.#isPlain = process.platform === 'linux' && !('encrypted' in socket);
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('error', this.#onError);
    socket.on('close', this.#onEnd);
  }

  get closed(): boolean {
    return this.#end !== undefined || this.socket.destroyed;
  }

  readExactly(target: Uint8Array): Promise<void> {
    const reader: Reader = { target, filled: 0, resolve: () => {}, reject: () => {} };
    this.#fill(reader);
    this.#receive(reader);
    if (reader.filled === target.length) return Promise.resolve();
    if (this.#end !== undefined) return Promise.reject(this.#end);
    if (this.#reader !== undefined) return Promise.reject(new Failure('invalid-argument', 'two readers on one stream'));
    return new Promise((resolve, reject) => {
      this.#reader = Object.assign(reader, { resolve, reject });
    });
  }

  /** Moves what is there to a reader, and lets the peer go on once little is left. */
  #fill(reader: Reader): void {
    while (reader.filled < reader.target.length && this.#buffered > 0) {
      const chunk = this.#chunks[0]!;
      const count = Math.min(reader.target.length - reader.filled, chunk.length - this.#taken);
      chunk.copy(reader.target, reader.filled, this.#taken, this.#taken + count);
      reader.filled += count;
      this.#taken += count;
      this.#buffered -= count;
      if (this.#taken < chunk.length) break;
      this.#chunks.shift();
      this.#taken = 0;
    }
    if (this.#buffered < READ_AHEAD_BYTES && this.socket.isPaused()) this.socket.resume();
  }

  /**
   * Takes what the system has straight into the reader's buffer, where it may be much: the library reads 64 KiB at a time, each
   * time into new memory. Nothing may be left in ours or the library's buffers, or the order would be lost. The end and
   * errors are the library's to find.
   */
  #receive(reader: Reader): void {
    const { target } = reader;
    const { socket } = this;
    if (target.length - reader.filled < DIRECT_BYTES_MIN || this.#buffered > 0 || socket.readableLength > 0) return;
    const fd = this.#isPlain && !socket.isPaused() && !this.closed ? descriptorOf(socket) : -1;
    const calls = fd < 0 ? undefined : systemCalls();
    while (calls !== undefined && reader.filled < target.length) {
      const count = calls.recv(fd, target.subarray(reader.filled), target.length - reader.filled, MSG_DONTWAIT);
      if (count <= 0) return;
      reader.filled += count;
    }
  }

  readonly #onData = (chunk: Buffer): void => {
    const reader = this.#reader;
    if (reader === undefined) {
      this.#keep(chunk, 0);
      return;
    }
    const count = Math.min(reader.target.length - reader.filled, chunk.length);
    chunk.copy(reader.target, reader.filled, 0, count);
    reader.filled += count;
    if (count < chunk.length) this.#keep(chunk, count);
    this.#receive(reader);
    if (reader.filled < reader.target.length) return;
    this.#reader = undefined;
    reader.resolve();
  };

  #keep(chunk: Buffer, from: number): void {
    this.#chunks.push(from === 0 ? chunk : chunk.subarray(from));
    this.#buffered += chunk.length - from;
    if (this.#buffered >= READ_AHEAD_BYTES) this.socket.pause();
  }

  readonly #onEnd = (): void => this.#finish(new ErrnoFailure('EPIPE', 'Unexpected end-of-file before all data were read'));

  readonly #onError = (error: Error): void => this.#finish(socketFailure('Unable to read from socket', error));

  #finish(failure: Failure): void {
    if (this.#detached) return;
    this.#end ??= failure;
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.reject(this.#end);
  }

  /** Resolves when the bytes have left for the system, so `source` may be used again then. */
  write(source: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.socket.destroyed || this.socket.writableEnded) {
        reject(new ErrnoFailure('EPIPE', 'Unable to write to socket: Broken pipe'));
        return;
      }
      this.socket.write(source, (error) => {
        if (error === null || error === undefined) resolve();
        else reject(socketFailure('Unable to write to socket', error));
      });
    });
  }

  cork(): void {
    this.socket.cork();
  }

  uncork(): void {
    this.socket.uncork();
  }

  async startTls(credentials: TlsCredentials, hostname?: string): Promise<ByteStream> {
    // Plain text that comes with the request to encrypt would be taken for encrypted later.
    if (this.#buffered > 0) throw new Failure('invalid-format', 'Data before the TLS handshake');
    const { startTlsOn } = await import('./tls-stream.ts');
    this.#detached = true;
    this.socket.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onEnd);
    return new SocketStream(await startTlsOn(this.socket, credentials, this.isServer, hostname), this.isServer);
  }

  close(): void {
    if (this.socket.destroyed) return;
    // What was written still leaves; a peer that does not take it is cut off when the program ends or the system gives up.
    this.socket.removeListener('data', this.#onData);
    this.socket.destroySoon();
    this.#finish(new ErrnoFailure('EPIPE', 'Unexpected end-of-file before all data were read'));
  }
}

/** The library has no name for it, and none where there is no such thing. */
function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: number } | null };
  return handle?.fd ?? -1;
}

/** The library's errors of its own as the system's. */
function socketFailure(context: string, error: Error): Failure {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ERR_STREAM_DESTROYED' || code === 'ERR_STREAM_WRITE_AFTER_END' || code === 'EPIPE') {
    return new ErrnoFailure('EPIPE', `${context}: Broken pipe`, { cause: error });
  }
  if (code !== undefined && (code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS'))) {
    const what = context.startsWith('Unable to read') ? 'Cannot read from' : 'Cannot write to';
    return new ErrnoFailure('EIO', `${what} TLS channel: Input/output error`, { cause: error });
  }
  return new ErrnoFailure(errnoOf(error), `${context}: ${systemErrorText(error)}`, { cause: error });
}

/** A name with several addresses fails with all their errors. */
const firstCause = (error: unknown): unknown => (error instanceof AggregateError ? error.errors[0] : error);

const isNameError = (error: unknown): boolean => (error as NodeJS.ErrnoException).syscall === 'getaddrinfo';

const NAME_ERRORS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'Name or service not known',
  EAI_AGAIN: 'Temporary failure in name resolution',
  EAI_NODATA: 'No address associated with hostname',
};

function connectFailure(address: SocketAddress, raw: unknown): Failure {
  const error = firstCause(raw);
  if (address.type === 'inet' && isNameError(error)) {
    const words = NAME_ERRORS[(error as NodeJS.ErrnoException).code ?? ''] ?? systemErrorText(error);
    return new ErrnoFailure('EINVAL', `address resolution failed for ${address.host}:${address.port}: ${words}`, { cause: raw });
  }
  return new ErrnoFailure(errnoOf(error), `Failed to connect to '${shownAddress(address)}': ${systemErrorText(error)}`, { cause: raw });
}

export function shownAddress(address: SocketAddress): string {
  if (address.type === 'unix') return address.path;
  return address.type === 'inet' ? `${address.host}:${address.port}` : String(address.fd);
}

/** Port numbers, and the names of services that people use here. */
function portNumber(port: string, host: string): number {
  if (/^\d+$/.test(port)) return Number(port) % 65536; // as the C library's resolver takes it
  if (port === 'nbd') return 10809;
  throw new ErrnoFailure('EINVAL', `address resolution failed for ${host}:${port}: Servname not supported for ai_socktype`);
}

/** A UNIX socket's name has to fit the system's structure. */
function checkPath(path: string): void {
  if (Buffer.byteLength(path) <= 108) return;
  throw new ErrnoFailure('EINVAL', `UNIX socket path '${path}' is too long\nPath must be less than 108 bytes`);
}

export async function connectStream(address: SocketAddress): Promise<ByteStream> {
  if (address.type === 'fd') throw new Failure('unsupported', 'connecting to an inherited socket is not supported');
  if (address.type === 'unix') checkPath(address.path);
  const where =
    address.type === 'unix'
      ? { path: address.path }
      : { port: portNumber(address.port, address.host), host: address.host === '' ? 'localhost' : address.host };
  const socket = createConnection({ ...where, allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve).once('error', (error) => reject(connectFailure(address, error)));
  });
  socket.removeAllListeners('error').removeAllListeners('connect');
  if (address.type === 'inet') socket.setNoDelay(true);
  return new SocketStream(socket, false);
}

// Listening ---------------------------------------------------------------------------------------------------------------

export interface ListenOptions {
  /** Connections that come when this says no are left waiting in the system's queue as far as it goes, and then here. */
  readonly backlog?: number;
}

export interface ListeningServer extends StreamServer {
  /** Takes no more connections for now; further ones wait. */
  pause(): void;
  resume(): void;
}

/** Listens; `onConnection` gets every peer. The address in the result has the port that was taken. */
export async function listenStreams(
  address: SocketAddress,
  onConnection: (stream: ByteStream) => void,
  { backlog = 16 }: ListenOptions = {},
): Promise<ListeningServer> {
  const waiting: Socket[] = [];
  let paused = false;
  const adopt = (socket: Socket): void => {
    if (address.type === 'inet') socket.setNoDelay(true);
    onConnection(new SocketStream(socket, true));
  };
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {});
    if (!paused) return adopt(socket);
    if (waiting.length >= backlog) socket.destroy();
    else waiting.push(socket);
  });
  await listen(server, address, backlog);
  return {
    address: boundAddress(server, address),
    pause: () => void (paused = true),
    resume() {
      paused = false;
      while (!paused && waiting.length > 0) {
        const socket = waiting.shift()!;
        if (!socket.destroyed) adopt(socket);
      }
    },
    async close() {
      for (const socket of waiting.splice(0)) socket.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        setTimeout(resolve, 100).unref(); // connections that are still open are their owner's
      });
    },
  };
}

function boundAddress(server: Server, address: SocketAddress): SocketAddress {
  const bound = server.address();
  if (address.type !== 'inet' || bound === null || typeof bound === 'string') return address;
  return { ...address, port: String(bound.port) };
}

async function listen(server: Server, address: SocketAddress, backlog: number): Promise<void> {
  if (address.type === 'unix') {
    checkPath(address.path);
    removeStaleSocket(address.path);
  }
  await new Promise<void>((resolve, reject) => {
    server.once('listening', resolve).once('error', (error) => reject(listenFailure(address, error)));
    if (address.type === 'fd') server.listen({ fd: address.fd });
    else if (address.type === 'unix') server.listen({ path: address.path, backlog });
    else server.listen({ port: portNumber(address.port, address.host), backlog, ...(address.host !== '' && { host: address.host }) });
  });
}

function listenFailure(address: SocketAddress, error: Error): Failure {
  if (address.type === 'inet' && isNameError(error)) return connectFailure(address, error);
  if (address.type === 'unix') {
    // The library turns a folder that is not there into "permission denied".
    const isMissing = !existsSync(dirname(address.path));
    const words = isMissing ? 'No such file or directory' : systemErrorText(error);
    return new ErrnoFailure(isMissing ? 'ENOENT' : errnoOf(error), `Failed to bind socket to ${address.path}: ${words}`, { cause: error });
  }
  if ((error as NodeJS.ErrnoException).code === 'EADDRNOTAVAIL') {
    return new ErrnoFailure('EINVAL', 'Failed to bind socket: Cannot assign requested address', { cause: error });
  }
  if (address.type === 'fd') return new ErrnoFailure(errnoOf(error), `Failed to use socket ${address.fd}: ${systemErrorText(error)}`);
  return new ErrnoFailure(errnoOf(error), `Failed to find an available port: ${systemErrorText(error)}`, { cause: error });
}

/** A server that was killed leaves its socket behind. Anything else of that name is not ours to remove. */
function removeStaleSocket(path: string): void {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path);
  } catch {
    // Binding will say what is wrong.
  }
}
