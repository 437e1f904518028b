// What a machine is made of, as plain data: the one argument of Machine.create. Not the command line (cli/ parses that
// into this) and not the board's wiring. Every member has a default, see `withDefaults`.
import type { NestedOptions } from '../block/options.ts';
import { MICROVM_DEFAULTS, type MicrovmOptions } from '../machine/microvm.ts';
import type { CharBackend } from '../ports/char-backend.ts';

/** A file of the guest: a path for the host to read, or its contents with the name that errors show. */
export type FileSource = string | { readonly name: string; readonly bytes: Uint8Array };

/** A file that a Multiboot kernel gets beside it, with the words that follow its name in `-initrd "file words"`. */
export interface ModuleFile {
  readonly name: string;
  readonly commandLine: string;
  readonly bytes: Uint8Array;
}

/** `nx`, `-nx` and `family=6` after a CPU model, in the order they were given: the later one wins. */
export interface CpuPropertyOverride {
  readonly name: string;
  /** A feature's switch, or the text of another property's value. */
  readonly value: boolean | string;
}

export interface CpuOptions {
  readonly model: string;
  readonly overrides: readonly CpuPropertyOverride[];
}

/** A device of `-device`: its properties are already of the type that its catalogue entry declares. */
export interface DeviceOptions {
  readonly driver: string;
  readonly id?: string;
  /** The bus it plugs into, by name; absent: the first one of its kind. */
  readonly bus?: string;
  /** What the user wrote, for errors. */
  readonly origin?: string;
  readonly properties: Readonly<Record<string, DevicePropertyValue>>;
}
export type DevicePropertyValue = string | number | bigint | boolean | CharBackend;

export const DRIVE_INTERFACES = ['none', 'ide', 'scsi', 'floppy', 'pflash', 'virtio'] as const;
export type DriveInterface = (typeof DRIVE_INTERFACES)[number];

/** What happens when a request fails: the machine stops and tries again when it goes on, the guest is told, nothing. */
export type ErrorAction = 'report' | 'ignore' | 'enospc' | 'stop';

/** A drive of `-drive`: an image, how it is opened, and where it is attached. */
export interface DriveOptions {
  /** Made up from interface and place when it is not given. */
  readonly id?: string;
  /** `none`: for a -device to name. Default: what the board has for disks. */
  readonly interface?: DriveInterface;
  /** The place: bus and unit, or an index that counts through both; the first free one when neither is given. */
  readonly bus?: number;
  readonly unit?: number;
  readonly index?: number;
  readonly media?: 'disk' | 'cdrom';
  /** An image's name as the tools take it (a path, nbd:…, json:{…}). Absent, and nothing in `node`: no medium. */
  readonly file?: string;
  /** The image's format; looked at when it is not given. */
  readonly format?: string;
  /** Further options of the block node: `detect-zeroes`, `discard`, `cache.direct`, `file.locking`, … */
  readonly node?: NestedOptions;
  readonly readOnly?: boolean;
  /** Writes go to a temporary file and are lost in the end. */
  readonly snapshot?: boolean;
  /** Every write is stable before it completes. */
  readonly writethrough?: boolean;
  readonly copyOnRead?: boolean;
  /** Default `enospc`, and `report`. */
  readonly onWriteError?: ErrorAction;
  readonly onReadError?: Exclude<ErrorAction, 'enospc'>;
  readonly throttling?: { readonly group?: string; readonly limits: Readonly<Record<string, number>> };
  /** What the user wrote, for errors. */
  readonly origin?: string;
}

/** A node of `-blockdev`, which devices name by its `node-name`. */
export interface BlockdevOptions {
  readonly options: NestedOptions;
  readonly origin?: string;
}

export interface RtcOptions {
  /** What the clock shows at start: the host's UTC, the host's local time, or a fixed UTC time. */
  readonly base: 'utc' | 'localtime' | { readonly startMs: number };
  /** What moves it: the host's time, or the guest's (stops while the guest is stopped). */
  readonly clock: 'host' | 'rt' | 'vm';
}

export interface MachineTypeOptions {
  /** A name or alias of board-model.ts: pc, q35, microvm. */
  readonly type: string;
  readonly acpi: boolean;
  /** Of machines that can have one. */
  readonly hpet: boolean;
  /** The 8259s and the 8254; there when absent. */
  readonly pic?: boolean;
  readonly pit?: boolean;
  readonly microvm?: MicrovmOptions;
  /** False: firmware puts its messages on the first serial port. On when absent. */
  readonly graphics?: boolean;
  /** Names of the block nodes that flash memory 0 and 1 are on, in the place of drives with interface `pflash`. */
  readonly pflash?: readonly (string | undefined)[];
}

/** What a machine may be without, all there unless it is said otherwise. */
export function boardChoices({ pic = true, pit = true, microvm = MICROVM_DEFAULTS }: MachineTypeOptions) {
  return { pic, pit, microvm };
}

/** `-boot`: letters of drives as QEMU has them (a floppy, c hard disk, d CD, n network). */
export interface BootOptions {
  readonly order: string;
  /** In the place of `order` until the first reset. */
  readonly once?: string;
  readonly menu: boolean;
  /** How long the boot menu is offered, and how long to wait before trying again when nothing could be booted. */
  readonly menuTimeoutMs?: number;
  readonly retryMs?: number;
  /** Boot from nothing but what the boot order names. */
  readonly strict: boolean;
}

/** Instruction counting: 2**shift ns of guest time an instruction; 'auto' follows the host. */
export interface IcountOptions {
  readonly shift: number | 'auto';
  readonly sleep: boolean;
}

export interface AcceleratorOptions {
  readonly name: 'tcg';
  /** False keeps everything in the interpreter. */
  readonly translate: boolean;
  /** Executions after which a block is translated. */
  readonly promoteAt?: number;
  /** All translated code is dropped when its modules exceed this. */
  readonly translationBytesMax?: number;
  /** Blocks of one instruction each, for finding what goes wrong. */
  readonly oneInstructionBlocks?: boolean;
  /** Translated code counts how it is left, which makes it slower. */
  readonly counting?: boolean;
}

/** Items of `-d`. */
export type LogItem = 'in_asm' | 'op' | 'out_asm' | 'int' | 'exec' | 'cpu_reset' | 'guest_errors';

export interface LogOptions {
  readonly items: readonly LogItem[];
  /** Takes the log's text; without it the log goes to standard error. */
  readonly write?: (text: string) => void;
}

export interface MachineOptions {
  readonly machine?: MachineTypeOptions;
  readonly accelerator?: AcceleratorOptions;
  readonly cpu?: CpuOptions;
  readonly cpuCount?: number;
  readonly ramBytes?: number;
  readonly kernel?: FileSource;
  readonly initrd?: FileSource;
  /** In the place of `initrd` for a Multiboot kernel, which takes any number of files. */
  readonly modules?: readonly ModuleFile[];
  /** Boots the small guest that is part of nandu instead of a kernel. */
  readonly builtinGuest?: boolean;
  /** The kernel's command line. */
  readonly append?: string;
  /** A ROM image that ends at 4 GiB. Without it and without a kernel the built-in BIOS boots from the drives. */
  readonly bios?: FileSource;
  /** COM1 to COM4; undefined for a port that is not there. */
  readonly serials?: readonly (CharBackend | undefined)[];
  readonly devices?: readonly DeviceOptions[];
  readonly drives?: readonly DriveOptions[];
  readonly blockdevs?: readonly BlockdevOptions[];
  /** Every drive that does not say otherwise is a snapshot. */
  readonly snapshot?: boolean;
  /** Passphrases by the id that images name them with. */
  readonly secrets?: ReadonlyMap<string, Uint8Array>;
  /** Groups of limits that drives and nodes name. */
  readonly throttleGroups?: Readonly<Record<string, NestedOptions>>;
  /** Exit when the guest resets. */
  readonly noReboot?: boolean;
  /** Stay, stopped, when the guest powers off. */
  readonly noShutdown?: boolean;
  /** Do not run until `resume`. */
  readonly startStopped?: boolean;
  readonly name?: string;
  /** In the canonical form, 8-4-4-4-12 hexadecimal digits. */
  readonly uuid?: string;
  readonly rtc?: RtcOptions;
  readonly icount?: IcountOptions;
  readonly log?: LogOptions;
  readonly boot?: BootOptions;
  /** `-fw_cfg`: files for firmware and guest, by name. */
  readonly firmwareFiles?: Readonly<Record<string, Uint8Array>>;
}

/** The options that have a default are there; the rest may be absent. */
export type CompleteMachineOptions = MachineOptions & Required<Omit<MachineOptions, OptionsWithoutDefault>>;
type OptionsWithoutDefault = 'kernel' | 'initrd' | 'append' | 'bios' | 'name' | 'uuid' | 'icount';

export const DEFAULT_RAM_BYTES = 128 * 1024 * 1024;

/** Hard disk, CD, floppy. */
export const DEFAULT_BOOT_ORDER = 'cad';

export function withDefaults(options: MachineOptions): CompleteMachineOptions {
  return {
    machine: { type: 'pc', acpi: true, hpet: true },
    accelerator: { name: 'tcg', translate: true },
    cpu: { model: 'qemu64', overrides: [] },
    cpuCount: 1,
    ramBytes: DEFAULT_RAM_BYTES,
    serials: [],
    devices: [],
    drives: [],
    blockdevs: [],
    snapshot: false,
    secrets: new Map(),
    throttleGroups: {},
    modules: [],
    builtinGuest: false,
    noReboot: false,
    noShutdown: false,
    startStopped: false,
    rtc: { base: 'utc', clock: 'host' },
    log: { items: [] },
    boot: { order: DEFAULT_BOOT_ORDER, menu: false, strict: false },
    firmwareFiles: {},
    ...options,
  };
}

/** How a machine's run ended. */
export interface ExitReason {
  readonly kind: 'poweroff' | 'reset' | 'debug-exit' | 'stopped' | 'panic' | 'error';
  /** The process's exit status: 0 for power-off, what the guest chose for debug-exit. */
  readonly code: number;
}
