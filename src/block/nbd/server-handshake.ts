// The server's side of the NBD handshake: fixed newstyle with all options of the specification, and the plain newstyle of old
// clients. What a client asks wrongly is answered with an error; what cannot be answered ends the connection. Specification:
// proto.md, "Handshake phase". Bounded: an option's data is never bigger than a request, a name never longer than 4096 bytes.
import { Failure, type FailureKind } from '../../base/failure.ts';
import type { ByteStream, TlsCredentials } from '../../ports/stream.ts';
import { concatBytes } from '../../struct/layout.ts';
import type { MetaContext, NbdExport } from './export.ts';
import * as protocol from './protocol.ts';
import { FLAG, HANDSHAKE, INFO, MAX_REQUEST_BYTES, MAX_STRING_BYTES, OPT, REP } from './protocol.ts';

/** What the two sides agreed on. */
export interface Session {
  readonly stream: ByteStream;
  readonly export: NbdExport;
  readonly structuredReplies: boolean;
  readonly contexts: readonly MetaContext[];
}

export interface HandshakeOptions {
  readonly exports: ReadonlyMap<string, NbdExport>;
  /** With credentials a client must start TLS before anything else. */
  readonly tls?: TlsCredentials | undefined;
  /** The stream that takes the place of the first one, under TLS. */
  readonly onStream?: (stream: ByteStream) => void;
  /** After the TLS handshake: throws when this client is not wanted. */
  readonly authorize?: ((stream: ByteStream) => void) | undefined;
}

const text = new TextEncoder();
const decoder = new TextDecoder();

// prettier-ignore
const OPTION_NAMES: Readonly<Record<number, string>> = {
  [OPT.EXPORT_NAME]: 'export name', [OPT.ABORT]: 'abort', [OPT.LIST]: 'list', [OPT.PEEK_EXPORT]: 'peek export',
  [OPT.STARTTLS]: 'starttls', [OPT.INFO]: 'info', [OPT.GO]: 'go', [OPT.STRUCTURED_REPLY]: 'structured reply',
  [OPT.LIST_META_CONTEXT]: 'list meta context', [OPT.SET_META_CONTEXT]: 'set meta context',
};
const optionName = (option: number): string => OPTION_NAMES[option] ?? '<unknown>';

const ended = (message: string, kind: FailureKind = 'invalid-format'): Failure => new Failure(kind, message);

/** An option's data, taken apart with the bounds checked. */
class OptionData {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get rest(): number {
    return this.#bytes.length - this.#at;
  }

  u16(): number {
    this.#at += 2;
    return this.#view.getUint16(this.#at - 2);
  }

  u32(): number {
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4);
  }

  take(count: number): Uint8Array {
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }
}

/** An option that is answered with an error and does no harm to the rest. */
class OptionError extends Error {
  readonly reply: number;

  constructor(reply: number, message: string) {
    super(message);
    this.reply = reply;
  }
}

export class ServerHandshake {
  #stream: ByteStream;
  readonly #options: HandshakeOptions;
  #fixedNewstyle = false;
  #noZeroes = false;
  #encrypted = false;
  #structuredReplies = false;
  #contexts: readonly MetaContext[] = [];
  #contextsOf: NbdExport | undefined;

  constructor(stream: ByteStream, options: HandshakeOptions) {
    this.#stream = stream;
    this.#options = options;
  }

  /** The stream that the connection uses now: another one once TLS has begun. */
  get stream(): ByteStream {
    return this.#stream;
  }

  /** Undefined when the client left in good order; Failure when it did not. */
  async run(): Promise<Session | undefined> {
    await this.#greet();
    for (;;) {
      const { option, length } = await this.#readHeader();
      const result = await this.#answer(option, length);
      if (result === 'leave') return undefined;
      if (result !== 'continue') return this.#session(result);
    }
  }

  #session(chosen: NbdExport): Session {
    // Contexts count only for the export that they were asked for.
    const contexts = this.#contextsOf === chosen ? this.#contexts : [];
    return { stream: this.#stream, export: chosen, structuredReplies: this.#structuredReplies, contexts };
  }

  async #greet(): Promise<void> {
    const greeting = new Uint8Array(18);
    const view = new DataView(greeting.buffer);
    view.setBigUint64(0, protocol.INIT_MAGIC);
    view.setBigUint64(8, protocol.OPTION_MAGIC);
    view.setUint16(16, HANDSHAKE.FIXED_NEWSTYLE | HANDSHAKE.NO_ZEROES);
    await this.#stream.write(greeting);
    const flags = (await this.#read(4, 'flags')).u32();
    this.#fixedNewstyle = (flags & HANDSHAKE.FIXED_NEWSTYLE) !== 0;
    this.#noZeroes = (flags & HANDSHAKE.NO_ZEROES) !== 0;
    const unknown = (flags & ~(HANDSHAKE.FIXED_NEWSTYLE | HANDSHAKE.NO_ZEROES)) >>> 0;
    if (unknown !== 0) throw ended(`Unknown client flags 0x${unknown.toString(16)} received`);
  }

  async #read(count: number, what: string): Promise<OptionData> {
    const bytes = new Uint8Array(count);
    try {
      await this.#stream.readExactly(bytes);
    } catch (error) {
      throw error instanceof Failure ? new Failure(error.kind, `Failed to read ${what}: ${error.message}`, { cause: error }) : error;
    }
    return new OptionData(bytes);
  }

  async #readHeader(): Promise<{ option: number; length: number }> {
    const magic = await this.#read(8, 'opts magic');
    if ((BigInt(magic.u32()) << 32n) + BigInt(magic.u32()) !== protocol.OPTION_MAGIC) throw ended('Bad magic received');
    const option = (await this.#read(4, 'option')).u32();
    const length = (await this.#read(4, 'option length')).u32();
    if (length > MAX_REQUEST_BYTES) throw ended(`len (${length} ) is larger than max len (${MAX_REQUEST_BYTES})`, 'limit');
    return { option, length };
  }

  async #answer(option: number, length: number): Promise<NbdExport | 'continue' | 'leave'> {
    const needsTls = this.#options.tls !== undefined && !this.#encrypted;
    if (!this.#fixedNewstyle) return this.#answerPlainNewstyle(option, length, needsTls);
    if (needsTls && option === OPT.EXPORT_NAME) throw ended(`Option 0x${option.toString(16)} not permitted before TLS`);
    if (option === OPT.EXPORT_NAME) return this.#exportName(length);
    const data = await this.#read(length, 'data');
    try {
      if (option === OPT.ABORT) return await this.#abort();
      if (needsTls && option !== OPT.STARTTLS) {
        throw new OptionError(REP.ERR_TLS_REQD, `Option 0x${option.toString(16)} not permitted before TLS`);
      }
      return (await this.#perform(option, data)) ?? 'continue';
    } catch (error) {
      if (!(error instanceof OptionError)) throw error;
      await this.#reply(option, error.reply, text.encode(error.message));
      return 'continue';
    }
  }

  async #answerPlainNewstyle(option: number, length: number, needsTls: boolean): Promise<NbdExport> {
    if (needsTls) throw ended(`Unsupported option 0x${option.toString(16)}`);
    if (option !== OPT.EXPORT_NAME) throw ended(`Unsupported option ${option} (${optionName(option)})`);
    return this.#exportName(length);
  }

  async #perform(option: number, data: OptionData): Promise<NbdExport | undefined> {
    switch (option) {
      case OPT.LIST:
        return this.#list(data);
      case OPT.STARTTLS:
        return this.#startTls(data);
      case OPT.INFO:
        await this.#info(option, data);
        return undefined;
      case OPT.GO:
        return this.#info(option, data);
      case OPT.STRUCTURED_REPLY:
        return this.#startStructuredReplies(data);
      case OPT.LIST_META_CONTEXT:
      case OPT.SET_META_CONTEXT:
        return this.#metaContexts(option, data);
      default:
        throw new OptionError(REP.ERR_UNSUP, `Unsupported option ${option} (${optionName(option)})`);
    }
  }

  async #reply(option: number, type: number, data: Uint8Array = new Uint8Array(0)): Promise<void> {
    const header = protocol.optionReplyHeader.encode({ magic: protocol.OPTION_REPLY_MAGIC, option, type, length: data.length });
    await this.#stream.write(concatBytes(header, data));
  }

  // Single options ------------------------------------------------------------------------------------------------------

  async #abort(): Promise<'leave'> {
    // A client may have gone without waiting for this.
    await this.#reply(OPT.ABORT, REP.ACK).catch(() => {});
    return 'leave';
  }

  async #exportName(length: number): Promise<NbdExport> {
    if (length > MAX_STRING_BYTES) throw ended('Bad length received', 'limit');
    const name = decoder.decode((await this.#read(length, 'export name')).take(length));
    const chosen = this.#options.exports.get(name);
    if (chosen === undefined) throw ended('export not found', 'not-found');
    const answer = protocol.exportNameReply.encode({ size: BigInt(chosen.size), flags: this.#transmissionFlags(chosen) });
    await this.#stream.write(this.#noZeroes ? answer : concatBytes(answer, new Uint8Array(protocol.EXPORT_NAME_ZEROES)));
    return chosen;
  }

  async #list(data: OptionData): Promise<undefined> {
    expectEnd(OPT.LIST, data);
    for (const { name, description } of this.#options.exports.values()) {
      const bytes = text.encode(name);
      const length = new Uint8Array(4);
      new DataView(length.buffer).setUint32(0, bytes.length);
      await this.#reply(OPT.LIST, REP.SERVER, concatBytes(length, bytes, text.encode(description ?? '')));
    }
    await this.#reply(OPT.LIST, REP.ACK);
  }

  async #startTls(data: OptionData): Promise<undefined> {
    expectEnd(OPT.STARTTLS, data);
    const { tls, authorize } = this.#options;
    if (this.#encrypted) throw new OptionError(REP.ERR_INVALID, 'TLS already enabled');
    if (tls === undefined) throw new OptionError(REP.ERR_POLICY, 'TLS not configured');
    await this.#reply(OPT.STARTTLS, REP.ACK);
    this.#stream = await this.#stream.startTls(tls);
    this.#options.onStream?.(this.#stream);
    authorize?.(this.#stream);
    // Nothing that was agreed on in the clear counts any more.
    this.#encrypted = true;
    this.#structuredReplies = false;
    this.#contexts = [];
  }

  async #startStructuredReplies(data: OptionData): Promise<undefined> {
    expectEnd(OPT.STRUCTURED_REPLY, data);
    if (this.#structuredReplies) throw new OptionError(REP.ERR_INVALID, 'structured reply already negotiated');
    this.#structuredReplies = true;
    await this.#reply(OPT.STRUCTURED_REPLY, REP.ACK);
  }

  #transmissionFlags({ readOnly, multiConn }: NbdExport): number {
    const common = FLAG.HAS_FLAGS | FLAG.SEND_FLUSH | FLAG.SEND_FUA | FLAG.SEND_CACHE;
    const writing = readOnly ? FLAG.READ_ONLY : FLAG.SEND_TRIM | FLAG.SEND_WRITE_ZEROES | FLAG.SEND_FAST_ZERO;
    return common | writing | (multiConn ? FLAG.CAN_MULTI_CONN : 0) | (this.#structuredReplies ? FLAG.SEND_DF : 0);
  }

  #takeName(option: number, data: OptionData): string {
    if (data.rest < 4) throw inconsistent(option);
    const length = data.u32();
    if (length > MAX_STRING_BYTES) throw new OptionError(REP.ERR_INVALID, `Invalid name length: ${length}`);
    if (length > data.rest) throw inconsistent(option);
    return decoder.decode(data.take(length));
  }

  #find(name: string): NbdExport {
    const found = this.#options.exports.get(name);
    if (found === undefined) throw new OptionError(REP.ERR_UNKNOWN, `export '${name}' not present`);
    return found;
  }

  async #info(option: number, data: OptionData): Promise<NbdExport> {
    const name = this.#takeName(option, data);
    if (data.rest < 2) throw inconsistent(option);
    const wanted = new Set<number>();
    const count = data.u16();
    for (let n = 0; n < count; n++) {
      if (data.rest < 2) throw inconsistent(option);
      wanted.add(data.u16());
    }
    expectEnd(option, data);
    const chosen = this.#find(name);
    for (const item of this.#infoItems(option, chosen, wanted)) await this.#reply(option, REP.INFO, item);
    if (option === OPT.INFO && chosen.minimumBlock > 1 && !wanted.has(INFO.BLOCK_SIZE)) {
      throw new OptionError(REP.ERR_BLOCK_SIZE_REQD, 'request NBD_INFO_BLOCK_SIZE to use this export');
    }
    await this.#reply(option, REP.ACK);
    return chosen;
  }

  #infoItems(option: number, chosen: NbdExport, wanted: ReadonlySet<number>): Uint8Array[] {
    const items: Uint8Array[] = [];
    if (wanted.has(INFO.NAME)) items.push(concatBytes([0, INFO.NAME], text.encode(chosen.name)));
    if (chosen.description !== undefined) items.push(concatBytes([0, INFO.DESCRIPTION], text.encode(chosen.description)));
    // Whoever does not ask for block sizes will not keep to them: such a client is told that anything goes, and it does.
    const minimum = option === OPT.INFO || wanted.has(INFO.BLOCK_SIZE) ? chosen.minimumBlock : 1;
    const preferred = Math.max(4096, minimum);
    const maximum = Math.min(chosen.maximumBlock, MAX_REQUEST_BYTES);
    items.push(protocol.infoBlockSize.encode({ type: INFO.BLOCK_SIZE, minimum, preferred, maximum }));
    items.push(protocol.infoExport.encode({ type: INFO.EXPORT, size: BigInt(chosen.size), flags: this.#transmissionFlags(chosen) }));
    return items;
  }

  // Metadata contexts ---------------------------------------------------------------------------------------------------

  async #metaContexts(option: number, data: OptionData): Promise<undefined> {
    const isSet = option === OPT.SET_META_CONTEXT;
    if (isSet && !this.#structuredReplies) {
      throw new OptionError(REP.ERR_INVALID, `request option '${optionName(option)}' when structured reply is not negotiated`);
    }
    if (isSet) this.#contexts = [];
    const name = this.#takeName(option, data);
    const owner = this.#find(name);
    const all = owner.contexts;
    if (data.rest < 4) throw inconsistent(option);
    const count = data.u32();
    const selected = new Set<MetaContext>();
    if (!isSet && count === 0) for (const context of all) selected.add(context);
    for (let n = 0; n < count; n++) selectContexts(takeQuery(option, data), isSet, all, selected);
    expectEnd(option, data);
    const answer = all.filter((context) => selected.has(context));
    for (const { id, name: contextName } of answer) {
      const number = new Uint8Array(4);
      new DataView(number.buffer).setUint32(0, isSet ? id : 0);
      await this.#reply(option, REP.META_CONTEXT, concatBytes(number, text.encode(contextName)));
    }
    if (isSet) {
      this.#contexts = answer;
      this.#contextsOf = owner;
    }
    await this.#reply(option, REP.ACK);
  }
}

function takeQuery(option: number, data: OptionData): string {
  if (data.rest < 4) throw inconsistent(option);
  const length = data.u32();
  if (length > data.rest) throw inconsistent(option);
  const bytes = data.take(length);
  return length > MAX_STRING_BYTES ? '' : decoder.decode(bytes);
}

/** Adds what `query` means: a context, or, in a list, all of a namespace. What nobody knows means nothing. */
function selectContexts(query: string, isSet: boolean, all: readonly MetaContext[], selected: Set<MetaContext>): void {
  const isNamespace = !isSet && (query === 'base:' || query === 'qemu:' || query === protocol.CONTEXT_DIRTY_BITMAP);
  for (const context of all) {
    if (context.name === query || (isNamespace && context.name.startsWith(query))) selected.add(context);
  }
}

const inconsistent = (option: number): OptionError =>
  new OptionError(REP.ERR_INVALID, `Inconsistent lengths in option ${optionName(option)}`);

function expectEnd(option: number, data: OptionData): void {
  if (data.rest > 0) throw new OptionError(REP.ERR_INVALID, `option '${optionName(option)}' has unexpected length`);
}
