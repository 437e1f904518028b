// Where one -device is built: the board, the device's properties, its bus and its drive. What builders are written against.
import { Failure } from '../../base/failure.ts';
import type { PciBus } from '../../bus/pci-bus.ts';
import { pciFirmwarePath } from '../../machine/firmware-path.ts';
import type { VirtioBalloon } from '../../devices/virtio/virtio-balloon.ts';
import type { Board } from '../../machine/board.ts';
import type { BootDrive } from '../../ports/boot-drive.ts';
import type { CharBackend } from '../../ports/char-backend.ts';
import type { Timers } from '../../ports/clock.ts';
import type { MachineDrive } from '../drives/machine-drive.ts';
import type { MachineDrives } from '../drives/machine-drives.ts';
import type { DeviceOptions, DevicePropertyValue, ErrorAction } from '../options.ts';
import type { BusKind, BusKinds, BusTree } from './bus-tree.ts';

/** What building needs of the machine. */
export interface DeviceHost {
  readonly board: Board;
  readonly buses: BusTree;
  readonly drives: MachineDrives;
  readonly timers: Timers;
  /** Guest RAM for a balloon: `discard` gives a range back to the host. */
  readonly ram: { readonly ramBytes: number; readonly discard: (address: number, size: number) => void };
  readonly balloons: VirtioBalloon[];
  /** Fills an array from the host's random generator. */
  readonly fillRandom: (target: Uint8Array) => void;
  /** Ends the machine with an exit status. */
  readonly exit: (code: number) => void;
}

export interface PciPlace {
  readonly bus: PciBus;
  readonly slot: number;
  readonly number: number;
}

export class DeviceSite {
  readonly host: DeviceHost;
  readonly options: DeviceOptions;
  /** Unique in the machine, and never that of a device of the board: of the id, or made up. */
  readonly name: string;
  #place: PciPlace | undefined;

  constructor(host: DeviceHost, options: DeviceOptions) {
    this.host = host;
    this.options = options;
    this.name = options.id === undefined ? freeName(host.board, options.driver) : `device:${options.id}`;
  }

  /** As QEMU's tree of objects names it. */
  get path(): string {
    return this.options.id === undefined ? `/machine/peripheral-anon/${this.name}` : `/machine/peripheral/${this.options.id}`;
  }

  get board(): Board {
    return this.host.board;
  }

  get properties(): Readonly<Record<string, DevicePropertyValue>> {
    return this.options.properties;
  }

  number(name: string): number | undefined {
    const value = this.properties[name];
    return value === undefined ? undefined : Number(value);
  }

  text(name: string): string | undefined {
    const value = this.properties[name];
    return typeof value === 'string' ? value : undefined;
  }

  flag(name: string): boolean | undefined {
    const value = this.properties[name];
    return typeof value === 'boolean' ? value : undefined;
  }

  get chardev(): CharBackend | undefined {
    return this.properties['chardev'] as CharBackend | undefined;
  }

  /** The bus that `bus=` names, or the first of its kind. */
  bus<K extends BusKind>(kind: K): BusKinds[K] {
    return this.host.buses.find(kind, this.options.driver, this.options.bus);
  }

  /** A place on a PCI bus: `addr=`, or the first free slot. */
  pciPlace(): PciPlace {
    this.#place ??= this.#findPciPlace();
    return this.#place;
  }

  #findPciPlace(): PciPlace {
    const { driver } = this.options;
    const bus = this.bus('PCI');
    const given = this.number('addr');
    const slot = given === undefined ? bus.freeSlot() : given >> 3;
    if (slot === undefined) throw new Failure('limit', `PCI: no slot/function available for ${driver}, all in use`);
    const number = given === undefined ? 0 : given & 7;
    const there = bus.at(slot, number);
    if (there !== undefined) {
      const where = `PCI: slot ${slot} function ${number} not available for ${driver}`;
      throw new Failure('invalid-argument', `${where}, in use by ${there.header.name}`);
    }
    return { bus, slot, number };
  }

  /**
   * The drive that the device is to have, with the policies that are properties of the device. `owner` is the type that QEMU
   * names in errors.
   */
  drive(owner = this.options.driver): MachineDrive {
    const drive = this.removableDrive(owner);
    if (drive === undefined) throw new Failure('invalid-argument', 'drive property not set');
    if (!drive.inserted) throw new Failure('invalid-argument', 'Device needs media, but drive is empty');
    return drive;
  }

  /** The same for a device that may be empty: without a medium, or without any drive. */
  removableDrive(owner = this.options.driver): MachineDrive | undefined {
    const id = this.text('drive');
    const drive = id === undefined ? undefined : this.host.drives.take(id, `${owner}.drive`, this.path);
    if (drive !== undefined) this.#applyPolicies(drive);
    return drive;
  }

  #applyPolicies(drive: MachineDrive): void {
    const given = (name: string): string | undefined => (this.text(name) === 'auto' ? undefined : this.text(name));
    drive.onReadError = (given('rerror') as ErrorAction | undefined) ?? drive.onReadError;
    drive.onWriteError = (given('werror') as ErrorAction | undefined) ?? drive.onWriteError;
    if (this.flag('share-rw') === true) drive.shareWrites();
    const writeCache = given('write-cache');
    if (writeCache !== undefined) drive.setWriteCache(writeCache === 'on');
  }

  /** The Open Firmware path of a unit of the PCI function that was put at `pciPlace`. */
  pciUnitPath(unit: string): string {
    const { bus, slot, number } = this.pciPlace();
    return `${pciFirmwarePath(bus, slot, number)}/${unit}`;
  }

  /** Tells the firmware of a drive; `description` is for its menu. */
  addBootDrive(drive: MachineDrive, medium: BootDrive['medium'], description: string, firmwarePath?: string): void {
    const { bootDrives } = this.board;
    const index = this.number('bootindex') ?? -1;
    const bootIndex = index < 0 ? undefined : index;
    if (bootIndex !== undefined && bootDrives.some((other) => other.bootIndex === bootIndex)) {
      throw new Failure('invalid-argument', `The bootindex ${bootIndex} has already been used`);
    }
    bootDrives.push({ drive, medium, description, bootIndex, firmwarePath });
  }
}

function freeName(board: Board, driver: string): string {
  for (let count = 0; ; count++) {
    const name = `${driver}${count}`;
    if (!board.devices.devices.has(name) && !board.devices.devices.has(`${name}.pci`)) return name;
  }
}

/** Only the members that were given, so that defaults stay the device's. */
export function given<T extends Record<string, unknown>>(members: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as never;
}

/** Builds a device from its options; rows of them are in the files beside this one. */
export type DeviceBuilder = (site: DeviceSite) => void;
export type DeviceBuilders = Readonly<Record<string, DeviceBuilder>>;
