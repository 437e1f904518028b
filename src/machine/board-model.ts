// The machines of `-machine`, by name: what is told of one to the user and to the guest. How it is wired is in pc.ts, microvm.ts and
// the chipsets' files.
import { GUEST_RAM_BYTES_MAX } from '../memory/memory-map.ts';
import { microvmAcpi, pcAcpi, q35Acpi } from './acpi/board-hardware.ts';
import type { AcpiHardware } from './acpi/pc-hardware.ts';
import { pcChipsetWrites, Q35_ECAM, q35ChipsetWrites, type BusWrite } from './boot/power-on.ts';
import type { Board, BoardWires, OptionalParts } from './board.ts';
import type { AddressRange } from './e820.ts';
import { MicrovmBoard, type MicrovmOptions } from './microvm.ts';
import { PcBoard } from './pc.ts';
import { pcChipset } from './pc-chipset.ts';
import { q35Chipset } from './q35-chipset.ts';

export interface BoardOptions extends BoardWires, OptionalParts {
  readonly acpi: boolean;
  readonly hpet: boolean;
  /** What only machine `microvm` has a choice of. */
  readonly microvm: MicrovmOptions;
}

export interface BoardModel {
  /** The name that means the newest version, of a machine that has versions. */
  readonly alias?: string;
  readonly name: string;
  readonly description: string;
  readonly build: (options: BoardOptions) => Board;
  /** Devices on a bus of interface `ide`. */
  readonly ideUnits: 1 | 2;
  /** Whether it can start from firmware, in a ROM or in flash memory, or only from a kernel. */
  readonly firmware: boolean;
  readonly acpi: (options: Pick<BoardOptions, 'pic' | 'microvm'>) => AcpiHardware;
  /** What firmware writes to the chipset's registers, for a boot without firmware. */
  readonly powerOn: readonly BusWrite[];
  /** Where a boot without firmware maps the configuration spaces. */
  readonly ecam?: AddressRange;
  /** RAM ends below what firmware maps into memory. */
  readonly ramBytesMax: number;
}

export const pcModel: BoardModel = {
  alias: 'pc',
  name: 'pc-i440fx-7.2',
  description: 'Standard PC (i440FX + PIIX, 1996)',
  build: (options) => new PcBoard({ ...options, chipset: pcChipset }),
  ideUnits: 2,
  firmware: true,
  acpi: pcAcpi,
  powerOn: pcChipsetWrites,
  ramBytesMax: GUEST_RAM_BYTES_MAX,
};

export const q35Model: BoardModel = {
  alias: 'q35',
  name: 'pc-q35-7.2',
  description: 'Standard PC (Q35 + ICH9, 2009)',
  build: (options) => new PcBoard({ ...options, chipset: q35Chipset }),
  ideUnits: 1,
  firmware: true,
  acpi: q35Acpi,
  powerOn: q35ChipsetWrites,
  ecam: Q35_ECAM,
  ramBytesMax: Q35_ECAM.start,
};

export const microvmModel: BoardModel = {
  name: 'microvm',
  description: 'microvm (i386)',
  build: (options) => new MicrovmBoard({ ...options, ...options.microvm }),
  ideUnits: 1,
  firmware: false,
  acpi: microvmAcpi,
  powerOn: [],
  ramBytesMax: GUEST_RAM_BYTES_MAX,
};

export const BOARD_MODELS: readonly BoardModel[] = [pcModel, q35Model, microvmModel];

/** The machine of this name or alias; undefined when there is none. */
export function boardModel(name: string): BoardModel | undefined {
  return BOARD_MODELS.find((model) => model.alias === name || model.name === name);
}
