// One connection of an NBD server: the handshake (server-handshake.ts), and then requests, several at a time, until the client
// leaves. Specification: proto.md, "Transmission phase", with structured replies. Whatever a client sends ends in an error reply
// or in the end of its connection; the number and the bytes of its requests in flight are bounded. Who listens, and how many
// clients there may be, is the caller's.
import { assert } from '../../base/assert.ts';
import { errnoOf } from '../../base/errno.ts';
import type { Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { ByteStream } from '../../ports/stream.ts';
import { BufferPool } from './buffer-pool.ts';
import type { Extent, MetaContext, NbdExport } from './export.ts';
import * as protocol from './protocol.ts';
import { CHUNK, CHUNK_HEADER_BYTES, CMD, CMD_FLAG, MAX_ERROR_BYTES, MAX_REQUEST_BYTES, REPLY_FLAG_DONE, type Request } from './protocol.ts';
import { ServerHandshake, type HandshakeOptions, type Session } from './server-handshake.ts';

const REQUESTS_MAX = 16;
/** Requests wait while more than this is in flight; a single one may always go. */
const IN_FLIGHT_BYTES_MAX = 4 << 20;
const POOL_BYTES_MAX = 8 << 20;
/** Extents in one BLOCK_STATUS reply: 1 MiB of them. */
const EXTENTS_MAX = (1 << 20) / 8;

export interface ConnectionOptions extends HandshakeOptions {
  /** Called when a client has entered an export. */
  readonly onEntered?: () => void;
  /** A line on why a connection ended badly. */
  readonly onError?: ((line: string) => void) | undefined;
}

/**
 * A request that makes no sense; the text goes to clients with structured replies. QUIRK: as with the reference all of them are
 * EINVAL, where the specification would rather have EPERM for a read-only export and ENOSPC for writes beyond the end.
 */
class RequestError extends Error {}

const EINVAL = protocol.errorNumber('EINVAL');
const text = new TextEncoder();

// prettier-ignore
const COMMAND_NAMES = ['read', 'write', 'disconnect', 'flush', 'discard', 'cache', 'write zeroes', 'block status'] as const;
// prettier-ignore
const FAILURE_TEXTS = [
  'reading from file failed', 'writing to file failed', '', 'flush failed', 'discard failed', 'caching data failed', 'writing to file failed',
  'unable to get block status',
] as const;

const allowedFlags = (type: number, structuredReplies: boolean): number => {
  switch (type) {
    case CMD.READ:
      return CMD_FLAG.FUA | (structuredReplies ? CMD_FLAG.DF : 0);
    case CMD.WRITE_ZEROES:
      return CMD_FLAG.FUA | CMD_FLAG.NO_HOLE | CMD_FLAG.FAST_ZERO;
    case CMD.BLOCK_STATUS:
      return CMD_FLAG.FUA | CMD_FLAG.REQ_ONE;
    default:
      return CMD_FLAG.FUA;
  }
};

/** Serves one client until it leaves or does something unforgivable. Never throws what a client caused. */
export async function serveNbdClient(stream: ByteStream, options: ConnectionOptions): Promise<void> {
  const handshake = new ServerHandshake(stream, options);
  try {
    const session = await negotiate(handshake);
    if (session === undefined) return;
    options.onEntered?.();
    await new Transmission(session).run();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    options.onError?.(error.message);
  } finally {
    handshake.stream.close();
  }
}

async function negotiate(handshake: ServerHandshake): Promise<Session | undefined> {
  try {
    return await handshake.run();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(error.kind, `option negotiation failed: ${error.message}`, { cause: error });
  }
}

class Transmission {
  readonly #stream: ByteStream;
  readonly #export: NbdExport;
  readonly #structured: boolean;
  readonly #contexts: readonly MetaContext[];
  readonly #pool = new BufferPool(POOL_BYTES_MAX);
  #requests = 0;
  #bytes = 0;
  #waiting: (() => void) | undefined;
  /** What ended the connection while requests were in flight. */
  #failure: unknown;

  constructor(session: Session) {
    this.#stream = session.stream;
    this.#export = session.export;
    this.#structured = session.structuredReplies;
    this.#contexts = session.contexts;
  }

  async run(): Promise<void> {
    try {
      while (await this.#receive());
    } finally {
      await this.#idle();
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Whether there may be another request. */
  async #receive(): Promise<boolean> {
    const header = new Uint8Array(protocol.REQUEST_BYTES);
    if (!(await this.#readHeader(header))) return false;
    const request: Request = { flags: 0, type: 0, cookieHigh: 0, cookieLow: 0, offset: 0, length: 0 };
    if (!protocol.decodeRequest(new DataView(header.buffer), request)) return this.#refuse(request, 'invalid magic');
    if (request.type === CMD.DISC) return false;
    if (request.type === CMD.WRITE && request.length > MAX_REQUEST_BYTES) {
      return this.#refuse(request, `len (${request.length} ) is larger than max len (${MAX_REQUEST_BYTES})`);
    }
    const cost = costOf(request);
    while (this.#requests > 0 && (this.#requests >= REQUESTS_MAX || this.#bytes + cost > IN_FLIGHT_BYTES_MAX)) await this.#oneDone();
    this.#requests++;
    this.#bytes += cost;
    let data: Uint8Array | undefined;
    try {
      if (request.type === CMD.WRITE) data = await this.#readPayload(request.length);
    } catch (error) {
      this.#done(cost);
      throw error;
    }
    void this.#perform(request, data, cost);
    return this.#failure === undefined;
  }

  async #readHeader(header: Uint8Array): Promise<boolean> {
    // A client that closes between two requests has done nothing wrong.
    try {
      await this.#stream.readExactly(header.subarray(0, 1));
    } catch (error) {
      if (this.#failure !== undefined || (error instanceof Failure && errnoOf(error) === 'EPIPE')) return false;
      throw disconnected('Failed to read request', error);
    }
    await this.#stream.readExactly(header.subarray(1)).catch((error: unknown) => {
      throw disconnected('Failed to read request', error);
    });
    return true;
  }

  async #readPayload(length: number): Promise<Uint8Array> {
    const buffer = this.#pool.take(length);
    await this.#stream.readExactly(buffer.subarray(0, length)).catch((error: unknown) => {
      throw disconnected('Failed to read CMD_WRITE data', error);
    });
    return buffer;
  }

  /** After an answer the connection ends: what follows in the stream cannot be understood. */
  async #refuse(request: Request, message: string): Promise<boolean> {
    await this.#replyError(request, new RequestError(message));
    throw new Failure('invalid-format', 'Disconnect client, due to: Request handling failed in intermediate state');
  }

  #oneDone(): Promise<void> {
    return new Promise((resolve) => (this.#waiting = resolve));
  }

  async #idle(): Promise<void> {
    while (this.#requests > 0) await this.#oneDone();
  }

  #done(cost: number): void {
    this.#requests--;
    this.#bytes -= cost;
    const wake = this.#waiting;
    this.#waiting = undefined;
    wake?.();
  }

  /** Performs and answers a request. Failures of the stream end the connection, others are the client's to know. */
  async #perform(request: Request, data: Uint8Array | undefined, cost: number): Promise<void> {
    try {
      try {
        this.#check(request);
        await this.#dispatch(request, data);
      } catch (error) {
        await this.#replyError(request, error);
      }
    } catch (error) {
      this.#failure ??= error instanceof Failure ? disconnected('Failed to send reply', error) : error;
      this.#stream.close();
    } finally {
      if (data !== undefined) this.#pool.give(data);
      this.#done(cost);
    }
  }

  #check(request: Request): void {
    const { type, offset, length, flags } = request;
    const { size, readOnly } = this.#export;
    if (!(type in COMMAND_NAMES)) throw new RequestError(`invalid request type (${type}) received`);
    if (type === CMD.FLUSH) return this.#checkFlags(type, flags);
    const carriesData = type === CMD.READ || type === CMD.WRITE || type === CMD.CACHE;
    if (carriesData && length > MAX_REQUEST_BYTES) {
      throw new RequestError(`len (${length} ) is larger than max len (${MAX_REQUEST_BYTES})`);
    }
    const writes = type === CMD.WRITE || type === CMD.WRITE_ZEROES || type === CMD.TRIM;
    if (readOnly && writes) throw new RequestError('Export is read-only');
    if (offset > size || length > size - offset) {
      throw new RequestError(`operation past EOF; From: ${offset}, Len: ${length}, Size: ${size}`);
    }
    this.#checkFlags(type, flags);
  }

  #checkFlags(type: number, flags: number): void {
    const unknown = flags & ~allowedFlags(type, this.#structured);
    if (unknown === 0) return;
    throw new RequestError(`unsupported flags for command ${COMMAND_NAMES[type]} (got 0x${flags.toString(16)})`);
  }

  #dispatch(request: Request, data: Uint8Array | undefined): Eventual<void> {
    const { type, offset, length, flags } = request;
    const fua = (flags & CMD_FLAG.FUA) !== 0;
    const target = this.#export;
    switch (type) {
      case CMD.READ:
        return this.#read(request, fua);
      case CMD.WRITE:
        assert(data !== undefined, 'a write brings data');
        return this.#acknowledge(request, target.write(offset, data.subarray(0, length), fua));
      case CMD.WRITE_ZEROES: {
        const how = { fua, mayUnmap: (flags & CMD_FLAG.NO_HOLE) === 0, fast: (flags & CMD_FLAG.FAST_ZERO) !== 0 };
        return this.#acknowledge(request, target.writeZeroes(offset, length, how));
      }
      case CMD.TRIM:
        return this.#acknowledge(request, target.trim(offset, length, fua));
      case CMD.FLUSH:
        return this.#acknowledge(request, target.flush());
      case CMD.CACHE:
        return this.#acknowledge(request, target.cache(offset, length));
      default:
        return this.#blockStatus(request);
    }
  }

  // Replies -------------------------------------------------------------------------------------------------------------

  /** The plain answer to what has no data, once it is done. */
  async #acknowledge(request: Request, result: Eventual<void>): Promise<void> {
    if (result instanceof Promise) await result;
    await this.#stream.write(protocol.encodeSimpleReply(request, 0));
  }

  async #replyError(request: Request, error: unknown): Promise<void> {
    if (!(error instanceof Failure || error instanceof RequestError)) throw error;
    const number = error instanceof RequestError ? EINVAL : protocol.errorNumber(errnoOf(error));
    if (!this.#structured) return this.#stream.write(protocol.encodeSimpleReply(request, number));
    const message = error instanceof RequestError ? error.message : (FAILURE_TEXTS[request.type] ?? '');
    const bytes = text.encode(message).subarray(0, MAX_ERROR_BYTES);
    const [chunk, payload] = protocol.encodeChunk(request, REPLY_FLAG_DONE, CHUNK.ERROR, 6 + bytes.length, 6 + bytes.length);
    payload.setUint32(0, number);
    payload.setUint16(4, bytes.length);
    chunk.set(bytes, CHUNK_HEADER_BYTES + 6);
    return this.#stream.write(chunk);
  }

  async #read(request: Request, fua: boolean): Promise<void> {
    if (fua) await this.#export.flush();
    if (!this.#structured) return this.#readSimply(request);
    if (request.length === 0) {
      const [chunk] = protocol.encodeChunk(request, REPLY_FLAG_DONE, CHUNK.NONE, 0, 0);
      return this.#stream.write(chunk);
    }
    if (request.flags & CMD_FLAG.DF) return this.#sendData(request, request.offset, request.length, true);
    return this.#readSparsely(request);
  }

  async #readSimply(request: Request): Promise<void> {
    const { offset, length } = request;
    const buffer = this.#pool.take(protocol.SIMPLE_REPLY_BYTES + length);
    try {
      const result = this.#export.read(offset, buffer.subarray(protocol.SIMPLE_REPLY_BYTES, protocol.SIMPLE_REPLY_BYTES + length));
      if (result instanceof Promise) await result;
      buffer.set(protocol.encodeSimpleReply(request, 0));
      await this.#stream.write(buffer.subarray(0, protocol.SIMPLE_REPLY_BYTES + length));
    } finally {
      this.#pool.give(buffer);
    }
  }

  /** Holes go out as such, without their zeroes. */
  async #readSparsely(request: Request): Promise<void> {
    const { offset, length } = request;
    for (let at = 0; at < length; ) {
      const extent = await this.#export.sparse(offset + at, length - at);
      const count = Math.min(extent.count, length - at);
      const isLast = at + count === length;
      if (extent.zero) await this.#sendHole(request, offset + at, count, isLast);
      else await this.#sendData(request, offset + at, count, isLast);
      at += count;
    }
  }

  #sendHole(request: Request, offset: number, count: number, isLast: boolean): Promise<void> {
    const [chunk, payload] = protocol.encodeChunk(request, isLast ? REPLY_FLAG_DONE : 0, CHUNK.OFFSET_HOLE, 12, 12);
    protocol.setOffset(payload, 0, offset);
    payload.setUint32(8, count);
    return this.#stream.write(chunk);
  }

  async #sendData(request: Request, offset: number, count: number, isLast: boolean): Promise<void> {
    const [head, payload] = protocol.encodeChunk(request, isLast ? REPLY_FLAG_DONE : 0, CHUNK.OFFSET_DATA, 8 + count, 8);
    protocol.setOffset(payload, 0, offset);
    const buffer = this.#pool.take(head.length + count);
    try {
      const result = this.#export.read(offset, buffer.subarray(head.length, head.length + count));
      if (result instanceof Promise) await result;
      buffer.set(head);
      await this.#stream.write(buffer.subarray(0, head.length + count));
    } finally {
      this.#pool.give(buffer);
    }
  }

  async #blockStatus(request: Request): Promise<void> {
    if (request.length === 0) throw new RequestError('need non-zero length');
    if (this.#contexts.length === 0) throw new RequestError('CMD_BLOCK_STATUS not negotiated');
    const limit = request.flags & CMD_FLAG.REQ_ONE ? 1 : EXTENTS_MAX;
    for (const [index, context] of this.#contexts.entries()) {
      const extents = await context.extents(request.offset, request.length, limit);
      await this.#sendExtents(request, context, extents, index === this.#contexts.length - 1);
    }
  }

  #sendExtents(request: Request, { id }: MetaContext, extents: readonly Extent[], isLast: boolean): Promise<void> {
    assert(extents.length > 0, 'a status tells something');
    const length = 4 + 8 * extents.length;
    const [chunk, payload] = protocol.encodeChunk(request, isLast ? REPLY_FLAG_DONE : 0, CHUNK.BLOCK_STATUS, length, length);
    payload.setUint32(0, id);
    extents.forEach(({ count, flags }, index) => {
      payload.setUint32(4 + 8 * index, count);
      payload.setUint32(8 + 8 * index, flags);
    });
    return this.#stream.write(chunk);
  }
}

/** What a request holds in memory. */
function costOf({ type, length }: Request): number {
  if (type === CMD.READ) return Math.min(length, MAX_REQUEST_BYTES);
  return type === CMD.WRITE ? length : 0;
}

const disconnected = (what: string, error: unknown): unknown =>
  error instanceof Failure ? new Failure(error.kind, `Disconnect client, due to: ${what}: ${error.message}`, { cause: error }) : error;
