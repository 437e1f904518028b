// What the options of nandu-system-x86_64 amount to: the draft that the rows of system-options.ts fill in, and the rules
// between options that can only be checked when all are known. Nothing is opened here: see system-machine.ts.
import { Failure } from '../base/failure.ts';
import type { CharDeclaration, CharTarget } from '../chardev/spec.ts';
import { MICROVM_DEFAULTS, type MicrovmOptions } from '../machine/microvm.ts';
import type { CharBackend } from '../ports/char-backend.ts';
import type {
  BlockdevOptions, BootOptions, CpuPropertyOverride, DriveOptions, FileSource, IcountOptions, LogItem, RtcOptions,
} from '../vm/options.ts';
import { DEFAULT_BOOT_ORDER, DEFAULT_RAM_BYTES } from '../vm/options.ts';

/** A character back end and the words of the command line it comes from, for its errors. */
export interface NamedChardev extends CharDeclaration {
  readonly origin: string | undefined;
  /** Already open: `spec` is not looked at. */
  readonly backend?: CharBackend;
}

/** A file of `-fw_cfg`: from the host, or its text. */
export interface FirmwareFile {
  readonly name: string;
  readonly file: string | undefined;
  readonly string: string | undefined;
  readonly origin: string;
}

/** What `-trace` asked for. */
export interface TraceSettings {
  /** Patterns, and files of patterns, in their order. */
  readonly enabled: { readonly kind: 'pattern' | 'file'; readonly text: string; readonly origin: string }[];
  file: string | undefined;
  /** Only so many of the last events are kept, and written at the end or when asked for. */
  bufferEvents: number | undefined;
  help: boolean;
}

export interface SystemSettings {
  /** A name or alias of machine/board-model.ts. */
  machineType: string;
  acpi: boolean;
  hpet: boolean;
  pic: boolean;
  pit: boolean;
  microvm: MicrovmOptions;
  cpuModel: string;
  readonly cpuOverrides: CpuPropertyOverride[];
  cpuCount: number;
  ramBytes: number;
  kernel: FileSource | undefined;
  initrd: FileSource | undefined;
  append: string | undefined;
  builtinGuest: boolean;
  bios: FileSource | undefined;
  /** `-L`: folders to look for firmware in. */
  readonly firmwareFolders: string[];
  readonly firmwareFiles: FirmwareFile[];
  boot: BootOptions;
  graphics: boolean;
  /** `-machine pflash0=`, `pflash1=`: names of block nodes. */
  readonly pflash: (string | undefined)[];
  /** By id, in the order they were declared. */
  readonly chardevs: Map<string, NamedChardev>;
  /** Ids of back ends, undefined for `none`. */
  readonly serials: (string | undefined)[];
  readonly monitors: string[];
  monitorGiven: boolean;
  readonly devices: { readonly text: string; readonly origin: string }[];
  readonly drives: DriveOptions[];
  readonly blockdevs: BlockdevOptions[];
  snapshot: boolean;
  /** -object, as written. */
  readonly objects: { readonly text: string; readonly origin: string }[];
  /** -global: driver, property, value. */
  readonly globals: { readonly driver: string; readonly property: string; readonly value: string; readonly origin: string }[];
  nographic: boolean;
  displayGiven: boolean;
  defaults: boolean;
  noReboot: boolean;
  noShutdown: boolean;
  startStopped: boolean;
  name: string | undefined;
  uuid: string | undefined;
  pidfile: string | undefined;
  rtc: RtcOptions;
  icount: IcountOptions | undefined;
  translate: boolean;
  promoteAt: number | undefined;
  translationBytesMax: number | undefined;
  oneInstructionBlocks: boolean;
  /** File for the report on translation when the machine has ended. */
  translationReport: string | undefined;
  logItems: LogItem[];
  logFile: string | undefined;
  readonly trace: TraceSettings;
}

export const initialSettings = (): SystemSettings => ({
  machineType: 'pc',
  acpi: true,
  hpet: true,
  pic: true,
  pit: true,
  microvm: MICROVM_DEFAULTS,
  cpuModel: 'qemu64',
  cpuOverrides: [],
  cpuCount: 1,
  ramBytes: DEFAULT_RAM_BYTES,
  kernel: undefined,
  initrd: undefined,
  append: undefined,
  builtinGuest: false,
  bios: undefined,
  firmwareFolders: [],
  firmwareFiles: [],
  boot: { order: DEFAULT_BOOT_ORDER, menu: false, strict: false },
  graphics: true,
  pflash: [],
  chardevs: new Map(),
  serials: [],
  monitors: [],
  monitorGiven: false,
  devices: [],
  drives: [],
  blockdevs: [],
  snapshot: false,
  objects: [],
  globals: [],
  nographic: false,
  displayGiven: false,
  defaults: true,
  noReboot: false,
  noShutdown: false,
  startStopped: false,
  name: undefined,
  uuid: undefined,
  pidfile: undefined,
  rtc: { base: 'utc', clock: 'host' },
  icount: undefined,
  translate: true,
  promoteAt: undefined,
  translationBytesMax: undefined,
  oneInstructionBlocks: false,
  translationReport: undefined,
  logItems: [],
  logFile: undefined,
  trace: { enabled: [], file: undefined, bufferEvents: undefined, help: false },
});

const SERIAL_PORTS_MAX = 4;

/** The id of the back end that a -serial or -monitor names; undefined for `none`. Declares it when it is a new one. */
export function declareTarget(settings: SystemSettings, target: CharTarget, label: string, origin?: string): string | undefined {
  if (target.kind === 'none') return undefined;
  if (target.kind === 'chardev') return target.id;
  settings.chardevs.set(label, { spec: target.spec, mux: target.mux, origin });
  if (target.monitor) settings.monitors.push(label);
  return label;
}

export function addSerial(settings: SystemSettings, target: CharTarget, origin?: string): void {
  if (settings.serials.length === SERIAL_PORTS_MAX) throw new Failure('limit', 'too many serial ports (maximum is 4)');
  settings.serials.push(declareTarget(settings, target, `serial${settings.serials.length}`, origin));
  if (target.kind === 'new' && target.monitor) settings.monitorGiven = true;
}

const STDIO = { kind: 'stdio', signal: true } as const;
const NOWHERE = { kind: 'null' } as const;

/** Default devices, then the rules between options. */
export function completeSettings(settings: SystemSettings): void {
  addDefaults(settings);
  for (const id of [...settings.serials, ...settings.monitors]) {
    if (id !== undefined && !settings.chardevs.has(id)) throw new Failure('invalid-argument', `chardev "${id}" not found`);
  }
  if (settings.kernel === undefined) {
    if (settings.append !== undefined) throw new Failure('invalid-argument', '-append only allowed with -kernel option');
    if (settings.initrd !== undefined) throw new Failure('invalid-argument', '-initrd only allowed with -kernel option');
  }
}

/**
 * -nographic puts the first serial port and the monitor on the terminal, one or both of them unless given otherwise.
 * Without it they would be windows of a display: the port is there, but leads nowhere.
 */
function addDefaults(settings: SystemSettings): void {
  if (!settings.defaults) return;
  const serialMissing = settings.serials.length === 0;
  if (serialMissing && settings.nographic && !settings.monitorGiven) {
    addSerial(settings, { kind: 'new', monitor: true, mux: true, spec: { kind: 'stdio', signal: false } });
    return;
  }
  const target = { kind: 'new', monitor: false, mux: false, spec: settings.nographic ? STDIO : NOWHERE } as const;
  if (serialMissing) addSerial(settings, target);
  if (!settings.monitorGiven && settings.nographic) settings.monitors.push(declareTarget(settings, target, 'compat_monitor0')!);
}
