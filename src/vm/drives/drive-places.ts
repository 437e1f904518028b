// Where the drives of an interface are: bus and unit from an index or the next free place, and the name of a drive that was
// given none. QEMU's rules and error texts.
import { Failure } from '../../base/failure.ts';
import type { DriveInterface, DriveOptions } from '../options.ts';

/** Units of a bus; 0: there is one bus with any number. */
type UnitsMax = Readonly<Record<DriveInterface, number>>;
const UNITS_MAX: UnitsMax = { none: 0, ide: 2, scsi: 7, floppy: 0, pflash: 0, virtio: 0 };

export interface PlacedDrive extends DriveOptions {
  readonly id: string;
  readonly interface: DriveInterface;
  readonly bus: number;
  readonly unit: number;
  readonly media: 'disk' | 'cdrom';
}

const invalid = (message: string): Failure => new Failure('invalid-argument', message);

export class DrivePlaces {
  readonly #placed: PlacedDrive[] = [];
  readonly #unitsMax: UnitsMax;

  /** A board whose disks are on AHCI has one on each bus. */
  constructor(ideUnits: 1 | 2 = 2) {
    this.#unitsMax = { ...UNITS_MAX, ide: ideUnits };
  }

  /** Finds the place of one more drive. */
  add(drive: DriveOptions): PlacedDrive {
    const type = drive.interface ?? 'ide';
    const place = this.#place(drive, type);
    if (this.#at(type, place.bus, place.unit) !== undefined) {
      throw invalid(`drive with bus=${place.bus}, unit=${place.unit} (index=${drive.index ?? -1}) exists`);
    }
    const media = drive.media ?? 'disk';
    const id = drive.id ?? nameOf(type, media, place);
    if (this.#placed.some((other) => other.id === id)) throw invalid(`Duplicate ID '${id}' for drive`);
    const placed = { ...drive, id, interface: type, media, ...place };
    this.#placed.push(placed);
    return placed;
  }

  #at(type: DriveInterface, bus: number, unit: number): PlacedDrive | undefined {
    return this.#placed.find((other) => other.interface === type && other.bus === bus && other.unit === unit);
  }

  #place({ index, bus, unit }: DriveOptions, type: DriveInterface): { readonly bus: number; readonly unit: number } {
    const unitsMax = this.#unitsMax[type];
    if (index !== undefined) {
      if ((bus ?? 0) !== 0 || unit !== undefined) throw invalid('index cannot be used with bus and unit');
      return unitsMax === 0 ? { bus: 0, unit: index } : { bus: Math.floor(index / unitsMax), unit: index % unitsMax };
    }
    if (unit !== undefined) {
      if (unitsMax !== 0 && unit >= unitsMax) throw invalid(`unit ${unit} too big (max is ${unitsMax - 1})`);
      return { bus: bus ?? 0, unit };
    }
    const free = { bus: bus ?? 0, unit: 0 };
    while (this.#at(type, free.bus, free.unit) !== undefined) {
      free.unit++;
      if (unitsMax === 0 || free.unit < unitsMax) continue;
      free.unit = 0;
      free.bus++;
    }
    return free;
  }
}

function nameOf(type: DriveInterface, media: 'disk' | 'cdrom', { bus, unit }: { readonly bus: number; readonly unit: number }): string {
  const what = type === 'ide' || type === 'scsi' ? (media === 'cdrom' ? '-cd' : '-hd') : '';
  return UNITS_MAX[type] === 0 ? `${type}${what}${unit}` : `${type}${bus}${what}${unit}`;
}
