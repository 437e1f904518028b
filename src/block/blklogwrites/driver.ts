// blklogwrites: a filter that records every write, discard and flush in a log, in the order in which they were begun, so that
// any moment of a workload can be played back. Format: log-format.ts. Reference: QMP's BlockdevOptionsBlklogwrites.
import { prefixed } from '../../base/errno.ts';
import type { Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import { bool } from '../../schema/property.ts';
import type { BlockDriver, BlockInstance, OpenContext } from '../driver.ts';
import { filterInstance } from '../filter.ts';
import { numberOption, sizeOption } from '../filter-options.ts';
import type { Edge } from '../node.ts';
import { defaultChildPermissions, PERM, PERM_ALL, ROLE } from '../permissions.ts';
import {
  decodeEntry,
  decodeSuperblock,
  encodeEntry,
  encodeSuperblock,
  entryDataBytes,
  isSectorSize,
  LOG,
  SUPERBLOCK_BYTES,
} from './log-format.ts';

const OPTIONS = {
  'log-append': { type: bool },
  'log-sector-size': { type: sizeOption },
  'log-super-update-interval': { type: numberOption },
} as const;

const DEFAULT_SECTOR = 512;
const DEFAULT_INTERVAL = 4096;

/** Where the next entry goes. */
interface LogPosition {
  readonly sectorSize: number;
  /** In sectors. */
  readonly next: number;
  readonly entryCount: number;
}

async function findEnd(log: Edge): Promise<LogPosition> {
  const { entryCount, sectorSize } = decodeSuperblock(await log.readBytes(0, SUPERBLOCK_BYTES));
  let next = 1;
  for (let index = 0; index < entryCount; index++) {
    if (next * sectorSize >= log.size) throw new Failure('corrupt', `Failed to read log entry ${index}`);
    const entry = decodeEntry(await log.readBytes(next * sectorSize, sectorSize));
    next += 1 + entryDataBytes(entry, sectorSize) / sectorSize;
  }
  return { sectorSize, next, entryCount };
}

async function openLog(log: Edge, append: boolean, sectorSize: number): Promise<LogPosition> {
  if (!append || log.size === 0) return { sectorSize, next: 1, entryCount: 0 };
  try {
    return await findEnd(log);
  } catch (error) {
    if (error instanceof Failure && error.kind === 'io') throw prefixed('Could not read log superblock', error);
    throw error;
  }
}

class WriteLog {
  readonly sectorSize: number;
  readonly #log: Edge;
  readonly #interval: number;
  #next: number;
  #entryCount: number;

  constructor(log: Edge, { sectorSize, next, entryCount }: LogPosition, interval: number) {
    this.#log = log;
    this.sectorSize = sectorSize;
    this.#next = next;
    this.#entryCount = entryCount;
    this.#interval = interval;
  }

  /** Writes one entry; the place in the log is taken before the first await, so that order is order of beginning. */
  async add(flags: number, offset: number, count: number, writeData?: (logOffset: number) => Eventual<void>): Promise<void> {
    const { sectorSize } = this;
    const sectorCount = count / sectorSize;
    const at = this.#next * sectorSize;
    this.#next += 1 + (writeData === undefined ? 0 : sectorCount);
    const entryCount = ++this.#entryCount;
    await this.#log.write(at, encodeEntry({ sector: offset / sectorSize, sectorCount, flags }, sectorSize));
    await writeData?.(at + sectorSize);
    if (flags & LOG.FLUSH || entryCount % this.#interval === 0) await this.#writeSuperblock();
  }

  async #writeSuperblock(): Promise<void> {
    await this.#log.write(0, encodeSuperblock(this.#entryCount, this.sectorSize));
    await this.#log.flush();
  }

  writeData(logOffset: number, source: Uint8Array): Eventual<void> {
    return this.#log.write(logOffset, source);
  }

  writeZeroes(logOffset: number, count: number): Eventual<void> {
    return this.#log.writeZeroes(logOffset, count);
  }
}

async function open({ options, openChild, node, flags }: OpenContext): Promise<BlockInstance> {
  const given = options.absorb(OPTIONS);
  const append = given['log-append'] ?? false;
  const sectorSize = given['log-sector-size'];
  const interval = given['log-super-update-interval'] ?? DEFAULT_INTERVAL;
  const file = (await openChild('file', ROLE.FILTERED))!;
  const logEdge = (await openChild('log', { metadata: true }))!;
  if (append && sectorSize !== undefined) {
    throw new Failure('invalid-argument', 'log-append and log-sector-size are mutually exclusive');
  }
  if (sectorSize !== undefined && !isSectorSize(sectorSize)) throw new Failure('invalid-argument', `Invalid log sector size ${sectorSize}`);
  if (interval <= 0) throw new Failure('invalid-argument', `Invalid log superblock update interval ${interval}`);
  const position = await openLog(logEdge, append, sectorSize ?? DEFAULT_SECTOR);
  const log = new WriteLog(logEdge, position, interval);
  return loggingInstance(file, log, !flags.noFlush, (name, role, own) => {
    if (name === 'log') return { perm: PERM.CONSISTENT_READ | PERM.WRITE | PERM.RESIZE, shared: PERM_ALL & ~(PERM.WRITE | PERM.RESIZE) };
    return defaultChildPermissions(role, own, !node.readOnly);
  });
}

function loggingInstance(
  file: Edge,
  log: WriteLog,
  flushes: boolean,
  childPermissions: NonNullable<BlockInstance['childPermissions']>,
): BlockInstance {
  let unflushed = false;
  const record = async (entry: Promise<void>, request: () => Eventual<void>): Promise<void> => {
    unflushed = true;
    await entry; // the log first, so that nothing is on the disk that is not in the log
    await request();
  };
  const instance = filterInstance(file, {
    limits: { requestAlignment: Math.max(log.sectorSize, file.node.limits.requestAlignment) },
    writeFlags: 0,
    zeroFlags: 0,
    async write(offset, source) {
      await record(
        log.add(0, offset, source.length, (at) => log.writeData(at, source)),
        () => file.write(offset, source),
      );
    },
    async writeZeroes(offset, count) {
      await record(
        log.add(0, offset, count, (at) => log.writeZeroes(at, count)),
        () => file.writeZeroes(offset, count),
      );
    },
    async discard(offset, count) {
      await record(log.add(LOG.DISCARD, offset, count), () => file.discard(offset, count));
    },
    async truncate(request) {
      await file.truncate(request); // the log knows no sizes
      unflushed = true;
    },
    async flush() {
      if (!unflushed || !flushes) return;
      unflushed = false;
      await log.add(LOG.FLUSH, 0, 0);
    },
    childPermissions,
  });
  delete instance.writeCompressed;
  return instance;
}

export const driver: BlockDriver = { name: 'blklogwrites', kind: 'filter', options: OPTIONS, strongOptions: [], open };
