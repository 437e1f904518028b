// A hard disk as ATA8-ACS describes it: what each command means on a drive. One model for the IDE channel and the AHCI port,
// which move its data. Not the security, media card and streaming features: they are not announced.
import { after, type Eventual } from '../../base/eventual.ts';
import type { Failure } from '../../base/failure.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import type { Drive } from '../../ports/disk.ts';
import { bool, count, u16, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { ataCommands, type AtaCommandRow } from './ata-commands.ts';
import {
  DEVICE, DONE, ERROR, refuse, SECTOR_BYTES, STATUS, succeed, taskFileFields, type AtaPlan, type AtaUnit, type TaskFile,
} from './ata-unit.ts';
import { defaultGeometry, identifyDisk, MULTIPLE_SECTORS_MAX, TRIM_BLOCKS_MAX, type AtaGeometry, type AtaIdentity } from './identify.ts';
import { LOG, logPage, smartData, smartThresholds } from './logs.ts';
import { trace } from './trace.ts';

const WORD = 2 ** 32;
const ACTIVE = 0xff;
const STANDBY = 0x00;
const IDLE = 0x80;
/** Transfer mode after reset: ultra DMA 5, the kind (8) in the upper five bits. */
const ULTRA_DMA_5 = 0x45;

export const ataDiskState = defineState({
  kind: 'ata-disk',
  version: 1,
  fields: {
    ...taskFileFields,
    multiple: u8(MULTIPLE_SECTORS_MAX, MULTIPLE_SECTORS_MAX),
    writeCache: bool(true),
    readAhead: bool(true),
    smart: bool(true),
    power: u8(ACTIVE),
    transferMode: u8(ULTRA_DMA_5),
    // The translation that INITIALIZE DEVICE PARAMETERS sets; 0: the default one.
    heads: u8(0, 16),
    sectors: u8(),
    /** Log 10h: the tag of the queued command that failed, 0x80 for none, and where. */
    failedTag: u8(0x80),
    failedStatus: u8(),
    failedError: u8(),
    failedCount: u16(),
    failedLba: count(),
  },
});
export type AtaDiskState = ReturnType<typeof ataDiskState.initial>;

export interface AtaDiskOptions {
  readonly drive: Drive;
  readonly identity: AtaIdentity;
  /** Serial ATA: queued commands are announced. */
  readonly serialAta: boolean;
}

/** A queued command that an AHCI port was given: from its FIS, not from the task file. */
export interface QueuedCommand {
  readonly write: boolean;
  readonly lba: number;
  readonly sectors: number;
  readonly fua: boolean;
}

export class AtaDisk implements AtaUnit, Device<AtaDiskState> {
  readonly schema = ataDiskState;
  state = ataDiskState.initial();
  readonly drive: Drive;
  readonly isPacketDevice = false;
  readonly #identity: AtaIdentity;
  readonly #serialAta: boolean;

  constructor({ drive, identity, serialAta }: AtaDiskOptions) {
    this.drive = drive;
    this.#identity = identity;
    this.#serialAta = serialAta;
  }

  get taskFile(): TaskFile {
    return this.state;
  }

  get totalSectors(): number {
    return Math.floor(this.drive.size / SECTOR_BYTES);
  }

  get geometry(): AtaGeometry {
    const { heads, sectors } = this.state;
    if (heads === 0 || sectors === 0) return defaultGeometry(this.totalSectors);
    return { heads, sectors, cylinders: Math.min(65535, Math.floor(this.totalSectors / (heads * sectors))) };
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = ataDiskState.initial();
  }

  settle(): void {
    // No outputs: interrupts are the controller's.
  }

  softReset(): void {
    const { state } = this;
    Object.assign(state, { status: STATUS.READY | STATUS.SEEK, error: 1, command: 0, feature: 0, featureHob: 0, count: 1, countHob: 0 });
    Object.assign(state, { lbaLow: 1, lbaLowHob: 0, lbaMid: 0, lbaMidHob: 0, lbaHigh: 0, lbaHighHob: 0, device: 0, power: ACTIVE });
  }

  begin(): Eventual<AtaPlan> {
    const { state } = this;
    const row = ataCommands[state.command];
    trace.command?.({ drive: this.drive.name, command: state.command, name: row?.name ?? 'unknown' });
    if (row === undefined || (row.serial === true && !this.#serialAta)) return refuse(state);
    state.status = STATUS.BUSY | STATUS.READY | STATUS.SEEK;
    state.error = 0;
    return row.run(this, row);
  }

  blockReady(): void {
    // The registers of a disk say nothing about blocks.
  }

  finish(): void {
    succeed(this.state);
  }

  abort(): void {
    refuse(this.state);
  }

  fail(failure: Failure, done: number): void {
    const { state } = this;
    trace.failure?.({ drive: this.drive.name, command: state.command, what: failure.message });
    const row = ataCommands[state.command];
    const medium = row?.access === 'read' ? ERROR.UNCORRECTABLE : ERROR.ABORT;
    refuse(state, medium);
    if (row?.access !== undefined) this.#showLba(this.#lba(row.wide === true) + Math.floor(done / SECTOR_BYTES), row.wide === true);
  }

  // --- addresses

  /** The sector that the task file names. */
  #lba(wide: boolean): number {
    const { state } = this;
    const low = state.lbaLow | (state.lbaMid << 8) | (state.lbaHigh << 16);
    if (wide) return low + ((state.lbaLowHob | (state.lbaMidHob << 8)) * 2 ** 24) + state.lbaHighHob * 2 ** 40;
    if ((state.device & DEVICE.LBA) !== 0) return low + (state.device & 15) * 2 ** 24;
    const { heads, sectors } = this.geometry;
    return ((low >>> 8) * heads + (state.device & 15)) * sectors + (low & 0xff) - 1;
  }

  #showLba(lba: number, wide: boolean): void {
    const { state } = this;
    if (!wide && (state.device & DEVICE.LBA) === 0) {
      const { heads, sectors } = this.geometry;
      const cylinder = Math.floor(lba / (heads * sectors));
      state.lbaLow = (lba % sectors) + 1;
      state.lbaMid = cylinder & 0xff;
      state.lbaHigh = (cylinder >> 8) & 0xff;
      state.device = (state.device & 0xf0) | (Math.floor(lba / sectors) % heads);
      return;
    }
    [state.lbaLow, state.lbaMid, state.lbaHigh] = [lba & 0xff, (lba >>> 8) & 0xff, (lba >>> 16) & 0xff];
    const high = Math.floor(lba / 2 ** 24);
    if (wide) [state.lbaLowHob, state.lbaMidHob, state.lbaHighHob] = [high & 0xff, (high >>> 8) & 0xff, (high >>> 16) & 0xff];
    else state.device = (state.device & 0xf0) | (high & 15);
  }

  #sectorCount(wide: boolean): number {
    const { state } = this;
    if (wide) return (state.count | (state.countHob << 8)) || 65536;
    return state.count || 256;
  }

  #inside(lba: number, sectors: number): boolean {
    return lba >= 0 && lba + sectors <= this.totalSectors;
  }

  // --- commands; called by the rows of ata-commands.ts

  transfer(row: AtaCommandRow): AtaPlan {
    const wide = row.wide === true;
    const lba = this.#lba(wide);
    const sectors = this.#sectorCount(wide);
    const perBlock = row.multiple === true ? this.state.multiple : 1;
    if (perBlock === 0) return refuse(this.state);
    if (!this.#inside(lba, sectors)) return refuse(this.state, ERROR.NOT_FOUND);
    const common = { dma: row.dma === true, bytes: sectors * SECTOR_BYTES, block: perBlock * SECTOR_BYTES, offset: lba * SECTOR_BYTES };
    this.state.power = ACTIVE;
    if (row.access === 'read') return { ...common, kind: 'read' };
    if (this.drive.readOnly) return refuse(this.state);
    return { ...common, kind: 'write', fua: row.fua === true || !this.state.writeCache };
  }

  /** A queued command lies inside the disk and may do what it asks. */
  mayQueue({ write, lba, sectors }: QueuedCommand): boolean {
    return this.#inside(lba, sectors) && !(write && this.drive.readOnly);
  }

  /** A queued command failed: what log 10h tells the host. */
  queuedFailed(tag: number, { lba, sectors }: QueuedCommand, error: number): void {
    const { state } = this;
    refuse(state, error);
    Object.assign(state, { failedTag: tag, failedStatus: state.status, failedError: error, failedCount: sectors & 0xffff, failedLba: lba });
  }

  verify(row: AtaCommandRow): AtaPlan {
    const inside = this.#inside(this.#lba(row.wide === true), this.#sectorCount(row.wide === true));
    return inside ? succeed(this.state) : refuse(this.state, ERROR.NOT_FOUND);
  }

  seek(row: AtaCommandRow): AtaPlan {
    return this.#inside(this.#lba(row.wide === true), 1) ? succeed(this.state) : refuse(this.state, ERROR.NOT_FOUND);
  }

  #dataIn(data: Uint8Array, dma = false): AtaPlan {
    return { kind: 'in', dma, bytes: data.length, block: SECTOR_BYTES, data };
  }

  identify(): AtaPlan {
    const { multiple, writeCache, readAhead, smart, transferMode } = this.state;
    return this.#dataIn(identifyDisk({
      identity: this.#identity, totalSectors: this.totalSectors, geometry: this.geometry, multiple, writeCache, readAhead, smart,
      transferMode, trim: this.drive.discards, serialAta: this.#serialAta,
    }));
  }

  flush(): Eventual<AtaPlan> {
    return after(this.drive.flush(), () => succeed(this.state));
  }

  setMultiple(): AtaPlan {
    const { state } = this;
    const sectors = state.count;
    if (sectors > MULTIPLE_SECTORS_MAX || (sectors & (sectors - 1)) !== 0) return refuse(state);
    state.multiple = sectors;
    return succeed(state);
  }

  setGeometry(): AtaPlan {
    const { state } = this;
    state.sectors = state.count;
    state.heads = (state.device & 15) + 1;
    return state.count === 0 ? refuse(state) : succeed(state);
  }

  diagnose(): AtaPlan {
    const { device } = this.state;
    this.softReset();
    this.state.device = device & DEVICE.SLAVE;
    return DONE;
  }

  setPower(mode: 'active' | 'idle' | 'standby'): Eventual<AtaPlan> {
    this.state.power = mode === 'active' ? ACTIVE : mode === 'idle' ? IDLE : STANDBY;
    return mode === 'standby' ? this.flush() : succeed(this.state);
  }

  checkPower(): AtaPlan {
    this.state.count = this.state.power;
    return succeed(this.state);
  }

  nativeMax(row: AtaCommandRow): AtaPlan {
    const last = Math.max(0, this.totalSectors - 1);
    this.#showLba(row.wide === true ? last : Math.min(last, 0x0fff_fffe), row.wide === true);
    return succeed(this.state);
  }

  setFeatures(): Eventual<AtaPlan> {
    const { state } = this;
    switch (state.feature) {
      case 0x02:
        state.writeCache = true;
        return succeed(state);
      case 0x82:
        state.writeCache = false;
        return this.flush();
      case 0x03:
        return this.#setTransferMode(state.count);
      case 0x55:
      case 0xaa:
        state.readAhead = state.feature === 0xaa;
        return succeed(state);
      case 0x66: // keep settings over a software reset
      case 0xcc: // or not: nothing depends on it
        return succeed(state);
      default:
        return refuse(state);
    }
  }

  #setTransferMode(mode: number): AtaPlan {
    const limit = { 0: 1, 1: 4, 4: 2, 8: 5 }[mode >> 3];
    if (limit === undefined || (mode & 7) > limit) return refuse(this.state);
    if (mode >> 3 >= 4) this.state.transferMode = mode;
    return succeed(this.state);
  }

  smart(): AtaPlan {
    const { state } = this;
    if (state.lbaMid !== 0x4f || state.lbaHigh !== 0xc2) return refuse(state);
    if (!state.smart && state.feature !== 0xd8) return refuse(state);
    switch (state.feature) {
      case 0xd0:
        return this.#dataIn(smartData());
      case 0xd1:
        return this.#dataIn(smartThresholds());
      case 0xd5:
        return this.#readLog(state.lbaLow, 0, state.count);
      case 0xd2: // attributes are saved by themselves
      case 0xda: // the signature in the LBA registers stays: no threshold exceeded
        return succeed(state);
      case 0xd8:
      case 0xd9:
        state.smart = state.feature === 0xd8;
        return succeed(state);
      default:
        return refuse(state);
    }
  }

  readLog(dma: boolean): AtaPlan {
    const { state } = this;
    return this.#readLog(state.lbaLow, state.lbaMid | (state.lbaMidHob << 8), state.count | (state.countHob << 8), dma);
  }

  #readLog(address: number, page: number, pages: number, dma = false): AtaPlan {
    const { state } = this;
    const log = logPage(address, state);
    if (log === undefined || pages === 0 || (page + pages) * SECTOR_BYTES > log.length) return refuse(state);
    if (address === LOG.QUEUED_ERROR) state.failedTag = 0x80;
    return this.#dataIn(log.subarray(page * SECTOR_BYTES, (page + pages) * SECTOR_BYTES), dma);
  }

  // --- data from the host

  dataSetManagement(): AtaPlan {
    const { state } = this;
    const blocks = state.count | (state.countHob << 8);
    const trim = (state.feature & 1) !== 0;
    if (!trim || blocks === 0 || blocks > TRIM_BLOCKS_MAX || this.drive.readOnly) return refuse(state);
    return { kind: 'out', dma: true, bytes: blocks * SECTOR_BYTES, block: SECTOR_BYTES };
  }

  /** DATA SET MANAGEMENT is the only command that takes data of its own. */
  async accept(data: Uint8Array): Promise<void> {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    const ranges: { lba: number; sectors: number }[] = [];
    for (let at = 0; at + 8 <= data.length; at += 8) {
      const range = { lba: view.getUint32(at, true) + view.getUint16(at + 4, true) * WORD, sectors: view.getUint16(at + 6, true) };
      if (range.sectors === 0) continue;
      if (!this.#inside(range.lba, range.sectors)) {
        refuse(this.state, ERROR.NOT_FOUND);
        return;
      }
      ranges.push(range);
    }
    for (const { lba, sectors } of ranges) await this.drive.discard(lba * SECTOR_BYTES, sectors * SECTOR_BYTES);
    succeed(this.state);
  }

  packet(): AtaPlan {
    return refuse(this.state);
  }
}
