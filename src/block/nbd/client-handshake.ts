// The client's side of the NBD handshake: fixed newstyle with TLS, structured replies and one metadata context, falling back to
// plain newstyle and to the oldstyle of servers from before 2011; and the listing of a server's exports. Specification:
// proto.md, "Handshake phase". A server's answers are checked and bounded; what is wrong with one is a Failure in the words of
// the reference.
import { Failure } from '../../base/failure.ts';
import type { ByteStream, TlsCredentials } from '../../ports/stream.ts';
import { concatBytes } from '../../struct/layout.ts';
import * as protocol from './protocol.ts';
import { FLAG, HANDSHAKE, INFO, MAX_REQUEST_BYTES, MAX_STRING_BYTES, OPT, REP } from './protocol.ts';

export interface ClientOptions {
  readonly exportName: string;
  readonly tls?: TlsCredentials | undefined;
  readonly tlsHostname?: string | undefined;
  /** The metadata context to ask for: base:allocation, or a bitmap in its place. */
  readonly context: string;
}

/** The export that was entered. */
export interface RemoteExport {
  readonly size: number;
  readonly flags: number;
  /** 0 where the server says nothing. */
  readonly minimumBlock: number;
  readonly preferredBlock: number;
  readonly maximumBlock: number;
  readonly structuredReplies: boolean;
  /** The number of the wanted context; undefined when the server does not have it. */
  readonly contextId: number | undefined;
}

/** One line of a server's list, with what it tells of the export. */
export interface ListedExport {
  readonly name: string;
  readonly description: string | undefined;
  readonly details: RemoteExport | undefined;
  readonly contexts: readonly string[];
}

const LIST_MAX = 10_000;
const text = new TextEncoder();
const decoder = new TextDecoder();

// prettier-ignore
const OPTION_NAMES: Readonly<Record<number, string>> = {
  [OPT.EXPORT_NAME]: 'export name', [OPT.ABORT]: 'abort', [OPT.LIST]: 'list', [OPT.STARTTLS]: 'starttls', [OPT.INFO]: 'info', [OPT.GO]: 'go',
  [OPT.STRUCTURED_REPLY]: 'structured reply', [OPT.LIST_META_CONTEXT]: 'list meta context', [OPT.SET_META_CONTEXT]: 'set meta context',
};

// prettier-ignore
const REPLY_NAMES: Readonly<Record<number, string>> = {
  [REP.ACK]: 'ack', [REP.SERVER]: 'server', [REP.INFO]: 'info', [REP.META_CONTEXT]: 'meta context', [REP.ERR_UNSUP]: 'unsupported',
  [REP.ERR_POLICY]: 'denied by policy', [REP.ERR_INVALID]: 'invalid', [REP.ERR_PLATFORM]: 'platform lacks support',
  [REP.ERR_TLS_REQD]: 'TLS required', [REP.ERR_UNKNOWN]: 'export unknown', [REP.ERR_SHUTDOWN]: 'server shutting down',
  [REP.ERR_BLOCK_SIZE_REQD]: 'block size required', [REP.ERR_TOO_BIG]: 'option payload too big',
};

const optionName = (option: number): string => OPTION_NAMES[option] ?? '<unknown>';
const replyName = (type: number): string => REPLY_NAMES[type] ?? '<unknown>';
const broken = (message: string): Failure => new Failure('invalid-format', message);
const hex = (value: bigint): string => `0x${value.toString(16)}`;

interface Reply {
  readonly type: number;
  readonly length: number;
}

/** An export's facts while they come in. */
interface Facts {
  size: bigint | undefined;
  flags: number;
  minimumBlock: number;
  preferredBlock: number;
  maximumBlock: number;
  description: string | undefined;
}

const noFacts = (): Facts => ({ size: undefined, flags: 0, minimumBlock: 0, preferredBlock: 0, maximumBlock: 0, description: undefined });

const isPowerOfTwo = (value: number): boolean => value > 0 && (value & (value - 1)) === 0;

/** What a server is before options are spoken of. */
type Style = 'oldstyle' | 'newstyle' | 'fixed-newstyle';

export class ClientHandshake {
  #stream: ByteStream;
  readonly #options: ClientOptions;
  #noZeroes = false;
  #structuredReplies = false;

  constructor(stream: ByteStream, options: ClientOptions) {
    this.#stream = stream;
    this.#options = options;
  }

  /** The stream that the connection uses now: another one once TLS has begun. */
  get stream(): ByteStream {
    return this.#stream;
  }

  /** Enters the export. */
  async enter(): Promise<RemoteExport> {
    const style = await this.#start();
    if (style === 'oldstyle') return this.#enterOldstyle();
    const facts = noFacts();
    const contextId = style === 'fixed-newstyle' && this.#structuredReplies ? await this.#setContext() : undefined;
    const entered = style === 'fixed-newstyle' && (await this.#inform(OPT.GO, this.#options.exportName, facts));
    if (!entered) await this.#enterByName(style, facts);
    return this.#remote(facts, contextId);
  }

  /** Asks for everything a server offers, and leaves. */
  async list(): Promise<ListedExport[]> {
    const style = await this.#start();
    if (style === 'oldstyle') return [await this.#listOldstyle()];
    if (style === 'newstyle') throw new Failure('unsupported', 'Server does not support export lists');
    const result: ListedExport[] = [];
    for (const { name, description } of await this.#exportNames()) {
      const facts = noFacts();
      const known = await this.#inform(OPT.INFO, name, facts);
      const contexts = known && this.#structuredReplies ? await this.#listContexts(name) : [];
      const details = known ? this.#remote(facts, undefined) : undefined;
      result.push({ name, description: facts.description ?? description, details, contexts });
    }
    await this.#send(OPT.ABORT).catch(() => {});
    return result;
  }

  #remote({ size, flags, minimumBlock, preferredBlock, maximumBlock }: Facts, contextId: number | undefined): RemoteExport {
    if (size === undefined) throw broken('broken server omitted NBD_INFO_EXPORT');
    if (minimumBlock > 1 && size % BigInt(minimumBlock) !== 0n) {
      throw broken(`export size ${size} is not multiple of minimum block size ${minimumBlock}`);
    }
    if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw new Failure('limit', `export size ${size} is too big`);
    const structuredReplies = this.#structuredReplies;
    return { size: Number(size), flags, minimumBlock, preferredBlock, maximumBlock, structuredReplies, contextId };
  }

  // The beginning -------------------------------------------------------------------------------------------------------

  async #start(): Promise<Style> {
    const magic = (await this.#read(8, 'initial magic')).getBigUint64(0);
    if (magic !== protocol.INIT_MAGIC) throw broken(`Bad initial magic received: ${hex(magic)}`);
    const second = (await this.#read(8, 'server magic')).getBigUint64(0);
    if (second === protocol.OPTION_MAGIC) return this.#startNewstyle();
    if (second !== protocol.OLDSTYLE_MAGIC) throw broken(`Bad server magic received: ${hex(second)}`);
    if (this.#options.tls !== undefined) throw new Failure('unsupported', 'Server does not support STARTTLS');
    return 'oldstyle';
  }

  async #startNewstyle(): Promise<Style> {
    const flags = (await this.#read(2, 'server flags')).getUint16(0);
    const isFixed = (flags & HANDSHAKE.FIXED_NEWSTYLE) !== 0;
    this.#noZeroes = (flags & HANDSHAKE.NO_ZEROES) !== 0;
    const answer = new Uint8Array(4);
    new DataView(answer.buffer).setUint32(0, (isFixed ? HANDSHAKE.FIXED_NEWSTYLE : 0) | (this.#noZeroes ? HANDSHAKE.NO_ZEROES : 0));
    await this.#write(answer, 'clientflags field');
    if (this.#options.tls !== undefined) {
      if (!isFixed) throw new Failure('unsupported', 'Server does not support STARTTLS');
      await this.#startTls(this.#options.tls);
    }
    if (!isFixed) return 'newstyle';
    this.#structuredReplies = await this.#request(OPT.STRUCTURED_REPLY, new Uint8Array(0), false);
    return 'fixed-newstyle';
  }

  async #startTls(credentials: TlsCredentials): Promise<void> {
    if (!(await this.#request(OPT.STARTTLS, new Uint8Array(0), true))) {
      throw new Failure('unsupported', `Server don't support STARTTLS option`);
    }
    this.#stream = await this.#stream.startTls(credentials, this.#options.tlsHostname);
  }

  async #enterOldstyle(): Promise<RemoteExport> {
    if (this.#options.exportName !== '') throw new Failure('unsupported', 'Server does not support non-empty export names');
    return this.#remote(await this.#oldstyleFacts(), undefined);
  }

  async #oldstyleFacts(): Promise<Facts> {
    const size = (await this.#read(8, 'export length')).getBigUint64(0);
    const flags = (await this.#read(4, 'export flags')).getUint32(0);
    if (flags > 0xffff) throw broken(`Unexpected export flags 0x${flags.toString(16)}`);
    await this.#read(protocol.EXPORT_NAME_ZEROES, 'reserved block');
    return { ...noFacts(), size, flags };
  }

  async #listOldstyle(): Promise<ListedExport> {
    const details = this.#remote(await this.#oldstyleFacts(), undefined);
    return { name: '', description: undefined, details, contexts: [] };
  }

  // Messages ------------------------------------------------------------------------------------------------------------

  async #read(count: number, what: string): Promise<DataView> {
    const bytes = new Uint8Array(count);
    try {
      await this.#stream.readExactly(bytes);
    } catch (error) {
      throw inContext(`Failed to read ${what}`, error);
    }
    return new DataView(bytes.buffer);
  }

  async #readText(count: number, what: string): Promise<string> {
    return decoder.decode(await this.#read(count, what));
  }

  async #write(bytes: Uint8Array, what: string): Promise<void> {
    try {
      await this.#stream.write(bytes);
    } catch (error) {
      throw inContext(`Failed to send ${what}`, error);
    }
  }

  async #send(option: number, data: Uint8Array = new Uint8Array(0)): Promise<void> {
    const header = protocol.optionHeader.encode({ magic: protocol.OPTION_MAGIC, option, length: data.length });
    await this.#write(concatBytes(header, data), 'option request');
  }

  /** The header of a reply to `option`; its data are still to be read. */
  async #reply(option: number): Promise<Reply> {
    const view = await this.#read(protocol.optionReplyHeader.sizeBytes, 'option reply');
    const { magic, option: answered, type, length } = protocol.optionReplyHeader.decode(new Uint8Array(view.buffer));
    if (magic !== protocol.OPTION_REPLY_MAGIC) return this.#leave('Unexpected option reply magic', false);
    if (answered !== option) {
      const names = [answered, option].map((number) => `${number} (${optionName(number)})`);
      return this.#leave(`Unexpected option type ${names[0]}, expected ${names[1]}`);
    }
    return { type, length };
  }

  /** Tells the server that this is the end, and us why. */
  async #leave(message: string, politely = true): Promise<never> {
    if (politely) await this.#send(OPT.ABORT).catch(() => {});
    throw broken(message);
  }

  /** False for an error that means that the server does not know the option; Failure for the others. */
  async #accepted(option: number, reply: Reply, onlyUnsupported: boolean): Promise<boolean> {
    if (!protocol.isErrorReply(reply.type)) return true;
    if (reply.length > MAX_REQUEST_BYTES) {
      return this.#leave(`server error ${reply.type} (${replyName(reply.type)}) message is too long`);
    }
    const said = reply.length > 0 ? await this.#readText(reply.length, 'option error message') : '';
    if (reply.type === REP.ERR_UNSUP || !onlyUnsupported) return false;
    return this.#leave(said === '' ? refusal(option, reply.type) : `${refusal(option, reply.type)}\nserver reported: ${shorten(said)}`);
  }

  /** An option that is answered with an acknowledgement; false when the server does not know it. */
  async #request(option: number, data: Uint8Array, strict: boolean): Promise<boolean> {
    await this.#send(option, data);
    const reply = await this.#reply(option);
    if (!(await this.#accepted(option, reply, strict))) return false;
    if (reply.type !== REP.ACK) {
      const answer = `${reply.type} (${replyName(reply.type)})`;
      return this.#leave(`Server answered option ${option} (${optionName(option)}) with unexpected reply ${answer}`);
    }
    if (reply.length !== 0) {
      return this.#leave(`Option ${option} ('${optionName(option)}') response length is ${reply.length} (it should be zero)`);
    }
    return true;
  }

  // Exports -------------------------------------------------------------------------------------------------------------

  /** INFO or GO; false when the server does not know them. */
  async #inform(option: number, name: string, facts: Facts): Promise<boolean> {
    const bytes = text.encode(name);
    const data = new Uint8Array(8 + bytes.length);
    const view = new DataView(data.buffer);
    view.setUint32(0, bytes.length);
    data.set(bytes, 4);
    view.setUint16(4 + bytes.length, 1);
    view.setUint16(6 + bytes.length, INFO.BLOCK_SIZE);
    await this.#send(option, data);
    for (;;) {
      const reply = await this.#reply(option);
      if (!(await this.#accepted(option, reply, true))) return false;
      if (reply.type === REP.ACK) return this.#finishInform(reply, facts);
      if (reply.type !== REP.INFO) {
        return this.#leave(`unexpected reply type ${reply.type} (${replyName(reply.type)}), expected ${REP.INFO}`);
      }
      await this.#takeInfo(reply.length, facts);
    }
  }

  async #finishInform(reply: Reply, facts: Facts): Promise<true> {
    if (reply.length !== 0) return this.#leave('server sent invalid NBD_REP_ACK');
    if (facts.flags === 0) return this.#leave('broken server omitted NBD_INFO_EXPORT');
    return true;
  }

  async #takeInfo(length: number, facts: Facts): Promise<void> {
    if (length < 2) return this.#leave(`NBD_REP_INFO length ${length} is too short`);
    if (length > MAX_REQUEST_BYTES) return this.#leave(`NBD_REP_INFO length ${length} is too long`);
    const type = (await this.#read(2, 'info type')).getUint16(0);
    const rest = length - 2;
    if (type === INFO.EXPORT) return this.#takeExport(rest, facts);
    if (type === INFO.BLOCK_SIZE) return this.#takeBlockSizes(rest, facts);
    if (type !== INFO.DESCRIPTION) return void (await this.#read(rest, 'info payload'));
    if (rest > MAX_STRING_BYTES) return this.#leave('info description is too long');
    facts.description = await this.#readText(rest, 'info description');
  }

  async #takeExport(length: number, facts: Facts): Promise<void> {
    if (length !== 10) return this.#leave(`remaining export info len ${length} is unexpected size`);
    const view = await this.#read(10, 'info size');
    facts.size = view.getBigUint64(0);
    facts.flags = view.getUint16(8);
  }

  async #takeBlockSizes(length: number, facts: Facts): Promise<void> {
    if (length !== 12) return this.#leave(`remaining export info len ${length} is unexpected size`);
    const view = await this.#read(12, 'info minimum block size');
    const [minimum, preferred, maximum] = [view.getUint32(0), view.getUint32(4), view.getUint32(8)];
    if (!isPowerOfTwo(minimum)) return this.#leave(`server minimum block size ${minimum} is not a power of two`);
    if (!isPowerOfTwo(preferred) || preferred < minimum) return this.#leave(`server preferred block size ${preferred} is not valid`);
    if (maximum < minimum) return this.#leave(`server maximum block size ${maximum} is not valid`);
    facts.minimumBlock = minimum;
    facts.preferredBlock = preferred;
    facts.maximumBlock = maximum - (maximum % minimum);
  }

  /** The way of old servers: there is no answer to a name that they do not have. */
  async #enterByName(style: Style, facts: Facts): Promise<void> {
    const name = this.#options.exportName;
    if (style === 'fixed-newstyle') await this.#checkListed(name);
    await this.#send(OPT.EXPORT_NAME, text.encode(name));
    facts.size = (await this.#read(8, 'export length')).getBigUint64(0);
    facts.flags = (await this.#read(2, 'export flags')).getUint16(0);
    if (!this.#noZeroes) await this.#read(protocol.EXPORT_NAME_ZEROES, 'reserved block');
  }

  /** A list that has other names only says that there is no such export. */
  async #checkListed(name: string): Promise<void> {
    await this.#send(OPT.LIST);
    let found = false;
    for (let count = 0; ; count++) {
      const item = await this.#listItem();
      if (item === 'unsupported') return;
      if (item === undefined) break;
      found ||= item.name === name;
      if (count >= LIST_MAX) return this.#leave('too many exports in the server\'s list');
    }
    if (!found) return this.#leave(`No export with name '${name}' available`);
  }

  async #exportNames(): Promise<{ name: string; description: string | undefined }[]> {
    const names: { name: string; description: string | undefined }[] = [];
    await this.#send(OPT.LIST);
    for (;;) {
      const item = await this.#listItem();
      if (item === 'unsupported' || item === undefined) return names;
      names.push(item);
      if (names.length > LIST_MAX) return this.#leave('too many exports in the server\'s list');
    }
  }

  /** One export of a list; undefined at the end. */
  async #listItem(): Promise<{ name: string; description: string | undefined } | 'unsupported' | undefined> {
    const reply = await this.#reply(OPT.LIST);
    if (!(await this.#accepted(OPT.LIST, reply, true))) return 'unsupported';
    if (reply.type === REP.ACK) {
      if (reply.length !== 0) return this.#leave('length too long for option end');
      return undefined;
    }
    if (reply.type !== REP.SERVER) {
      return this.#leave(`Unexpected reply type ${reply.type} (${replyName(reply.type)}), expected ${REP.SERVER}`);
    }
    const { length } = reply;
    if (length < 4 || length > MAX_REQUEST_BYTES) return this.#leave(`incorrect option length ${length}`);
    const nameLength = (await this.#read(4, 'option name length')).getUint32(0);
    if (nameLength > length - 4) return this.#leave("incorrect name length in server's list response");
    if (nameLength > MAX_STRING_BYTES) return this.#leave(`export name too long to process`);
    const name = await this.#readText(nameLength, 'export name');
    const rest = length - 4 - nameLength;
    if (rest > MAX_STRING_BYTES) return this.#leave('description too long to process');
    const description = rest > 0 ? await this.#readText(rest, 'export description') : undefined;
    return { name, description };
  }

  // Metadata contexts ---------------------------------------------------------------------------------------------------

  async #sendContextRequest(option: number, name: string, queries: readonly string[]): Promise<void> {
    const parts = [text.encode(name), ...queries.map((query) => text.encode(query))];
    const data = new Uint8Array(4 + parts.reduce((sum, part) => sum + 4 + part.length, 0));
    const view = new DataView(data.buffer);
    let at = 0;
    parts.forEach((part, index) => {
      view.setUint32(at, part.length);
      data.set(part, at + 4);
      at += 4 + part.length;
      if (index > 0) return;
      view.setUint32(at, queries.length);
      at += 4;
    });
    await this.#send(option, data);
  }

  /** One context of an answer; undefined at the end, and after an error: then there are none. */
  async #contextItem(option: number): Promise<{ id: number; name: string } | undefined> {
    const reply = await this.#reply(option);
    if (!(await this.#accepted(option, reply, false))) return undefined;
    const { type, length } = reply;
    if (type === REP.ACK) {
      if (length !== 0) return this.#leave(`Unexpected length to ACK response`);
      return undefined;
    }
    if (type !== REP.META_CONTEXT) return this.#leave(`Unexpected reply type ${type} (${replyName(type)}), expected ${REP.META_CONTEXT}`);
    if (length <= 4 || length > MAX_REQUEST_BYTES) {
      return this.#leave(`Failed to negotiate meta context, server answered with unexpected length ${length}`);
    }
    const id = (await this.#read(4, 'context id')).getUint32(0);
    return { id, name: await this.#readText(length - 4, 'context name') };
  }

  async #setContext(): Promise<number | undefined> {
    const wanted = this.#options.context;
    await this.#sendContextRequest(OPT.SET_META_CONTEXT, this.#options.exportName, [wanted]);
    const first = await this.#contextItem(OPT.SET_META_CONTEXT);
    if (first === undefined) return undefined;
    if (first.name !== wanted) {
      return this.#leave(`Failed to negotiate meta context '${wanted}', server answered with different context '${first.name}'`);
    }
    if ((await this.#contextItem(OPT.SET_META_CONTEXT)) !== undefined) return this.#leave('Server answered with more than one context');
    return first.id;
  }

  async #listContexts(name: string): Promise<string[]> {
    await this.#sendContextRequest(OPT.LIST_META_CONTEXT, name, []);
    const names: string[] = [];
    for (;;) {
      const item = await this.#contextItem(OPT.LIST_META_CONTEXT);
      if (item === undefined) return names;
      names.push(item.name);
      if (names.length > LIST_MAX) return this.#leave('too many contexts in the server\'s list');
    }
  }
}

function refusal(option: number, type: number): string {
  const what = `option ${option} (${optionName(option)})`;
  switch (type) {
    case REP.ERR_POLICY:
      return `Denied by server for ${what}`;
    case REP.ERR_INVALID:
      return `Invalid parameters for ${what}`;
    case REP.ERR_PLATFORM:
      return `Server lacks support for ${what}`;
    case REP.ERR_TLS_REQD:
      return `TLS negotiation required before ${what}\nDid you forget a valid tls-creds?`;
    case REP.ERR_UNKNOWN:
      return 'Requested export not available';
    case REP.ERR_SHUTDOWN:
      return `Server shutting down before ${what}`;
    case REP.ERR_BLOCK_SIZE_REQD:
      return `Server requires INFO_BLOCK_SIZE for ${what}`;
    default:
      return `Unknown error code when asking for ${what}`;
  }
}

/** Only text that a terminal can be trusted with. */
const shorten = (said: string): string => said.slice(0, MAX_STRING_BYTES).replace(/[\p{Cc}]/gu, '?');

const inContext = (context: string, error: unknown): unknown =>
  error instanceof Failure ? new Failure(error.kind, `${context}: ${error.message}`, { cause: error }) : error;

/** Names of the transmission flags, as the list of exports shows them. */
// prettier-ignore
export const FLAG_NAMES: readonly (readonly [flag: number, name: string])[] = [
  [FLAG.READ_ONLY, 'readonly'], [FLAG.SEND_FLUSH, 'flush'], [FLAG.SEND_FUA, 'fua'], [FLAG.ROTATIONAL, 'rotational'], [FLAG.SEND_TRIM, 'trim'],
  [FLAG.SEND_WRITE_ZEROES, 'zeroes'], [FLAG.SEND_DF, 'df'], [FLAG.CAN_MULTI_CONN, 'multi'], [FLAG.SEND_RESIZE, 'resize'],
  [FLAG.SEND_CACHE, 'cache'], [FLAG.SEND_FAST_ZERO, 'fast-zero'],
];
