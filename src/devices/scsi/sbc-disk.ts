// A SCSI disk: what each command means on a drive. SBC-3 and SPC-4, with what Linux, Windows and SeaBIOS use: reading and writing
// in all lengths, caches, capacity, mode pages, UNMAP and WRITE SAME. Not reservations or protection information.
import type { Eventual } from '../../base/eventual.ts';
import { errnoOf } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { isZero } from '../../base/zero.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import type { Drive } from '../../ports/disk.ts';
import { bool } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import {
  CACHING, CACHING_PAGE, capacity10, capacity16, diskModePages, inquiryData, vitalPage, type SbcGeometry, type SbcIdentity,
} from './sbc-data.ts';
import { DONE, failed, fixedSense, SENSE, type ScsiLogicalUnit, type ScsiPlan, type ScsiSense } from './scsi-command.ts';

export const sbcDiskState = defineState({ kind: 'sbc-disk', version: 1, fields: { attention: bool(true), started: bool(true) } });
export type SbcDiskState = ReturnType<typeof sbcDiskState.initial>;

const TRANSFER_BYTES_MAX = 32 * 1024 * 1024;
const CLEAR_BYTES_MAX = 1024 * 1024 * 1024;
const UNMAP_DESCRIPTORS_MAX = 255;
/** A WRITE SAME of other than zeroes is written in pieces of this. */
const PATTERN_BYTES = 1024 * 1024;
const PARAMETER_BYTES_MAX = 65536;

export interface SbcDiskOptions {
  readonly drive: Drive;
  readonly identity: SbcIdentity;
  readonly blockBytes?: number;
  readonly physicalBlockBytes?: number;
  readonly minIoBytes?: number;
  readonly optIoBytes?: number;
  readonly discardGranularity?: number | undefined;
}

type Command = (disk: SbcDisk, cdb: DataView) => Eventual<ScsiPlan>;
interface CommandRow {
  readonly code: number;
  readonly name: string;
  /** Answered without telling of attentions first. */
  readonly always?: true;
  readonly run: Command;
  /** What the parameters of an `out` plan mean. */
  readonly accept?: (disk: SbcDisk, cdb: DataView, data: Uint8Array) => Eventual<ScsiPlan>;
}

export class SbcDisk implements ScsiLogicalUnit, Device<SbcDiskState> {
  readonly schema = sbcDiskState;
  state = sbcDiskState.initial();
  readonly drive: Drive;
  readonly geometry: SbcGeometry;
  readonly #identity: SbcIdentity;

  constructor({ drive, identity, blockBytes = 512, ...options }: SbcDiskOptions) {
    this.drive = drive;
    this.#identity = identity;
    const blocks = (bytes: number): number => bytes / blockBytes;
    this.geometry = {
      blockBytes, physicalBlockBytes: options.physicalBlockBytes ?? blockBytes, minIoBytes: options.minIoBytes ?? 0,
      optIoBytes: options.optIoBytes ?? 0, discardGranularity: options.discardGranularity ?? 4096,
      transferBlocksMax: blocks(TRANSFER_BYTES_MAX), unmapBlocksMax: blocks(CLEAR_BYTES_MAX),
      unmapDescriptorsMax: UNMAP_DESCRIPTORS_MAX, writeSameBlocksMax: blocks(CLEAR_BYTES_MAX),
    };
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = sbcDiskState.initial();
  }

  settle(): void {
    // No outputs.
  }

  get blocks(): number {
    return Math.floor(this.drive.size / this.geometry.blockBytes);
  }

  begin(cdb: Uint8Array): Eventual<ScsiPlan> {
    const row = COMMANDS[cdb[0] ?? 0];
    if (row === undefined) return failed(SENSE.INVALID_OPCODE);
    if (row.always !== true && this.state.attention) {
      this.state.attention = false;
      return failed(SENSE.POWER_ON);
    }
    return row.run(this, new DataView(cdb.buffer, cdb.byteOffset, cdb.length));
  }

  accept(cdb: Uint8Array, data: Uint8Array): Eventual<ScsiPlan> {
    const accept = COMMANDS[cdb[0] ?? 0]?.accept;
    return accept === undefined ? DONE : accept(this, new DataView(cdb.buffer, cdb.byteOffset, cdb.length), data);
  }

  transferFailed(error: unknown, write: boolean): ScsiSense {
    if (!(error instanceof Failure)) throw error;
    if (write && errnoOf(error) === 'ENOSPC') return SENSE.SPACE_ALLOCATION_FAILED;
    return write ? SENSE.WRITE_ERROR : SENSE.READ_ERROR;
  }

  // Reading and writing -------------------------------------------------------------------------------------------------

  transfer(kind: 'read' | 'write', lba: number, count: number, fua: boolean): ScsiPlan {
    const refused = this.#refusal(lba, count, kind === 'write');
    if (refused !== undefined) return failed(refused);
    if (count > this.geometry.transferBlocksMax) return failed(SENSE.INVALID_FIELD);
    if (count === 0) return DONE;
    const { blockBytes } = this.geometry;
    const place = { offset: lba * blockBytes, bytes: count * blockBytes };
    return kind === 'read' ? { kind, ...place } : { kind, ...place, fua };
  }

  #refusal(lba: number, count: number, isWrite: boolean): ScsiSense | undefined {
    if (isWrite && this.drive.readOnly) return SENSE.WRITE_PROTECTED;
    return lba + count > this.blocks ? SENSE.LBA_OUT_OF_RANGE : undefined;
  }

  verify(lba: number, count: number, byteCheck: number): ScsiPlan {
    if (byteCheck !== 0) return failed(SENSE.INVALID_FIELD);
    return lba + count > this.blocks ? failed(SENSE.LBA_OUT_OF_RANGE) : DONE;
  }

  synchronize(): Eventual<ScsiPlan> {
    return this.#carryOut(() => this.drive.flush());
  }

  /** A command whose plan is to be done when the drive has done its part. */
  #carryOut(action: () => Eventual<void>): Eventual<ScsiPlan> {
    const refuse = (error: unknown): ScsiPlan => failed(this.transferFailed(error, true));
    try {
      const result = action();
      return result instanceof Promise ? result.then(() => DONE, refuse) : DONE;
    } catch (error) {
      return refuse(error);
    }
  }

  // Giving space back ---------------------------------------------------------------------------------------------------

  unmap(data: Uint8Array): Eventual<ScsiPlan> {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    if (data.length < 8) return data.length === 0 ? DONE : failed(SENSE.PARAMETER_LENGTH);
    const bytes = Math.min(view.getUint16(2), data.length - 8);
    const ranges: { readonly lba: number; readonly count: number }[] = [];
    for (let at = 8; at + 16 <= 8 + bytes; at += 16) ranges.push({ lba: u64(view, at), count: view.getUint32(at + 8) });
    const total = ranges.reduce((sum, { count }) => sum + count, 0);
    if (ranges.length > UNMAP_DESCRIPTORS_MAX || total > this.geometry.unmapBlocksMax) return failed(SENSE.INVALID_PARAMETER);
    for (const { lba, count } of ranges) {
      const refused = this.#refusal(lba, count, true);
      if (refused !== undefined) return failed(refused);
    }
    const { blockBytes } = this.geometry;
    return this.#carryOut(async () => {
      for (const { lba, count } of ranges) if (count > 0) await this.drive.discard(lba * blockBytes, count * blockBytes);
    });
  }

  /** Plans the parameters of WRITE SAME: one block, unless there is none to send. */
  beginWriteSame(lba: number, count: number, flags: number): Eventual<ScsiPlan> {
    const refused = this.#refusal(lba, count, true);
    if (refused !== undefined) return failed(refused);
    const isPossible = count > 0 && count <= this.geometry.writeSameBlocksMax && (flags & WRITE_SAME.LBDATA_PBDATA) === 0;
    if (!isPossible) return failed(SENSE.INVALID_FIELD);
    if ((flags & WRITE_SAME.NDOB) === 0) return { kind: 'out', bytes: this.geometry.blockBytes };
    return this.writeSame(lba, count, flags, new Uint8Array(this.geometry.blockBytes));
  }

  writeSame(lba: number, count: number, flags: number, block: Uint8Array): Eventual<ScsiPlan> {
    const { blockBytes } = this.geometry;
    if (block.length !== blockBytes) return failed(SENSE.INVALID_FIELD);
    const [offset, bytes] = [lba * blockBytes, count * blockBytes];
    if (isZero(block)) return this.#carryOut(() => this.drive.writeZeroes(offset, bytes, { unmap: (flags & WRITE_SAME.UNMAP) !== 0 }));
    const pattern = new Uint8Array(Math.min(bytes, PATTERN_BYTES));
    for (let at = 0; at < pattern.length; at += blockBytes) pattern.set(block, at);
    return this.#carryOut(async () => {
      for (let at = 0; at < bytes; at += pattern.length) {
        await this.drive.write(offset + at, pattern.subarray(0, Math.min(pattern.length, bytes - at)));
      }
    });
  }

  // What it tells of itself ---------------------------------------------------------------------------------------------

  inquiry(page: number | undefined, length: number): ScsiPlan {
    const data = page === undefined ? inquiryData(this.#identity) : vitalPage(page, this.#identity, this.geometry);
    return data === undefined ? failed(SENSE.INVALID_FIELD) : dataIn(data, length);
  }

  capacity(long: boolean, length: number): ScsiPlan {
    return dataIn(long ? capacity16(this.blocks, this.geometry) : capacity10(this.blocks, this.geometry), length);
  }

  modeSense(selector: number, withoutBlocks: boolean, ten: boolean, length: number): ScsiPlan {
    if (selector >> 6 === 3) return failed(SENSE.SAVING_NOT_SUPPORTED);
    const pages = diskModePages(selector & 0x3f, this.drive.writeCache, selector >> 6 === 1, this.blocks);
    if (pages === undefined) return failed(SENSE.INVALID_FIELD);
    const { blockBytes } = this.geometry;
    const count = Math.min(0xff_ffff, this.blocks);
    const descriptor = withoutBlocks
      ? []
      : [0, count >> 16, (count >> 8) & 0xff, count & 0xff, 0, blockBytes >> 16, (blockBytes >> 8) & 0xff, blockBytes & 0xff];
    const specific = (this.drive.readOnly ? 0x80 : 0) | 0x10; // write protection; FUA and DPO are understood
    const size = (ten ? 8 : 4) + descriptor.length + pages.length;
    const header = ten
      ? [(size - 2) >> 8, (size - 2) & 0xff, 0, specific, 0, 0, 0, descriptor.length]
      : [size - 1, 0, specific, descriptor.length];
    return dataIn(Uint8Array.of(...header, ...descriptor, ...pages), length);
  }

  /** MODE SELECT: the write cache is what can be set. */
  modeSelect(data: Uint8Array, ten: boolean): Eventual<ScsiPlan> {
    const headerBytes = ten ? 8 : 4;
    if (data.length === 0) return DONE;
    if (data.length < headerBytes) return failed(SENSE.PARAMETER_LENGTH);
    const start = headerBytes + (ten ? (data[6]! << 8) | data[7]! : data[3]!);
    let writeCache: boolean | undefined;
    for (let at = start; at < data.length; ) {
      const size = at + 1 < data.length ? 2 + data[at + 1]! : data.length + 1;
      if (at + size > data.length) return failed(SENSE.PARAMETER_LENGTH);
      if ((data[at]! & 0x3f) === CACHING_PAGE) writeCache = (data[at + 2]! & CACHING.WRITE_ENABLE) !== 0;
      at += size;
    }
    if (writeCache === undefined || writeCache === this.drive.writeCache) return DONE;
    if (this.drive.setWriteCache === undefined) return failed(SENSE.INVALID_PARAMETER);
    this.drive.setWriteCache(writeCache);
    return writeCache ? DONE : this.synchronize();
  }
}

const WRITE_SAME = { NDOB: 1, LBDATA_PBDATA: 6, UNMAP: 8 } as const;

function dataIn(data: Uint8Array, length: number): ScsiPlan {
  return { kind: 'in', data: data.length > length ? data.slice(0, length) : data };
}

/** Beyond 2**53 it is not exact, but nor is any drive that big. */
const u64 = (view: DataView, at: number): number => view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);

const u21 = (cdb: DataView): number => ((cdb.getUint8(1) & 0x1f) << 16) | cdb.getUint16(2);
const bit = (cdb: DataView, at: number, mask: number): boolean => (cdb.getUint8(at) & mask) !== 0;
const FUA = 8;
const out = (bytes: number): ScsiPlan => (bytes > PARAMETER_BYTES_MAX ? failed(SENSE.INVALID_FIELD) : { kind: 'out', bytes });

/** READ and WRITE of a length: where the address and the count are. */
const transferRows = (kind: 'read' | 'write', codes: readonly [number, number, number, number]): CommandRow[] => {
  const name = kind.toUpperCase();
  const [six, ten, twelve, sixteen] = codes;
  return [
    { code: six, name: `${name} (6)`, run: (disk, cdb) => disk.transfer(kind, u21(cdb), cdb.getUint8(4) || 256, false) },
    { code: ten, name: `${name} (10)`, run: (disk, cdb) => disk.transfer(kind, cdb.getUint32(2), cdb.getUint16(7), bit(cdb, 1, FUA)) },
    { code: twelve, name: `${name} (12)`, run: (disk, cdb) => disk.transfer(kind, cdb.getUint32(2), cdb.getUint32(6), bit(cdb, 1, FUA)) },
    { code: sixteen, name: `${name} (16)`, run: (disk, cdb) => disk.transfer(kind, u64(cdb, 2), cdb.getUint32(10), bit(cdb, 1, FUA)) },
  ];
};

// prettier-ignore
const ROWS: readonly CommandRow[] = [
  { code: 0x00, name: 'TEST UNIT READY', run: () => DONE },
  { code: 0x03, name: 'REQUEST SENSE', always: true, run: (_disk, cdb) => dataIn(fixedSense(SENSE.NONE), cdb.getUint8(4)) },
  { code: 0x12, name: 'INQUIRY', always: true,
    run: (disk, cdb) => disk.inquiry(bit(cdb, 1, 1) ? cdb.getUint8(2) : undefined, cdb.getUint16(3)) },
  { code: 0x15, name: 'MODE SELECT (6)', run: (_disk, cdb) => out(cdb.getUint8(4)), accept: (disk, _cdb, data) => disk.modeSelect(data, false) },
  { code: 0x16, name: 'RESERVE (6)', run: () => DONE },
  { code: 0x17, name: 'RELEASE (6)', run: () => DONE },
  { code: 0x1a, name: 'MODE SENSE (6)', run: (disk, cdb) => disk.modeSense(cdb.getUint8(2), bit(cdb, 1, 8), false, cdb.getUint8(4)) },
  { code: 0x1b, name: 'START STOP UNIT', run: () => DONE },
  { code: 0x1e, name: 'PREVENT ALLOW MEDIUM REMOVAL', run: () => DONE },
  { code: 0x25, name: 'READ CAPACITY (10)', run: (disk) => disk.capacity(false, 8) },
  { code: 0x2b, name: 'SEEK (10)', run: (disk, cdb) => disk.verify(cdb.getUint32(2), 1, 0) },
  ...transferRows('read', [0x08, 0x28, 0xa8, 0x88]),
  ...transferRows('write', [0x0a, 0x2a, 0xaa, 0x8a]),
  { code: 0x2e, name: 'WRITE AND VERIFY (10)', run: (disk, cdb) => disk.transfer('write', cdb.getUint32(2), cdb.getUint16(7), true) },
  { code: 0x8e, name: 'WRITE AND VERIFY (16)', run: (disk, cdb) => disk.transfer('write', u64(cdb, 2), cdb.getUint32(10), true) },
  { code: 0x2f, name: 'VERIFY (10)', run: (disk, cdb) => disk.verify(cdb.getUint32(2), cdb.getUint16(7), cdb.getUint8(1) & 6) },
  { code: 0x8f, name: 'VERIFY (16)', run: (disk, cdb) => disk.verify(u64(cdb, 2), cdb.getUint32(10), cdb.getUint8(1) & 6) },
  { code: 0x35, name: 'SYNCHRONIZE CACHE (10)', run: (disk) => disk.synchronize() },
  { code: 0x91, name: 'SYNCHRONIZE CACHE (16)', run: (disk) => disk.synchronize() },
  { code: 0x41, name: 'WRITE SAME (10)', run: (disk, cdb) => disk.beginWriteSame(cdb.getUint32(2), cdb.getUint16(7), cdb.getUint8(1) & ~1),
    accept: (disk, cdb, data) => disk.writeSame(cdb.getUint32(2), cdb.getUint16(7), cdb.getUint8(1), data) },
  { code: 0x93, name: 'WRITE SAME (16)', run: (disk, cdb) => disk.beginWriteSame(u64(cdb, 2), cdb.getUint32(10), cdb.getUint8(1)),
    accept: (disk, cdb, data) => disk.writeSame(u64(cdb, 2), cdb.getUint32(10), cdb.getUint8(1), data) },
  { code: 0x42, name: 'UNMAP', run: (_disk, cdb) => out(cdb.getUint16(7)), accept: (disk, _cdb, data) => disk.unmap(data) },
  { code: 0x55, name: 'MODE SELECT (10)', run: (_disk, cdb) => out(cdb.getUint16(7)), accept: (disk, _cdb, data) => disk.modeSelect(data, true) },
  { code: 0x5a, name: 'MODE SENSE (10)', run: (disk, cdb) => disk.modeSense(cdb.getUint8(2), bit(cdb, 1, 8), true, cdb.getUint16(7)) },
  { code: 0x9e, name: 'READ CAPACITY (16)',
    run: (disk, cdb) => ((cdb.getUint8(1) & 0x1f) === 0x10 ? disk.capacity(true, cdb.getUint32(10)) : failed(SENSE.INVALID_FIELD)) },
];

const COMMANDS: readonly (CommandRow | undefined)[] = Array.from({ length: 256 }, (_, code) => ROWS.find((row) => row.code === code));
