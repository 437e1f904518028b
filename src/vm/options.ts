// What a machine is made of, as plain data: the one argument of Machine.create. Not the command line (cli/ parses that
// into this) and not the board's wiring. Every member has a default, see `withDefaults`.
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
  readonly properties: Readonly<Record<string, DevicePropertyValue>>;
}
export type DevicePropertyValue = string | number | bigint | boolean | CharBackend;

export interface RtcOptions {
  /** What the clock shows at start: the host's UTC, the host's local time, or a fixed UTC time. */
  readonly base: 'utc' | 'localtime' | { readonly startMs: number };
  /** What moves it: the host's time, or the guest's (stops while the guest is stopped). */
  readonly clock: 'host' | 'rt' | 'vm';
}

export interface MachineTypeOptions {
  readonly type: 'pc';
  readonly acpi: boolean;
  readonly hpet: boolean;
  /** False: firmware puts its messages on the first serial port. On when absent. */
  readonly graphics?: boolean;
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
export type LogItem = 'in_asm' | 'int' | 'exec' | 'cpu_reset' | 'guest_errors';

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
  /** A ROM image that ends at 4 GiB. */
  readonly bios?: FileSource;
  /** COM1 to COM4; undefined for a port that is not there. */
  readonly serials?: readonly (CharBackend | undefined)[];
  readonly devices?: readonly DeviceOptions[];
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
