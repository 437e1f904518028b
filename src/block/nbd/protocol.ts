// The numbers and structures of the NBD protocol, with the specification's names, for server and client alike. Specification:
// https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md. Not the conversations made of them.
import { isErrno, type Errno } from '../../base/errno.ts';
import { be16, be32, be64, layout } from '../../struct/layout.ts';

export const DEFAULT_PORT = '10809';
/** Both sides send and take requests up to this size, as most other implementations do. */
export const MAX_REQUEST_BYTES = 32 << 20;
/** Names and descriptions of exports, and names of metadata contexts. */
export const MAX_STRING_BYTES = 4096;
/** Structured replies carry error texts up to this size. */
export const MAX_ERROR_BYTES = 4096;

export const INIT_MAGIC = 0x4e42444d41474943n; // "NBDMAGIC"
export const OPTION_MAGIC = 0x49484156454f5054n; // "IHAVEOPT"
export const OLDSTYLE_MAGIC = 0x00420281861253n;
export const OPTION_REPLY_MAGIC = 0x3e889045565a9n;
export const REQUEST_MAGIC = 0x25609513;
export const SIMPLE_REPLY_MAGIC = 0x67446698;
export const STRUCTURED_REPLY_MAGIC = 0x668e33ef;

/** Handshake flags of the server, and of the client in its answer. */
export const HANDSHAKE = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const;

/** Transmission flags of an export. */
export const FLAG = {
  HAS_FLAGS: 1 << 0,
  READ_ONLY: 1 << 1,
  SEND_FLUSH: 1 << 2,
  SEND_FUA: 1 << 3,
  ROTATIONAL: 1 << 4,
  SEND_TRIM: 1 << 5,
  SEND_WRITE_ZEROES: 1 << 6,
  SEND_DF: 1 << 7,
  CAN_MULTI_CONN: 1 << 8,
  SEND_RESIZE: 1 << 9,
  SEND_CACHE: 1 << 10,
  SEND_FAST_ZERO: 1 << 11,
} as const;

export const OPT = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  PEEK_EXPORT: 4,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
} as const;

const REP_ERROR = 0x8000_0000;
export const REP = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: REP_ERROR + 1,
  ERR_POLICY: REP_ERROR + 2,
  ERR_INVALID: REP_ERROR + 3,
  ERR_PLATFORM: REP_ERROR + 4,
  ERR_TLS_REQD: REP_ERROR + 5,
  ERR_UNKNOWN: REP_ERROR + 6,
  ERR_SHUTDOWN: REP_ERROR + 7,
  ERR_BLOCK_SIZE_REQD: REP_ERROR + 8,
  ERR_TOO_BIG: REP_ERROR + 9,
} as const;

export const isErrorReply = (type: number): boolean => type >= REP_ERROR;

export const INFO = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;

export const CMD = { READ: 0, WRITE: 1, DISC: 2, FLUSH: 3, TRIM: 4, CACHE: 5, WRITE_ZEROES: 6, BLOCK_STATUS: 7 } as const;

export const CMD_FLAG = { FUA: 1, NO_HOLE: 2, DF: 4, REQ_ONE: 8, FAST_ZERO: 16 } as const;

export const REPLY_FLAG_DONE = 1;

const CHUNK_ERROR = 0x8000;
export const CHUNK = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  ERROR: CHUNK_ERROR + 1,
  ERROR_OFFSET: CHUNK_ERROR + 2,
} as const;

export const isErrorChunk = (type: number): boolean => type >= CHUNK_ERROR;

/** Status bits of the context base:allocation. */
export const STATE = { HOLE: 1, ZERO: 2 } as const;
/** Status bit of qemu:dirty-bitmap:NAME. */
export const STATE_DIRTY = 1;

export const CONTEXT_BASE_ALLOCATION = 'base:allocation';
export const CONTEXT_ALLOCATION_DEPTH = 'qemu:allocation-depth';
export const CONTEXT_DIRTY_BITMAP = 'qemu:dirty-bitmap:';

// Structures ------------------------------------------------------------------------------------------------------------

export const optionHeader = layout('NBD option', { magic: be64(0), option: be32(8), length: be32(12) });
export const optionReplyHeader = layout('NBD option reply', { magic: be64(0), option: be32(8), type: be32(12), length: be32(16) });
export const infoExport = layout('NBD_INFO_EXPORT', { type: be16(0), size: be64(2), flags: be16(10) });
export const infoBlockSize = layout('NBD_INFO_BLOCK_SIZE', { type: be16(0), minimum: be32(2), preferred: be32(6), maximum: be32(10) });
export const exportNameReply = layout('NBD_OPT_EXPORT_NAME reply', { size: be64(0), flags: be16(8) });
export const EXPORT_NAME_ZEROES = 124;

/** Requests and replies are coded by hand: there is one of each for every block that is read. */
export const REQUEST_BYTES = 28;
export const SIMPLE_REPLY_BYTES = 16;
export const CHUNK_HEADER_BYTES = 20;

export interface Request {
  flags: number;
  type: number;
  /** Opaque to the server: two halves, so that no bigint is made. */
  cookieHigh: number;
  cookieLow: number;
  /** Beyond safe integers it is only good for being refused. */
  offset: number;
  length: number;
}

export function decodeRequest(view: DataView, target: Request): boolean {
  target.flags = view.getUint16(4);
  target.type = view.getUint16(6);
  target.cookieHigh = view.getUint32(8);
  target.cookieLow = view.getUint32(12);
  target.offset = view.getUint32(16) * 2 ** 32 + view.getUint32(20);
  target.length = view.getUint32(24);
  return view.getUint32(0) === REQUEST_MAGIC;
}

export function encodeRequest(request: Request): Uint8Array {
  const bytes = new Uint8Array(REQUEST_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, REQUEST_MAGIC);
  view.setUint16(4, request.flags);
  view.setUint16(6, request.type);
  view.setUint32(8, request.cookieHigh);
  view.setUint32(12, request.cookieLow);
  view.setUint32(16, Math.floor(request.offset / 2 ** 32));
  view.setUint32(20, request.offset >>> 0);
  view.setUint32(24, request.length);
  return bytes;
}

export function encodeSimpleReply(request: Request, error: number): Uint8Array {
  const bytes = new Uint8Array(SIMPLE_REPLY_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, SIMPLE_REPLY_MAGIC);
  view.setUint32(4, error);
  view.setUint32(8, request.cookieHigh);
  view.setUint32(12, request.cookieLow);
  return bytes;
}

/** The header of a structured reply's chunk and `extra` bytes of its payload, which are returned as a view. */
export function encodeChunk(
  request: Request,
  flags: number,
  type: number,
  length: number,
  extra: number,
): [bytes: Uint8Array, payload: DataView] {
  const bytes = new Uint8Array(CHUNK_HEADER_BYTES + extra);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, STRUCTURED_REPLY_MAGIC);
  view.setUint16(4, flags);
  view.setUint16(6, type);
  view.setUint32(8, request.cookieHigh);
  view.setUint32(12, request.cookieLow);
  view.setUint32(16, length);
  return [bytes, new DataView(bytes.buffer, CHUNK_HEADER_BYTES)];
}

export function setOffset(view: DataView, at: number, offset: number): void {
  view.setUint32(at, Math.floor(offset / 2 ** 32));
  view.setUint32(at + 4, offset >>> 0);
}

export const getOffset = (view: DataView, at: number): number => view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);

// Errors ----------------------------------------------------------------------------------------------------------------

// prettier-ignore
const ERROR = { EPERM: 1, EIO: 5, ENOMEM: 12, EINVAL: 22, ENOSPC: 28, EOVERFLOW: 75, ENOTSUP: 95, ESHUTDOWN: 108 } as const;

const byNumber = new Map<number, Errno>(Object.entries(ERROR).map(([name, number]) => [number, name as Errno]));

/** Only these values may be sent; others become the nearest one. */
export function errorNumber(errno: Errno): number {
  switch (errno) {
    case 'EROFS':
      return ERROR.EPERM;
    case 'EDQUOT':
    case 'EFBIG':
      return ERROR.ENOSPC;
    default:
      return (ERROR as Readonly<Record<string, number>>)[errno] ?? ERROR.EINVAL;
  }
}

/** What a peer's number means; 0 is no error. */
export function errorFromNumber(number: number): Errno {
  const name = byNumber.get(number);
  return isErrno(name) ? name : 'EINVAL';
}

/** Names of values for messages. */
export function nameOf(table: Readonly<Record<string, number>>, value: number): string | undefined {
  return Object.entries(table).find(([, known]) => known === value)?.[0];
}
