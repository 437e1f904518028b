// INT 13h: floppies, hard disks and CDs by CHS (IBM PS/2 and PC BIOS Interface Technical Reference) and by block number (EDD 3.0),
// and the CD functions of El Torito 1.0. Every drive is read and written through its Drive, whatever its controller.
import { isPromise, type Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { RemovableDrive } from '../../ports/disk.ts';
import { defineEvents } from '../../trace/event.ts';
import { BDA } from './data-area.ts';
import { FIRST, SECTOR_BYTES, type DiskUnit, type DiskUnits } from './disk-units.ts';
import { BIOS_SEGMENT } from './rom.ts';
import type { Answer, ServiceCall } from './service.ts';

export const trace = defineEvents('bios', {
  disk: 'int 13h ax {ax:hex} drive {drive:hex} status {status:hex}',
});

// prettier-ignore
export const STATUS = {
  OK: 0x00, BAD_COMMAND: 0x01, WRITE_PROTECTED: 0x03, NOT_FOUND: 0x04, CHANGED: 0x06, DMA_BOUNDARY: 0x09, ECC: 0x10, NO_MEDIUM: 0x31,
  TIMEOUT: 0x80, NOT_LOCKED: 0xb0, LOCKED: 0xb1, NOT_REMOVABLE: 0xb2, WRITE_FAULT: 0xcc,
} as const;

/** One transfer a call: 128 sectors by CHS; by block number as many as fit below the end of real-mode memory. */
const CHS_SECTORS_MAX = 128;
const REAL_MODE_END = 0x110000;
const EDD = { MAGIC: 0x55aa, REPLY: 0xaa55, VERSION: 0x30, SUBSETS: 7, PACKET_BYTES: 0x10, PACKET_64_BYTES: 0x18 } as const;
const FLAT_BUFFER = 0xffffffff;
const CYLINDERS_PHYSICAL_MAX = 16383;
const HEADS_PHYSICAL = 16;
const SECTORS_PHYSICAL = 63;
const FORMAT_FILL = 0xf6;

/** What the caller's registers were when a transfer began: the same call again asks for its end. */
interface Pending {
  readonly registers: readonly number[];
  status: number | undefined;
  readonly finish: (status: number) => void;
}

type DiskFunction = (call: ServiceCall, unit: DiskUnit, disks: DiskServices) => number | Answer;

export class DiskServices {
  readonly units: DiskUnits;
  /** Offset of the diskette parameter table in the BIOS's segment. */
  readonly #floppyParameters: number;
  #pending: Pending | undefined;

  constructor(units: DiskUnits, floppyParameters: number) {
    this.units = units;
    this.#floppyParameters = floppyParameters;
  }

  reset(): void {
    this.#pending = undefined;
  }

  service(call: ServiceCall): Answer {
    const { registers: r } = call;
    const pending = this.#pending;
    if (pending !== undefined) {
      if (pending.status === undefined) return 'again';
      this.#pending = undefined;
      if (sameCall(pending.registers, call)) {
        pending.finish(pending.status);
        return this.#end(call, pending.status);
      }
    }
    const result = this.#call(call);
    if (typeof result === 'string') return result;
    trace.disk?.({ ax: r.ax, drive: r.dl, status: result });
    return this.#end(call, result);
  }

  #call(call: ServiceCall): number | Answer {
    const { registers: r } = call;
    const unit = this.units.unit(r.dl);
    if (r.ah === 0x4b) return this.#emulationCall(call);
    if (r.ah === 0x08) return this.#parameters(call, unit);
    if (r.ah === 0x15) return this.#driveType(call, unit);
    if (r.ah === 0x01) return this.#lastStatus(call);
    if (unit === undefined) return r.ah === 0x00 && r.dl < FIRST.DISK ? STATUS.OK : STATUS.BAD_COMMAND;
    return FUNCTIONS[r.ah]?.(call, unit, this) ?? STATUS.BAD_COMMAND;
  }

  /** AH and carry, and the status byte in the data area. */
  #end(call: ServiceCall, status: number): Answer {
    const { registers: r, memory } = call;
    memory.write8(r.dl < FIRST.DISK ? BDA.FLOPPY_STATUS : BDA.DISK_STATUS, status);
    return status === STATUS.OK ? call.succeed() : call.unsupported(status);
  }

  #lastStatus(call: ServiceCall): Answer {
    const { registers: r, memory } = call;
    const status = memory.read8(r.dl < FIRST.DISK ? BDA.FLOPPY_STATUS : BDA.DISK_STATUS);
    r.ah = status;
    call.setCarry(status !== STATUS.OK);
    return 'done';
  }

  #parameters(call: ServiceCall, unit: DiskUnit | undefined): number {
    const { registers: r } = call;
    const floppy = r.dl < FIRST.DISK;
    if (unit === undefined && !floppy) return STATUS.BAD_COMMAND;
    if (unit?.kind === 'cdrom') return STATUS.BAD_COMMAND;
    const count = floppy ? this.units.floppyCount : this.units.diskCount;
    r.al = 0;
    if (unit === undefined) {
      r.bx = 0;
      r.cx = 0;
      r.dx = count;
      return STATUS.OK;
    }
    const { cylinders, heads, sectors } = unit.geometry;
    const last = cylinders - 1;
    r.ch = last;
    r.cl = ((last >> 2) & 0xc0) | sectors;
    r.dh = heads - 1;
    r.dl = count;
    if (floppy) {
      r.bx = unit.floppyType;
      r.di = this.#floppyParameters;
      r.setSegment('es', BIOS_SEGMENT);
    }
    return STATUS.OK;
  }

  #driveType(call: ServiceCall, unit: DiskUnit | undefined): Answer {
    const { registers: r } = call;
    call.setCarry(false);
    if (unit === undefined || unit.kind === 'cdrom') r.ax = 0;
    else if (unit.kind === 'floppy') r.ah = 2; // with a change line
    else {
      const { cylinders, heads, sectors } = unit.geometry;
      const total = cylinders * heads * sectors;
      r.ah = 3;
      r.cx = total >>> 16;
      r.dx = total;
    }
    return 'done';
  }

  /** El Torito: 00h ends the emulation, 01h describes it; both fill the packet at DS:SI. */
  #emulationCall(call: ServiceCall): number {
    const { registers: r, memory } = call;
    const { emulation } = this.units;
    if (r.al > 1 || !emulation.present || (r.dl !== emulation.driveNumber && r.dl !== 0x7f)) return STATUS.BAD_COMMAND;
    const at = r.address('ds', r.si);
    const { cylinders, heads, sectors } = emulation;
    memory.write8(at, 0x13);
    memory.write8(at + 1, emulation.media);
    memory.write8(at + 2, emulation.driveNumber);
    memory.write8(at + 3, emulation.cdrom >> 1);
    memory.write32(at + 4, emulation.lba);
    memory.write16(at + 8, emulation.cdrom & 1);
    memory.write16(at + 10, 0);
    memory.write16(at + 12, emulation.loadSegment);
    memory.write16(at + 14, emulation.loadSectors);
    memory.write8(at + 16, cylinders);
    memory.write8(at + 17, sectors | ((cylinders >> 2) & 0xc0));
    memory.write8(at + 18, heads);
    if (r.al === 0) emulation.active = false;
    return STATUS.OK;
  }

  /** Begins what ends at once or later; `finish` gets the status in the same registers. */
  run(call: ServiceCall, begin: () => Eventual<void>, failed: number, finish: (status: number) => void): number | Answer {
    let result: Eventual<void>;
    try {
      result = begin();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      finish(failed);
      return failed;
    }
    if (!isPromise(result)) {
      finish(STATUS.OK);
      return STATUS.OK;
    }
    const pending: Pending = { registers: registersOf(call), status: undefined, finish };
    this.#pending = pending;
    const fail = (error: unknown): void => {
      if (!(error instanceof Failure)) throw error;
      pending.status = failed;
    };
    result.then(() => { pending.status = STATUS.OK; }, fail);
    return 'again';
  }
}

function registersOf({ registers: r }: ServiceCall): number[] {
  return [r.ax, r.bx, r.cx, r.dx, r.si, r.segment('ds'), r.segment('es'), r.stack];
}
function sameCall(before: readonly number[], call: ServiceCall): boolean {
  return registersOf(call).every((value, n) => value === before[n]);
}

interface Transfer {
  readonly kind: 'read' | 'write' | 'verify';
  readonly address: number;
  readonly lba: number;
  readonly sectors: number;
  /** Told how it ended. */
  readonly finish: (status: number) => void;
}

/** Checks and carries out a transfer. */
function transfer(call: ServiceCall, unit: DiskUnit, disks: DiskServices, wanted: Transfer): number | Answer {
  const { kind, address, lba, sectors, finish } = wanted;
  const { drive, sectorBytes, startByte } = unit;
  if (drive.size === 0) return unit.kind === 'floppy' ? STATUS.TIMEOUT : STATUS.NO_MEDIUM;
  const offset = startByte + lba * sectorBytes;
  const count = sectors * sectorBytes;
  if (lba + sectors > unit.sectors || offset + count > drive.size) return unit.kind === 'disk' ? STATUS.BAD_COMMAND : STATUS.NOT_FOUND;
  if (kind === 'write' && unit.readOnly) return STATUS.WRITE_PROTECTED;
  if (kind === 'verify' || count === 0) return STATUS.OK;
  const { memory } = call;
  const inPlace = memory.view(address, count);
  if (inPlace === undefined && address + count > REAL_MODE_END) return STATUS.DMA_BOUNDARY;
  const buffer = inPlace ?? new Uint8Array(count);
  if (kind === 'read') {
    return disks.run(call, () => drive.read(offset, buffer), STATUS.ECC, (status) => {
      if (status === STATUS.OK) {
        if (inPlace === undefined) memory.copyIn(address, buffer);
        else memory.written(address, count);
      }
      finish(status);
    });
  }
  if (inPlace === undefined) memory.copyOut(address, buffer);
  return disks.run(call, () => drive.write(offset, buffer, { fua: drive.writeCache }), STATUS.WRITE_FAULT, finish);
}

/** 02h, 03h, 04h: AL sectors at CH, CL, DH. AL is kept when all went well, and 0 otherwise. */
const chs = (kind: Transfer['kind']): DiskFunction => (call, unit, disks) => {
  const { registers: r } = call;
  const { heads, sectors } = unit.geometry;
  const cylinder = r.ch | ((r.cl & 0xc0) << 2);
  const sector = r.cl & 63;
  const count = r.al;
  if (unit.kind === 'cdrom' || count === 0 || count > CHS_SECTORS_MAX || sector === 0) return STATUS.BAD_COMMAND;
  if (sector > sectors || r.dh >= heads) return STATUS.NOT_FOUND;
  const lba = (cylinder * heads + r.dh) * sectors + sector - 1;
  const finish = (status: number): void => {
    if (status !== STATUS.OK) r.al = 0;
  };
  return transfer(call, unit, disks, { kind, address: r.address('es', r.bx), lba, sectors: count, finish });
};

/** 42h, 43h, 44h, 47h: a disk address packet at DS:SI, which is told how many blocks were transferred. */
const packet = (kind: Transfer['kind']): DiskFunction => (call, unit, disks) => {
  const { registers: r, memory } = call;
  if (unit.kind === 'floppy') return STATUS.BAD_COMMAND;
  const at = r.address('ds', r.si);
  const size = memory.read8(at);
  if (size < EDD.PACKET_BYTES) return STATUS.BAD_COMMAND;
  const sectors = memory.read16(at + 2);
  const lba = memory.read32(at + 8) + memory.read32(at + 12) * 2 ** 32;
  const flat = size >= EDD.PACKET_64_BYTES && memory.read32(at + 4) === FLAT_BUFFER;
  const address = flat
    ? memory.read32(at + 16) + memory.read32(at + 20) * 2 ** 32
    : r.linear(memory.read16(at + 6), memory.read16(at + 4));
  if (!flat && kind !== 'verify' && address + sectors * unit.sectorBytes > REAL_MODE_END) return STATUS.DMA_BOUNDARY;
  const finish = (status: number): void => {
    if (status !== STATUS.OK) memory.write16(at + 2, 0);
  };
  const status = transfer(call, unit, disks, { kind, address, lba, sectors, finish });
  if (typeof status === 'number') finish(status);
  return status;
};

/** 48h: a buffer at DS:SI that begins with its own size. */
const describe: DiskFunction = ({ registers: r, memory }, unit) => {
  if (unit.kind === 'floppy') return STATUS.BAD_COMMAND;
  const at = r.address('ds', r.si);
  const size = memory.read16(at);
  if (size < 0x1a) return STATUS.BAD_COMMAND;
  const disk = unit.kind === 'disk';
  const REMOVABLE = 0x74; // removable, change line, lockable, no geometry
  const cylinders = Math.min(CYLINDERS_PHYSICAL_MAX, Math.floor(unit.sectors / (HEADS_PHYSICAL * SECTORS_PHYSICAL)));
  memory.write16(at, size >= 0x1e ? 0x1e : 0x1a);
  memory.write16(at + 2, disk ? 2 : REMOVABLE);
  memory.write32(at + 4, disk ? cylinders : 0xffffffff);
  memory.write32(at + 8, disk ? HEADS_PHYSICAL : 0xffffffff);
  memory.write32(at + 12, disk ? SECTORS_PHYSICAL : 0xffffffff);
  memory.write32(at + 16, unit.sectors % 2 ** 32);
  memory.write32(at + 20, Math.floor(unit.sectors / 2 ** 32));
  memory.write16(at + 24, unit.sectorBytes);
  if (size >= 0x1e) memory.write32(at + 26, 0xffffffff); // no device parameter table
  return STATUS.OK;
};

const succeed: DiskFunction = () => STATUS.OK;
const removable = ({ kind, drive }: DiskUnit): RemovableDrive | undefined =>
  kind === 'cdrom' && 'setTray' in drive ? (drive as RemovableDrive) : undefined;

/** 05h formats a floppy's track: its sectors are filled. Hard disks are formatted as they are. */
const format: DiskFunction = (call, unit, disks) => {
  const { registers: r } = call;
  if (unit.kind === 'cdrom') return STATUS.BAD_COMMAND;
  if (unit.readOnly) return STATUS.WRITE_PROTECTED;
  if (unit.kind === 'disk') return STATUS.OK;
  const { heads, sectors } = unit.geometry;
  const offset = (r.ch * heads + r.dh) * sectors * SECTOR_BYTES;
  if (r.dh >= heads || offset + sectors * SECTOR_BYTES > unit.drive.size) return STATUS.NOT_FOUND;
  const track = new Uint8Array(sectors * SECTOR_BYTES).fill(FORMAT_FILL);
  return disks.run(call, () => unit.drive.write(offset, track), STATUS.WRITE_FAULT, () => {});
};

const FUNCTIONS: Readonly<Record<number, DiskFunction>> = {
  0x00: succeed,
  0x02: chs('read'),
  0x03: chs('write'),
  0x04: chs('verify'),
  0x05: format,
  0x09: succeed,
  0x0c: succeed,
  0x0d: succeed,
  0x10: (_call, unit) => (unit.drive.size === 0 ? STATUS.NO_MEDIUM : STATUS.OK),
  0x11: succeed,
  0x14: succeed,
  0x16: (_call, unit) => (unit.kind === 'floppy' ? STATUS.OK : STATUS.BAD_COMMAND), // the disk was not changed
  0x17: (_call, unit) => (unit.kind === 'floppy' ? STATUS.OK : STATUS.BAD_COMMAND),
  0x18: (_call, unit) => (unit.kind === 'floppy' ? STATUS.OK : STATUS.BAD_COMMAND),
  0x41: (call, unit) => {
    const { registers: r } = call;
    if (r.bx !== EDD.MAGIC || unit.kind === 'floppy') return STATUS.BAD_COMMAND;
    r.bx = EDD.REPLY;
    r.cx = EDD.SUBSETS;
    return call.succeed(EDD.VERSION);
  },
  0x42: packet('read'),
  0x43: packet('write'),
  0x44: packet('verify'),
  0x45: ({ registers: r }, unit) => {
    const drive = removable(unit);
    if (r.al > 2) return STATUS.BAD_COMMAND;
    if (r.al < 2) drive?.setLocked(r.al === 0);
    r.al = 0;
    return STATUS.OK;
  },
  0x46: (_call, unit) => {
    const drive = removable(unit);
    if (drive === undefined) return STATUS.NOT_REMOVABLE;
    drive.setTray(true);
    return STATUS.OK;
  },
  0x47: (_call, unit) => (unit.kind === 'floppy' ? STATUS.BAD_COMMAND : STATUS.OK),
  0x48: describe,
  0x49: succeed,
};
