// The transmission phase of an NBD client: requests, several at a time, over one connection until it breaks. Simple and
// structured replies; what a server answers is checked against what was asked. Specification: proto.md, "Transmission phase".
// Not the handshake (client-handshake.ts), nor connecting again (connection.ts).
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { ByteStream } from '../../ports/stream.ts';
import type { RemoteExport } from './client-handshake.ts';
import type { Extent } from './export.ts';
import * as protocol from './protocol.ts';
import { CHUNK, CMD, MAX_REQUEST_BYTES, REPLY_FLAG_DONE, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC } from './protocol.ts';

const REQUESTS_MAX = 16;
const MAX_PAYLOAD_BYTES = MAX_REQUEST_BYTES + 8;

interface Pending {
  readonly type: number;
  readonly offset: number;
  readonly length: number;
  /** Where read data go. */
  readonly target: Uint8Array | undefined;
  received: number;
  extents: Extent[] | undefined;
  /** The first error that the server reported; the reply may go on after it. */
  failure: Failure | undefined;
  resolve(): void;
  reject(error: unknown): void;
}

/** The server does not keep to the protocol: nothing more can be expected of the connection, nor of another one to it. */
export class ProtocolViolation extends ErrnoFailure {
  constructor(message: string) {
    super('EINVAL', message);
  }
}

const protocolError = (message: string): ProtocolViolation => new ProtocolViolation(message);

export class NbdClient {
  readonly export: RemoteExport;
  /** Called once, when the connection can no longer be used, with the reason. */
  onBroken: ((reason: Failure) => void) | undefined;
  readonly #stream: ByteStream;
  readonly #pending = new Map<number, Pending>();
  readonly #waiting: (() => void)[] = [];
  #nextCookie = 1;
  #broken: Failure | undefined;
  #closing = false;
  readonly #header = new Uint8Array(20);
  readonly #view = new DataView(this.#header.buffer);

  constructor(stream: ByteStream, remote: RemoteExport) {
    this.#stream = stream;
    this.export = remote;
    void this.#receive();
  }

  get isBroken(): boolean {
    return this.#broken !== undefined;
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    await this.#request(CMD.READ, offset, target.length, 0, { target });
  }

  async write(offset: number, source: Uint8Array, flags: number): Promise<void> {
    await this.#request(CMD.WRITE, offset, source.length, flags, { source });
  }

  /** TRIM, WRITE_ZEROES, CACHE and FLUSH: what has no data either way. */
  async command(type: number, offset: number, length: number, flags: number): Promise<void> {
    await this.#request(type, offset, length, flags, {});
  }

  /** The first extent from `offset` on. */
  async status(offset: number, length: number): Promise<Extent> {
    const { extents } = await this.#request(CMD.BLOCK_STATUS, offset, length, protocol.CMD_FLAG.REQ_ONE, {});
    const first = extents?.[0];
    if (first === undefined) {
      throw new ErrnoFailure('EIO', undefined, { cause: protocolError('Server did not reply with any status extents') });
    }
    return first;
  }

  /** Says goodbye; requests in flight fail. */
  async close(): Promise<void> {
    this.#closing = true;
    if (this.#broken === undefined) {
      const goodbye = { flags: 0, type: CMD.DISC, cookieHigh: 0, cookieLow: 0, offset: 0, length: 0 };
      await this.#stream.write(protocol.encodeRequest(goodbye)).catch(() => {});
    }
    this.#break(new ErrnoFailure('EIO'));
  }

  /** Without saying anything; requests in flight fail. */
  abandon(): void {
    this.#closing = true;
    this.#break(new ErrnoFailure('EIO'));
  }

  async #request(
    type: number,
    offset: number,
    length: number,
    flags: number,
    { source, target }: { readonly source?: Uint8Array; readonly target?: Uint8Array },
  ): Promise<Pending> {
    while (this.#pending.size >= REQUESTS_MAX && this.#broken === undefined) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    if (this.#broken !== undefined) throw this.#broken;
    const cookie = this.#takeCookie();
    const header = protocol.encodeRequest({ flags, type, cookieHigh: 0, cookieLow: cookie, offset, length });
    let pending!: Pending;
    const answered = new Promise<void>((resolve, reject) => {
      pending = { type, offset, length, target, received: 0, extents: undefined, failure: undefined, resolve, reject };
    });
    this.#pending.set(cookie, pending);
    this.#send(header, source).catch((error: unknown) => this.#break(error));
    await answered;
    if (pending.failure !== undefined) throw pending.failure;
    return pending;
  }

  #takeCookie(): number {
    while (this.#pending.has(this.#nextCookie)) this.#nextCookie++;
    const cookie = this.#nextCookie;
    this.#nextCookie = cookie === 0xffff_ffff ? 1 : cookie + 1;
    return cookie;
  }

  async #send(header: Uint8Array, source: Uint8Array | undefined): Promise<void> {
    if (source === undefined) return this.#stream.write(header);
    this.#stream.cork();
    const parts = [this.#stream.write(header), this.#stream.write(source)];
    this.#stream.uncork();
    await Promise.all(parts);
  }

  // Replies -------------------------------------------------------------------------------------------------------------

  async #receive(): Promise<void> {
    try {
      while (this.#broken === undefined) await this.#receiveReply();
    } catch (error) {
      this.#break(error);
    }
  }

  async #receiveReply(): Promise<void> {
    await this.#stream.readExactly(this.#header.subarray(0, 16));
    const magic = this.#view.getUint32(0);
    if (magic === SIMPLE_REPLY_MAGIC) return this.#answering((pending) => this.#receiveSimple(pending));
    if (magic !== STRUCTURED_REPLY_MAGIC) throw protocolError('invalid magic');
    if (!this.export.structuredReplies) throw protocolError('Protocol error: unexpected structured reply');
    await this.#stream.readExactly(this.#header.subarray(16, 20));
    await this.#answering((pending) => this.#receiveChunk(pending));
  }

  #find(): Pending {
    const pending = this.#view.getUint32(8) === 0 ? this.#pending.get(this.#view.getUint32(12)) : undefined;
    if (pending === undefined) throw protocolError('Protocol error: reply to a request that was not made');
    return pending;
  }

  #finish(pending: Pending): void {
    this.#pending.delete(this.#view.getUint32(12));
    this.#waiting.shift()?.();
    pending.resolve();
  }

  /** What is wrong with the answer to one request is that request's error; the others only learn that the connection is gone. */
  async #answering(receive: (pending: Pending) => Promise<void>): Promise<void> {
    const pending = this.#find();
    try {
      await receive(pending);
    } catch (error) {
      if (error instanceof ProtocolViolation) {
        this.#pending.delete(this.#view.getUint32(12));
        pending.reject(new ErrnoFailure('EINVAL', undefined, { cause: error }));
      }
      throw error;
    }
  }

  async #receiveSimple(pending: Pending): Promise<void> {
    const error = this.#view.getUint32(4);
    // A server that promised structured replies has to keep it where data or a status are expected.
    const wantsChunks = (pending.type === CMD.READ && this.export.structuredReplies) || pending.type === CMD.BLOCK_STATUS;
    if (wantsChunks) throw protocolError('Protocol error: simple reply when structured reply chunk was expected');
    if (error !== 0) pending.failure = new ErrnoFailure(protocol.errorFromNumber(error));
    else if (pending.target !== undefined) await this.#stream.readExactly(pending.target);
    this.#finish(pending);
  }

  async #receiveChunk(pending: Pending): Promise<void> {
    const flags = this.#view.getUint16(4);
    const type = this.#view.getUint16(6);
    const length = this.#view.getUint32(16);
    if (length > MAX_PAYLOAD_BYTES) throw protocolError('Payload too large');
    const isLast = (flags & REPLY_FLAG_DONE) !== 0;
    if (type === CHUNK.NONE) {
      if (!isLast) throw protocolError('Protocol error: NBD_REPLY_TYPE_NONE chunk without NBD_REPLY_FLAG_DONE flag set');
      if (length !== 0) throw protocolError('Protocol error: NBD_REPLY_TYPE_NONE chunk with nonzero length');
    } else if (protocol.isErrorChunk(type)) await this.#receiveError(pending, type, length);
    else if (type === CHUNK.OFFSET_DATA) await this.#receiveData(pending, length);
    else if (type === CHUNK.OFFSET_HOLE) await this.#receiveHole(pending, length);
    else if (type === CHUNK.BLOCK_STATUS) await this.#receiveStatus(pending, length);
    else throw protocolError(`Unexpected reply type: ${type}`);
    if (!isLast) return;
    const isShort = pending.target !== undefined && pending.received < pending.length && pending.failure === undefined;
    if (isShort) throw protocolError('Protocol error: server sent less data than was asked for');
    this.#finish(pending);
  }

  async #payload(length: number): Promise<DataView> {
    const bytes = new Uint8Array(length);
    await this.#stream.readExactly(bytes);
    return new DataView(bytes.buffer);
  }

  async #receiveError(pending: Pending, type: number, length: number): Promise<void> {
    if (length < 6) throw protocolError('Protocol error: invalid payload for structured error');
    const view = await this.#payload(length);
    const number = view.getUint32(0);
    if (number === 0) throw protocolError('Protocol error: server sent structured error chunk with error = 0');
    const textEnd = 6 + view.getUint16(4);
    if (textEnd > length || (type === CHUNK.ERROR_OFFSET && textEnd + 8 > length)) {
      throw protocolError('Protocol error: server sent structured error chunk with incorrect message size');
    }
    pending.failure ??= new ErrnoFailure(protocol.errorFromNumber(number));
  }

  /** Where a chunk's data go; they have to lie within what was asked for. */
  #within(pending: Pending, offset: number, count: number): Uint8Array {
    const at = offset - pending.offset;
    if (pending.target === undefined) throw protocolError('Protocol error: read data in the reply to another request');
    if (at < 0 || count > pending.length || at > pending.length - count) {
      throw protocolError('Protocol error: server sent chunk exceeding requested region');
    }
    pending.received += count;
    return pending.target.subarray(at, at + count);
  }

  async #receiveData(pending: Pending, length: number): Promise<void> {
    if (length <= 8) throw protocolError('Protocol error: invalid payload for NBD_REPLY_TYPE_OFFSET_DATA');
    const offset = protocol.getOffset(await this.#payload(8), 0);
    await this.#stream.readExactly(this.#within(pending, offset, length - 8));
  }

  async #receiveHole(pending: Pending, length: number): Promise<void> {
    if (length !== 12) throw protocolError('Protocol error: invalid payload for NBD_REPLY_TYPE_OFFSET_HOLE');
    const view = await this.#payload(12);
    const count = view.getUint32(8);
    if (count === 0) throw protocolError('Protocol error: server sent an empty hole');
    this.#within(pending, protocol.getOffset(view, 0), count).fill(0);
  }

  async #receiveStatus(pending: Pending, length: number): Promise<void> {
    if (pending.type !== CMD.BLOCK_STATUS || pending.extents !== undefined) {
      throw protocolError('Several BLOCK_STATUS chunks in reply');
    }
    if (length < 12 || length % 8 !== 4) throw protocolError('Protocol error: invalid payload for NBD_REPLY_TYPE_BLOCK_STATUS');
    const view = await this.#payload(length);
    const id = view.getUint32(0);
    if (id !== this.export.contextId) throw protocolError(`Protocol error: unexpected context id ${id} for NBD_REPLY_TYPE_BLOCK_STATUS`);
    const extent = { count: view.getUint32(4), flags: view.getUint32(8) };
    if (extent.count === 0) throw protocolError('Protocol error: server sent status chunk with zero length');
    pending.extents = [extent];
  }

  #break(error: unknown): void {
    if (this.#broken !== undefined) return;
    // What the requests ask about failed because the connection did, whatever made it fail.
    const cause = error instanceof Failure ? error : new Failure('io', String(error), { cause: error });
    this.#broken = new ErrnoFailure('EIO', undefined, { cause });
    this.#stream.close();
    for (const pending of this.#pending.values()) pending.reject(this.#broken);
    this.#pending.clear();
    for (const wake of this.#waiting.splice(0)) wake();
    if (!this.#closing) this.onBroken?.(cause);
  }
}
