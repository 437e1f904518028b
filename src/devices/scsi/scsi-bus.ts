// The targets and logical units behind a host adapter, by their addresses; what a target answers where no unit is. SAM-5, 4.7.
import { Failure } from '../../base/failure.ts';
import type { Drive } from '../../ports/disk.ts';
import { failed, fixedSense, SENSE, type ScsiLogicalUnit, type ScsiPlan } from './scsi-command.ts';

/** A logical unit with the drive that its plans are about. */
export interface ScsiUnit extends ScsiLogicalUnit {
  readonly drive: Drive | undefined;
}

export interface ScsiAddress {
  readonly target: number;
  readonly lun: number;
}

const REPORT_LUNS = 0xa0;
const INQUIRY = 0x12;
const REQUEST_SENSE = 0x03;

export class ScsiBus {
  readonly targetsMax: number;
  readonly lunsMax: number;
  readonly #units = new Map<number, Map<number, ScsiUnit>>();

  constructor(limits: { readonly targetsMax: number; readonly lunsMax: number }) {
    this.targetsMax = limits.targetsMax;
    this.lunsMax = limits.lunsMax;
  }

  /** Puts a unit at an address; what is not said is the first free one. */
  attach(unit: ScsiUnit, { target, lun }: Partial<ScsiAddress>): ScsiAddress {
    if ((target ?? 0) >= this.targetsMax) throw new Failure('invalid-argument', `bad scsi device id: ${target}`);
    if ((lun ?? 0) >= this.lunsMax) throw new Failure('invalid-argument', `bad scsi device lun: ${lun}`);
    const place = { target: target ?? this.#freeTarget(lun ?? 0), lun: lun ?? this.#freeLun(target) };
    const luns = this.#units.get(place.target) ?? new Map<number, ScsiUnit>();
    if (luns.has(place.lun)) throw new Failure('invalid-argument', 'lun already used by another device');
    luns.set(place.lun, unit);
    this.#units.set(place.target, luns);
    return place;
  }

  #freeTarget(lun: number): number {
    for (let target = 0; target < this.targetsMax; target++) if (this.#units.get(target)?.has(lun) !== true) return target;
    throw new Failure('limit', 'no free target');
  }

  #freeLun(target: number | undefined): number {
    const luns = target === undefined ? undefined : this.#units.get(target);
    for (let lun = 0; lun < this.lunsMax; lun++) if (luns?.has(lun) !== true) return lun;
    throw new Failure('limit', 'no free lun');
  }

  hasTarget(target: number): boolean {
    return this.#units.has(target);
  }

  unit({ target, lun }: ScsiAddress): ScsiUnit | undefined {
    return this.#units.get(target)?.get(lun);
  }

  /** What the target itself answers: the list of its units, and inquiries to a unit that there is not; undefined: the unit's. */
  answer(cdb: Uint8Array, address: ScsiAddress): ScsiPlan | undefined {
    const view = new DataView(cdb.buffer, cdb.byteOffset, cdb.length);
    if (cdb[0] === REPORT_LUNS) return this.#reportLuns(address.target, view.getUint32(6));
    if (this.unit(address) !== undefined) return undefined;
    if (cdb[0] === INQUIRY) {
      const data = new Uint8Array(36);
      data.set([0x7f, 0, 5, 2, 31]); // no unit can be there
      return { kind: 'in', data: data.slice(0, view.getUint16(3)) };
    }
    if (cdb[0] === REQUEST_SENSE) return { kind: 'in', data: fixedSense(SENSE.LUN_NOT_SUPPORTED).slice(0, cdb[4]) };
    return failed(SENSE.LUN_NOT_SUPPORTED);
  }

  #reportLuns(target: number, length: number): ScsiPlan {
    if (length < 16) return failed(SENSE.INVALID_FIELD);
    const luns = [...new Set([0, ...(this.#units.get(target)?.keys() ?? [])])].sort((a, b) => a - b);
    const data = new DataView(new ArrayBuffer(8 + 8 * luns.length));
    data.setUint32(0, 8 * luns.length);
    luns.forEach((lun, index) => data.setUint16(8 + 8 * index, lun < 256 ? lun : 0x4000 | lun));
    return { kind: 'in', data: new Uint8Array(data.buffer).slice(0, length) };
  }
}
