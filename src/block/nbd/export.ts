// What an NBD server shows to its clients: an export with its size, its abilities and its metadata contexts. The making of one
// from a block node is node-export.ts; the protocol is server.ts.
import type { Eventual } from '../../base/eventual.ts';

/** A run of bytes with the same status; `flags` are the context's. */
export interface Extent {
  readonly count: number;
  readonly flags: number;
}

/** A metadata context: what BLOCK_STATUS tells of a range. */
export interface MetaContext {
  /** What clients know it by in replies: 0 is base:allocation. */
  readonly id: number;
  readonly name: string;
  /**
   * The extents from `offset` on, alike neighbours joined, at most `limit` of them and together at most `count` bytes; at
   * least one.
   */
  extents(offset: number, count: number, limit: number): Eventual<readonly Extent[]>;
}

export interface ZeroRequest {
  readonly fua: boolean;
  readonly mayUnmap: boolean;
  /** Fail with ENOTSUP rather than be slow. */
  readonly fast: boolean;
}

export interface NbdExport {
  readonly name: string;
  readonly description?: string | undefined;
  /** Fixed while a client is connected. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Several connections see each other's writes and flushes. */
  readonly multiConn: boolean;
  /** Clients that ask for block sizes must keep to this; 1 when anything goes. */
  readonly minimumBlock: number;
  readonly maximumBlock: number;
  readonly contexts: readonly MetaContext[];
  read(offset: number, target: Uint8Array): Eventual<void>;
  /** How many bytes from `offset` are a hole that need not be sent (`zero`), or data. */
  sparse(offset: number, count: number): Eventual<{ readonly count: number; readonly zero: boolean }>;
  write(offset: number, source: Uint8Array, fua: boolean): Eventual<void>;
  writeZeroes(offset: number, count: number, request: ZeroRequest): Eventual<void>;
  trim(offset: number, count: number, fua: boolean): Eventual<void>;
  flush(): Eventual<void>;
  /** A hint: the range will be read soon. */
  cache(offset: number, count: number): Eventual<void>;
}
