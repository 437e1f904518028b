// The contract between the block graph and its drivers. A driver is a declaration (name, options, how to open and create) and
// an instance per open node, which only sees requests that lie within its size and respect its limits: bounds, alignment,
// splitting, tracking and fall-backs are the node's (node.ts, request.ts).
import type { Eventual } from '../base/eventual.ts';
import type { Properties, PropertyValues } from '../schema/property.ts';
import type { Breakpoints } from './debug-events.ts';
import type { BlockHost } from './host.ts';
import type { BlockGraph } from './graph.ts';
import type { BlockNode, Edge } from './node.ts';
import type { ChildRole, Permissions } from './permissions.ts';
import type { OptionDict } from './options.ts';
import type { BlockStatus } from './status.ts';

/** Flags of write, writeZeroes and discard. */
export const WRITE = {
  /** Stable on the medium before it returns. */
  FUA: 1,
  /** Zeroes may be written by giving space back. */
  MAY_UNMAP: 2,
  /** Fail with ENOTSUP rather than write zero buffers. */
  NO_FALLBACK: 4,
  /** What is read from here afterwards is the same as before (copy-on-read, commit into a backing file's unused part). */
  UNCHANGED: 8,
  /** Store compressed. */
  COMPRESSED: 0x10,
  /** Wait for every overlapping request, and make later ones wait. */
  SERIALISING: 0x20,
} as const;

/** Flags of read. */
export const READ = {
  /** Copy what is read from below into this layer. */
  COPY_ON_READ: 1,
} as const;

/** How a node is opened; what the tools' options and the parents' wishes come down to. */
export interface OpenFlags {
  readonly readOnly: boolean;
  /** Opened read-only when writing is refused. */
  readonly autoReadOnly: boolean;
  /** Discards are passed on (`discard=unmap`). */
  readonly unmap: boolean;
  /** O_DIRECT. */
  readonly direct: boolean;
  /** Flushes are dropped (`cache.no-flush`, cache=unsafe). */
  readonly noFlush: boolean;
  /** For inspection and repair: dirty and inconsistent images open too (BDRV_O_CHECK). */
  readonly check: boolean;
  /** No data will be read or written: encryption needs no key (BDRV_O_NO_IO). */
  readonly noIo: boolean;
  readonly noBacking: boolean;
  /** The locks of others are no obstacle (-U). */
  readonly forceShare: boolean;
  /** `aio=native` for files, where their own options say nothing. */
  readonly nativeAio: boolean;
  /** The format was found by looking at the content. */
  readonly probed: boolean;
}

export interface BlockLimits {
  /** Offsets and counts of requests are multiples of this power of two. */
  readonly requestAlignment: number;
  /** At most this many bytes in one request; Infinity when it does not matter. */
  readonly maxTransfer: number;
  readonly optTransfer: number;
  readonly maxPwriteZeroes: number;
  /** writeZeroes works on multiples of this; 0 when any will do. */
  readonly pwriteZeroesAlignment: number;
  readonly maxPdiscard: number;
  readonly pdiscardAlignment: number;
}

export const PREALLOCATION = ['off', 'metadata', 'falloc', 'full'] as const;
export type Preallocation = (typeof PREALLOCATION)[number];

export interface TruncateRequest {
  readonly size: number;
  /** The size must be met exactly; otherwise the node may stay bigger. */
  readonly exact: boolean;
  readonly preallocation: Preallocation;
  /** The grown part must read as zeroes. */
  readonly zeroWrite: boolean;
}

export interface DriverInfo {
  readonly clusterSize: number;
  readonly subclusterSize?: number;
  readonly vmStateOffset?: number;
  readonly isDirty?: boolean;
  /** Nothing can be written but whole clusters, compressed and once (streamOptimized vmdk): `convert` compresses unasked. */
  readonly needsCompressedWrites?: boolean;
}

/** `qemu-img info`'s "Format specific information": QMP's ImageInfoSpecific.data, keys in the schema's order. */
export type InfoValue = string | number | boolean | InfoObject | readonly InfoValue[];
export interface InfoObject {
  readonly [name: string]: InfoValue | undefined;
}

/** One internal snapshot. */
export interface SnapshotInfo {
  readonly id: string;
  readonly name: string;
  readonly vmStateSize: number;
  readonly dateSeconds: number;
  readonly dateNanoseconds: number;
  readonly vmClockNs: bigint;
  /** Instruction count; undefined when it is not recorded. */
  readonly icount?: bigint;
  readonly diskSize: number;
}

export interface SnapshotPower {
  list(): Eventual<readonly SnapshotInfo[]>;
  create(name: string, info: Pick<SnapshotInfo, 'vmStateSize' | 'dateSeconds' | 'dateNanoseconds' | 'vmClockNs'>): Promise<void>;
  /** `id` alone, `name` alone or both; ErrnoFailure ENOENT when there is none. */
  remove(id: string | undefined, name: string | undefined): Promise<void>;
  /** Makes the snapshot's state the active one. */
  apply(idOrName: string): Promise<void>;
  /** Shows the snapshot in a node opened read-only (convert -l). */
  loadTemporarily(id: string | undefined, name: string | undefined): Promise<void>;
}

/** What `check` found and mended; the fields of QMP's ImageCheck. */
export interface CheckResult {
  corruptions: number;
  leaks: number;
  checkErrors: number;
  corruptionsFixed: number;
  leaksFixed: number;
  imageEndOffset: number;
  fragmentation?: { total: number; allocated: number; fragmented: number; compressed: number };
}

export interface CheckRequest {
  readonly fixLeaks: boolean;
  readonly fixErrors: boolean;
  /** A line for the user, as the reference prints it on stdout or stderr. */
  report(line: string, stream: 'stdout' | 'stderr'): void;
  /** A message of the program under its own name (`qemu-img: …` on stderr), as distinct from lines of the report; `report` when absent. */
  complain?(message: string): void;
}

/** A dirty bitmap stored in the image. */
export interface PersistentBitmapInfo {
  readonly name: string;
  readonly granularity: number;
  readonly flags: readonly ('in-use' | 'auto')[];
}

/** The open node of one driver. Optional members are powers that the driver has or has not. */
export interface BlockInstance {
  /** Bytes that the node shows now. */
  readonly size: number;
  readonly limits?: Partial<BlockLimits>;
  /** WRITE flags that write and writeZeroes understand; the node emulates FUA with a flush otherwise. */
  readonly writeFlags?: number;
  readonly zeroFlags?: number;
  /** Only this driver's data: `target` is filled completely. Not asked for formats that are write-only. */
  read(offset: number, target: Uint8Array, flags: number): Eventual<void>;
  write?(offset: number, source: Uint8Array, flags: number): Eventual<void>;
  /** `read` into buffers one behind the other, `count` bytes in all; false, and nothing has happened, where only one will do. */
  readv?(offset: number, targets: readonly Uint8Array[], count: number): Eventual<void> | false;
  writev?(offset: number, sources: readonly Uint8Array[], count: number): Eventual<void> | false;
  /** ErrnoFailure ENOTSUP makes the node write zero buffers, unless NO_FALLBACK. */
  writeZeroes?(offset: number, count: number, flags: number): Eventual<void>;
  discard?(offset: number, count: number): Eventual<void>;
  /** Copies from the node of a protocol, which reads there what it holds, without the bytes passing here; see copy-range.ts. */
  copyFrom?(offset: number, source: BlockNode, sourceOffset: number, count: number): Eventual<void>;
  /** A whole cluster, or the last part of the image. */
  writeCompressed?(offset: number, source: Uint8Array): Eventual<void>;
  /** Own caches to the children; the node flushes the children itself afterwards. */
  flush?(): Eventual<void>;
  /** Whether `flush` would find nothing to do now; where there is a `flush` and not this, nobody knows. */
  readonly isFlushed?: boolean;
  truncate?(request: TruncateRequest): Eventual<void>;
  /** `wantZero`: the caller wants to know zeroes, not only allocation. */
  status?(offset: number, count: number, wantZero: boolean): Eventual<BlockStatus>;
  /** Bytes of the host that are used; the sum over the children when absent. */
  allocatedFileSize?(): number | undefined;
  info?(): DriverInfo | undefined;
  /** `type` as in QMP's ImageInfoSpecificKind. */
  specificInfo?(): { readonly type: string; readonly data: InfoObject } | undefined;
  /** Whether this node looks encrypted to the user. */
  readonly encrypted?: boolean;
  /** A newly created image reads as zeroes everywhere. */
  readonly hasZeroInit?: boolean;
  /** Writing may compress. */
  readonly supportsCompressed?: boolean;
  readonly supportsBacking?: boolean;
  /** What the image itself says of its backing file; absent when there is none. */
  readonly backingFile?: { readonly name: string; readonly format: string | undefined } | undefined;
  changeBackingFile?(name: string | undefined, format: string | undefined): Promise<void>;
  check?(request: CheckRequest): Promise<CheckResult>;
  /** Values as given on the command line, checked against the driver's amend options. */
  amend?(options: ReadonlyMap<string, string>, progress: (done: number, total: number) => void, force: boolean): Promise<void>;
  /** Every cluster unallocated (commit). */
  makeEmpty?(): Promise<void>;
  readonly snapshots?: SnapshotPower;
  /** Bitmaps: see bitmaps.ts. */
  readonly bitmaps?: unknown;
  /** Own rule for a child's permissions. */
  childPermissions?(name: string, role: ChildRole, own: Permissions): Permissions;
  /** Protocols: called before permissions change and to make them real; throws to refuse. */
  setPermissions?(permissions: Permissions): void;
  /** Breakpoints and events of blkdebug. */
  debugEvent?(event: string): Eventual<void>;
  readonly breakpoints?: Breakpoints;
  /** `flush` takes care of the children too, and of what their failures mean. */
  readonly flushesChildren?: boolean;
  /** The area behind the disk in which a machine's state is saved; offsets count from its begin. */
  readonly vmState?: {
    read(offset: number, target: Uint8Array): Eventual<void>;
    write(offset: number, source: Uint8Array): Eventual<void>;
  };
  /** Until `drainEnd` no request may be held back (throttling). */
  drainBegin?(): void;
  drainEnd?(): void;
  reopen?(flags: OpenFlags): Eventual<void>;
  /** Flushes and releases what is the driver's; the children are closed by the graph. */
  close(): Eventual<void>;
}

/** What a driver gets to open a node. */
export interface OpenContext {
  readonly node: BlockNode;
  readonly graph: BlockGraph;
  readonly host: BlockHost;
  readonly flags: OpenFlags;
  /** What the caller gave; a driver takes out (`take`) what is its own, and whatever is left over is refused by the graph. */
  readonly options: OptionDict;
  /**
   * Opens (or refers to) the child `name` from the options `name` or `name.*`. Undefined when there are none and `optional`.
   * `filename` is used when the options name none (extents, external data files).
   */
  openChild(name: string, role: ChildRole, how?: { optional?: boolean; filename?: string; format?: boolean }): Promise<Edge | undefined>;
}

export interface CreateContext {
  readonly graph: BlockGraph;
  readonly host: BlockHost;
  /** Everything the user may see beside errors (warnings go to stderr). */
  warn(line: string): void;
}

/** An option of `create -o`. Text is what `-o help` shows. */
export interface CreateOption {
  readonly name: string;
  readonly type: 'str' | 'size' | 'bool' | 'num';
  readonly help?: string;
  readonly default?: string;
}

/** What `measure` answers. */
export interface MeasureResult {
  readonly required: number;
  readonly fullyAllocated: number;
  readonly bitmaps?: number;
}

export interface BlockDriver {
  readonly name: string;
  readonly kind: 'protocol' | 'format' | 'filter';
  /** Options of blockdev-add beside the common ones and the children. */
  readonly options: Properties;
  /** Protocols: fills options from a file name such as `nbd://…`; throws Failure. */
  parseFilename?(filename: string, options: OptionDict): void;
  /** Protocols that no file name is needed for. */
  readonly needsFilename?: boolean;
  readonly createOptions?: readonly CreateOption[];
  readonly amendOptions?: readonly CreateOption[];
  /** Makes a new image; `options` are typed by createOptions and hold at least `size`. */
  create?(filename: string, options: CreateValues, context: CreateContext): Promise<void>;
  measure?(options: CreateValues, source: BlockNode | undefined): Promise<MeasureResult>;
  /** The graph reads the backing file's name from `instance.backingFile` and opens it after the instance. */
  open(context: OpenContext): Promise<BlockInstance>;
  /** The plain name of a node that needs no json:{}; undefined when options that matter do not show in it. */
  exactFilename?(node: BlockNode): string | undefined;
  /** Options that change what the node shows; those given appear in json:{} names. */
  readonly strongOptions?: readonly string[];
}

/** Values of create options: sizes and numbers as numbers, in the types of `createOptions`. Only those given or with a default. */
export type CreateValues = ReadonlyMap<string, string | number | boolean>;

export type OpenOptions<P extends Properties> = PropertyValues<P>;
