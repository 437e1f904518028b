// The raw format: the bytes of its file as they are, or a window of them (`offset`, `size`). Not the file itself (file/).
import { ErrnoFailure } from '../../base/errno.ts';
import type { Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import { size as sizeType } from '../../schema/property.ts';
import { debugEvent } from '../debug-events.ts';
import {
  WRITE,
  type BlockDriver,
  type BlockInstance,
  type BlockLimits,
  type DriverInfo,
  type OpenContext,
  type TruncateRequest,
} from '../driver.ts';
import { PROBE_BYTES, probeFormat } from '../drivers.ts';
import { exactFilename } from '../filename.ts';
import { SECTOR, type BlockNode, type Edge } from '../node.ts';
import { ROLE } from '../permissions.ts';
import { STATUS, type BlockStatus } from '../status.ts';

const OPEN_OPTIONS = { offset: { type: sizeType() }, size: { type: sizeType() } } as const;

class RawImage implements BlockInstance {
  readonly limits: Partial<BlockLimits>;
  readonly writeFlags = WRITE.FUA | WRITE.UNCHANGED;
  readonly zeroFlags = WRITE.FUA | WRITE.MAY_UNMAP | WRITE.NO_FALLBACK | WRITE.UNCHANGED;
  readonly #file: Edge;
  readonly #offset: number;
  readonly #fixedSize: number | undefined;
  readonly #probed: boolean;

  constructor(file: Edge, offset: number, fixedSize: number | undefined, probed: boolean) {
    this.#file = file;
    this.#offset = offset;
    this.#fixedSize = fixedSize;
    this.#probed = probed;
    // A guest must not be able to turn a raw image into one of another format, so its first sectors are looked at whole.
    this.limits = probed ? { requestAlignment: SECTOR } : { requestAlignment: file.node.limits.requestAlignment };
  }

  get size(): number {
    return this.#fixedSize ?? Math.max(0, this.#file.size - this.#offset);
  }

  read(offset: number, target: Uint8Array): Eventual<void> {
    const held = debugEvent(this.#file, 'read_aio');
    if (held instanceof Promise) return held.then(() => this.#file.read(this.#offset + offset, target));
    return this.#file.read(this.#offset + offset, target);
  }

  write(offset: number, source: Uint8Array, flags: number): Eventual<void> {
    if (this.#probed && offset < PROBE_BYTES) return this.#writeGuarded(offset, source, flags);
    const held = debugEvent(this.#file, 'write_aio');
    if (held instanceof Promise) return held.then(() => this.#file.write(this.#offset + offset, source, flags));
    return this.#file.write(this.#offset + offset, source, flags);
  }

  // What has debug events takes one buffer only, so none is missed here.

  readv(offset: number, targets: readonly Uint8Array[], count: number): Eventual<void> | false {
    return this.#file.readv(this.#offset + offset, targets, count);
  }

  writev(offset: number, sources: readonly Uint8Array[], count: number): Eventual<void> | false {
    if (this.#probed && offset < PROBE_BYTES) return false;
    return this.#file.writev(this.#offset + offset, sources, count);
  }

  async #writeGuarded(offset: number, source: Uint8Array, flags: number): Promise<void> {
    const head = await this.#file.readBytes(this.#offset, Math.min(PROBE_BYTES, Math.max(this.size, offset + source.length)));
    head.set(source.subarray(0, Math.max(0, head.length - offset)), offset);
    if (probeFormat(head, '') !== 'raw') throw new ErrnoFailure('EPERM');
    await debugEvent(this.#file, 'write_aio');
    await this.#file.write(this.#offset + offset, source, flags);
  }

  copyFrom(offset: number, source: BlockNode, sourceOffset: number, count: number): Eventual<void> {
    if (this.#probed && offset < PROBE_BYTES) throw new ErrnoFailure('ENOTSUP'); // what is written there is looked at
    return this.#file.copyFrom(this.#offset + offset, source, sourceOffset, count);
  }

  writeZeroes(offset: number, count: number, flags: number): Eventual<void> {
    return this.#file.writeZeroes(this.#offset + offset, count, flags);
  }

  discard(offset: number, count: number): Promise<void> {
    return this.#file.discard(this.#offset + offset, count);
  }

  status(offset: number, count: number): BlockStatus {
    return { count, flags: STATUS.RAW | STATUS.OFFSET_VALID, hostOffset: this.#offset + offset, file: this.#file.node };
  }

  async truncate(request: TruncateRequest): Promise<void> {
    if (this.#fixedSize !== undefined) throw new ErrnoFailure('ENOTSUP', 'Cannot resize fixed-size raw disks');
    await this.#file.truncate({ ...request, size: request.size + this.#offset });
  }

  get hasZeroInit(): boolean {
    return this.#file.node.instance.hasZeroInit ?? false;
  }

  info(): DriverInfo | undefined {
    return this.#file.node.instance.info?.();
  }

  specificInfo(): ReturnType<NonNullable<BlockInstance['specificInfo']>> {
    return this.#file.node.instance.specificInfo?.();
  }

  close(): void {}
}

async function open({ options, flags, openChild, node, host }: OpenContext): Promise<RawImage> {
  const given = options.absorb(OPEN_OPTIONS);
  const windowed = given.offset !== undefined || given.size !== undefined;
  const file = (await openChild('file', windowed ? { data: true, primary: true } : ROLE.FILTERED))!;
  const offset = given.offset ?? 0;
  const available = file.size;
  if (available < offset)
    throw new Failure('invalid-argument', `Offset (${offset}) cannot be greater than size of the containing file (${available})`);
  if (given.size !== undefined && available - offset < given.size) {
    throw new Failure(
      'invalid-argument',
      `The sum of offset (${offset}) and size (${given.size}) has to be smaller or equal to the  actual size of ` +
        `the containing file (${available})`,
    );
  }
  if (given.size !== undefined && given.size % SECTOR !== 0) {
    throw new Failure('invalid-argument', `Specified size is not multiple of ${SECTOR}`);
  }
  if (flags.probed && !flags.readOnly) warnAboutProbing(node.filename || exactFilename(file.node) || '', host.print ?? host.warn);
  return new RawImage(file, offset, given.size, flags.probed && !flags.readOnly);
}

function warnAboutProbing(filename: string, warn: (line: string) => void): void {
  warn(
    `WARNING: Image format was not specified for '${filename}' and probing guessed raw.\n` +
      '         Automatically detecting the format is dangerous for raw images, write operations on block 0 will be restricted.\n' +
      "         Specify the 'raw' format explicitly to remove the restrictions.",
  );
}

const stripPrefix = (filename: string): string => (filename.startsWith('raw:') ? filename.slice('raw:'.length) : filename);

export const driver: BlockDriver = {
  name: 'raw',
  kind: 'format',
  options: OPEN_OPTIONS,
  strongOptions: ['offset', 'size'],
  createOptions: [{ name: 'size', type: 'size', help: 'Virtual disk size' }],
  async create(filename, values, { graph }) {
    const backend = await graph.createFile(stripPrefix(filename), values);
    await backend.close();
  },
  async measure(options, source) {
    const bytes = source === undefined ? Number(options.get('size') ?? 0) : source.size;
    const size = Math.ceil(bytes / SECTOR) * SECTOR;
    return { required: size, fullyAllocated: size };
  },
  open,
};
