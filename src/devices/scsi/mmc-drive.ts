// A CD and DVD reader as MMC-6 and SPC-4 describe it: what each command means on a removable drive. One implementation for ATAPI
// and scsi-cd. Data discs of one track; no audio, no burning. The tray follows START STOP UNIT and the host.
import { after, type Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import type { RemovableDrive } from '../../ports/disk.ts';
import { bool, choice, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { configuration, discInformation, dvdStructure, modePages, rawSector, RAW_SECTOR_BYTES, toc } from './mmc-data.ts';
import { DONE, failed, fixedSense, SENSE, type ScsiLogicalUnit, type ScsiPlan, type ScsiSense } from './scsi-command.ts';

export const CD_SECTOR_BYTES = 2048;
/** READ CD of whole sectors is made in memory: a longer one is refused. */
const RAW_SECTORS_MAX = 27;

export const mmcDriveState = defineState({
  kind: 'mmc-drive',
  version: 1,
  fields: {
    senseKey: u8(),
    senseCode: u8(),
    senseQualifier: u8(),
    /** What the next command is told. */
    attention: choice('power-on', 'none', 'changed'),
    locked: bool(),
    trayOpen: bool(),
    /** What GET EVENT STATUS NOTIFICATION reports next. */
    event: choice('none', 'eject-request', 'new-medium', 'removal'),
  },
});
export type MmcDriveState = ReturnType<typeof mmcDriveState.initial>;

export interface MmcDriveOptions {
  readonly drive: RemovableDrive | undefined;
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
  readonly serial: string;
}

type Command = (unit: MmcDrive, cdb: DataView) => Eventual<ScsiPlan>;

interface CommandRow {
  readonly code: number;
  readonly name: string;
  /** Answered whatever the medium: without telling of attentions, or only without needing a medium. */
  readonly always?: true;
  readonly medium?: true;
  readonly run: Command;
}

export class MmcDrive implements ScsiLogicalUnit, Device<MmcDriveState> {
  readonly schema = mmcDriveState;
  state = mmcDriveState.initial();
  readonly drive: RemovableDrive | undefined;
  readonly #options: MmcDriveOptions;

  constructor(options: MmcDriveOptions) {
    this.#options = options;
    this.drive = options.drive;
    if (this.drive !== undefined) this.drive.onMediumChange = (what) => this.#mediumChanged(what);
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = mmcDriveState.initial();
    else this.settle();
  }

  settle(): void {
    this.drive?.setLocked(this.state.locked);
  }

  #mediumChanged(what: 'changed' | 'eject-requested'): void {
    const { state } = this;
    if (what === 'eject-requested') {
      state.event = 'eject-request';
      return;
    }
    state.event = this.drive?.inserted === true ? 'new-medium' : 'removal';
    if (this.drive?.inserted === true) {
      state.attention = 'changed';
      state.trayOpen = false;
    }
  }

  /** A medium is in, and the tray is closed. */
  get ready(): boolean {
    return this.drive !== undefined && this.drive.inserted && !this.state.trayOpen;
  }

  get sectors(): number {
    return this.drive === undefined ? 0 : Math.floor(this.drive.size / CD_SECTOR_BYTES);
  }

  begin(cdb: Uint8Array): Eventual<ScsiPlan> {
    const row = COMMANDS[cdb[0] ?? 0];
    if (row === undefined) return this.fail(SENSE.INVALID_OPCODE);
    const refused = this.#refusal(row);
    if (refused !== undefined) return this.fail(refused);
    if (row.code !== REQUEST_SENSE) this.#setSense(SENSE.NONE);
    return after(row.run(this, new DataView(cdb.buffer, cdb.byteOffset, cdb.length)), (plan) => {
      if (plan.kind === 'failed') this.#setSense(plan.sense);
      return plan;
    });
  }

  #refusal(row: CommandRow): ScsiSense | undefined {
    const { state } = this;
    if (row.always !== true && state.attention !== 'none') {
      const sense = state.attention === 'changed' ? SENSE.MEDIUM_CHANGED : SENSE.POWER_ON;
      state.attention = 'none';
      return sense;
    }
    return row.medium === true && !this.ready ? this.#notReady() : undefined;
  }

  #notReady(): ScsiSense {
    return this.state.trayOpen ? SENSE.NOT_READY_TRAY_OPEN : SENSE.NOT_READY_MEDIUM_ABSENT;
  }

  #setSense({ key, code, qualifier }: ScsiSense): void {
    Object.assign(this.state, { senseKey: key, senseCode: code, senseQualifier: qualifier });
  }

  fail(sense: ScsiSense): ScsiPlan {
    this.#setSense(sense);
    return failed(sense);
  }

  transferFailed(error: unknown): ScsiSense {
    const sense = error instanceof Failure && !this.ready ? this.#notReady() : SENSE.READ_ERROR;
    this.#setSense(sense);
    return sense;
  }

  /** MODE SELECT: the pages have nothing that can be set; what is sent is taken. */
  accept(): ScsiPlan {
    return DONE;
  }

  // --- commands

  requestSense(length: number): ScsiPlan {
    const { senseKey: key, senseCode: code, senseQualifier: qualifier } = this.state;
    this.#setSense(SENSE.NONE);
    return dataIn(fixedSense({ key, code, qualifier }), length);
  }

  inquiry(vitalPage: number | undefined, length: number): ScsiPlan {
    if (vitalPage !== undefined) {
      const page = this.#vitalPage(vitalPage);
      return page === undefined ? failed(SENSE.INVALID_FIELD) : dataIn(page, length);
    }
    const { vendor, product, revision } = this.#options;
    const data = new Uint8Array(36);
    data.set([5, 0x80, 5, 0x02, 31]);
    data.set(padded(vendor, 8), 8);
    data.set(padded(product, 16), 16);
    data.set(padded(revision, 4), 32);
    return dataIn(data, length);
  }

  #vitalPage(page: number): Uint8Array | undefined {
    const { serial } = this.#options;
    if (page === 0) return Uint8Array.of(5, 0, 0, 3, 0, 0x80, 0x83);
    const text = padded(serial, page === 0x80 ? serial.length : Math.min(serial.length, 20));
    if (page === 0x80) return Uint8Array.of(5, 0x80, 0, text.length, ...text);
    if (page === 0x83) return Uint8Array.of(5, 0x83, 0, text.length + 4, 2, 0, 0, text.length, ...text);
    return undefined;
  }

  /** READ (6, 10, 12, 16) of user data. */
  read(lba: number, count: number): ScsiPlan {
    if (lba + count > this.sectors) return failed(SENSE.LBA_OUT_OF_RANGE);
    return count === 0 ? DONE : { kind: 'read', offset: lba * CD_SECTOR_BYTES, bytes: count * CD_SECTOR_BYTES };
  }

  /** READ CD: user data, or whole sectors of mode 1. */
  readCd(lba: number, count: number, selection: number): Eventual<ScsiPlan> {
    if (count === 0 || (selection & 0xf8) === 0) return DONE;
    if (lba + count > this.sectors) return failed(SENSE.LBA_OUT_OF_RANGE);
    if ((selection & 0xf8) === 0x10) return this.read(lba, count);
    if ((selection & 0xf8) !== 0xf8 || count > RAW_SECTORS_MAX || this.drive === undefined) return failed(SENSE.INVALID_FIELD);
    const user = new Uint8Array(count * CD_SECTOR_BYTES);
    return after(this.drive.read(lba * CD_SECTOR_BYTES, user), () => {
      const data = new Uint8Array(count * RAW_SECTOR_BYTES);
      for (let index = 0; index < count; index++) {
        data.set(rawSector(lba + index, user.subarray(index * CD_SECTOR_BYTES, (index + 1) * CD_SECTOR_BYTES)), index * RAW_SECTOR_BYTES);
      }
      return { kind: 'in', data };
    });
  }

  readCapacity(): ScsiPlan {
    const data = new DataView(new ArrayBuffer(8));
    data.setUint32(0, Math.max(0, this.sectors - 1));
    data.setUint32(4, CD_SECTOR_BYTES);
    return dataIn(new Uint8Array(data.buffer), 8);
  }

  readToc(format: number, msf: boolean, track: number, length: number): ScsiPlan {
    const data = toc(format, msf, track, this.sectors);
    return data === undefined ? failed(SENSE.INVALID_FIELD) : dataIn(data, length);
  }

  modeSense(page: number, ten: boolean, length: number): ScsiPlan {
    const pages = modePages(page & 0x3f, this.state.locked);
    if (page >> 6 === 3) return failed(SENSE.SAVING_NOT_SUPPORTED);
    if (pages === undefined) return failed(SENSE.INVALID_FIELD);
    const header = new Uint8Array(ten ? 8 : 4);
    const size = header.length + pages.length - (ten ? 2 : 1);
    if (ten) [header[0], header[1]] = [size >> 8, size & 0xff];
    else header[0] = size;
    header[ten ? 2 : 1] = this.ready ? 0x01 : this.state.trayOpen ? 0x71 : 0x70;
    const data = new Uint8Array(header.length + pages.length);
    data.set(header);
    data.set(pages, header.length);
    return dataIn(data, length);
  }

  getConfiguration(type: number, first: number, length: number): ScsiPlan {
    if (type > 2) return failed(SENSE.INVALID_FIELD);
    return dataIn(configuration(type, first, this.ready ? this.sectors : 0), length);
  }

  eventStatus(polled: boolean, classes: number, length: number): ScsiPlan {
    if (!polled) return failed(SENSE.INVALID_FIELD);
    const mediaClass = 4;
    if ((classes & (1 << mediaClass)) === 0) return dataIn(Uint8Array.of(0, 2, 0x80, 1 << mediaClass), length);
    const code = { none: 0, 'eject-request': 1, 'new-medium': 2, removal: 3 }[this.state.event];
    if (length > 4) this.state.event = 'none';
    const status = (this.state.trayOpen ? 1 : 0) | (this.ready ? 2 : 0);
    return dataIn(Uint8Array.of(0, 6, mediaClass, 1 << mediaClass, code, status, 0, 0), length);
  }

  preventRemoval(prevent: boolean): ScsiPlan {
    this.state.locked = prevent;
    this.drive?.setLocked(prevent);
    return DONE;
  }

  startStop(start: boolean, loadEject: boolean): ScsiPlan {
    const { state, drive } = this;
    if (!loadEject) return DONE;
    if (!start && state.locked && drive?.inserted === true) return failed(SENSE.REMOVAL_PREVENTED);
    if (state.trayOpen === !start) return DONE;
    state.trayOpen = !start;
    drive?.setTray(!start);
    return DONE;
  }

  discInformation(type: number, length: number): ScsiPlan {
    return type === 0 ? dataIn(discInformation(), length) : failed(SENSE.INVALID_FIELD);
  }

  mechanismStatus(length: number): ScsiPlan {
    return dataIn(Uint8Array.of(0, this.state.trayOpen ? 0x10 : 0, 0, 0, 0, 1, 0, 0), length);
  }

  dvdStructure(format: number, layer: number, length: number): ScsiPlan {
    const data = dvdStructure(format, layer, this.sectors);
    return data === undefined ? failed(SENSE.INVALID_FIELD) : dataIn(data, length);
  }
}

function dataIn(data: Uint8Array, length: number): ScsiPlan {
  return { kind: 'in', data: data.length > length ? data.slice(0, length) : data };
}

const padded = (text: string, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => (index < text.length ? text.charCodeAt(index) & 0x7f : 0x20));

const REQUEST_SENSE = 0x03;
const u24 = (cdb: DataView, at: number): number => (cdb.getUint8(at) << 16) | cdb.getUint16(at + 1);
const bit = (cdb: DataView, at: number, mask: number): boolean => (cdb.getUint8(at) & mask) !== 0;

// prettier-ignore
const ROWS: readonly CommandRow[] = [
  { code: 0x00, name: 'TEST UNIT READY', medium: true, run: () => DONE },
  { code: 0x03, name: 'REQUEST SENSE', always: true, run: (unit, cdb) => unit.requestSense(cdb.getUint8(4)) },
  { code: 0x08, name: 'READ (6)', medium: true, run: (unit, cdb) => unit.read(u24(cdb, 1) & 0x1f_ffff, cdb.getUint8(4) || 256) },
  { code: 0x12, name: 'INQUIRY', always: true,
    run: (unit, cdb) => unit.inquiry(bit(cdb, 1, 1) ? cdb.getUint8(2) : undefined, cdb.getUint16(3)) },
  { code: 0x15, name: 'MODE SELECT (6)', run: (_unit, cdb) => ({ kind: 'out', bytes: cdb.getUint8(4) }) },
  { code: 0x1a, name: 'MODE SENSE (6)', run: (unit, cdb) => unit.modeSense(cdb.getUint8(2), false, cdb.getUint8(4)) },
  { code: 0x1b, name: 'START STOP UNIT', run: (unit, cdb) => unit.startStop(bit(cdb, 4, 1), bit(cdb, 4, 2)) },
  { code: 0x1e, name: 'PREVENT ALLOW MEDIUM REMOVAL', run: (unit, cdb) => unit.preventRemoval(bit(cdb, 4, 1)) },
  { code: 0x25, name: 'READ CAPACITY (10)', medium: true, run: (unit) => unit.readCapacity() },
  { code: 0x28, name: 'READ (10)', medium: true, run: (unit, cdb) => unit.read(cdb.getUint32(2), cdb.getUint16(7)) },
  { code: 0x2b, name: 'SEEK (10)', medium: true, run: (unit, cdb) => (unit.sectors > cdb.getUint32(2) ? DONE : failed(SENSE.LBA_OUT_OF_RANGE)) },
  { code: 0x35, name: 'SYNCHRONIZE CACHE (10)', run: () => DONE },
  { code: 0x43, name: 'READ TOC/PMA/ATIP', medium: true,
    run: (unit, cdb) => unit.readToc((cdb.getUint8(2) & 15) || cdb.getUint8(9) >> 6, bit(cdb, 1, 2), cdb.getUint8(6), cdb.getUint16(7)) },
  { code: 0x46, name: 'GET CONFIGURATION', always: true,
    run: (unit, cdb) => unit.getConfiguration(cdb.getUint8(1) & 3, cdb.getUint16(2), cdb.getUint16(7)) },
  { code: 0x4a, name: 'GET EVENT STATUS NOTIFICATION', always: true,
    run: (unit, cdb) => unit.eventStatus(bit(cdb, 1, 1), cdb.getUint8(4), cdb.getUint16(7)) },
  { code: 0x51, name: 'READ DISC INFORMATION', medium: true,
    run: (unit, cdb) => unit.discInformation(cdb.getUint8(1) & 7, cdb.getUint16(7)) },
  { code: 0x55, name: 'MODE SELECT (10)', run: (_unit, cdb) => ({ kind: 'out', bytes: cdb.getUint16(7) }) },
  { code: 0x5a, name: 'MODE SENSE (10)', run: (unit, cdb) => unit.modeSense(cdb.getUint8(2), true, cdb.getUint16(7)) },
  { code: 0xa8, name: 'READ (12)', medium: true, run: (unit, cdb) => unit.read(cdb.getUint32(2), cdb.getUint32(6)) },
  { code: 0xad, name: 'READ DISC STRUCTURE', medium: true,
    run: (unit, cdb) => unit.dvdStructure(cdb.getUint8(7), cdb.getUint8(6), cdb.getUint16(8)) },
  { code: 0xbb, name: 'SET CD SPEED', run: () => DONE },
  { code: 0xbd, name: 'MECHANISM STATUS', run: (unit, cdb) => unit.mechanismStatus(cdb.getUint16(8)) },
  { code: 0xbe, name: 'READ CD', medium: true, run: (unit, cdb) => unit.readCd(cdb.getUint32(2), u24(cdb, 6), cdb.getUint8(9)) },
];

const COMMANDS: readonly (CommandRow | undefined)[] = Array.from({ length: 256 }, (_, code) => ROWS.find((row) => row.code === code));
