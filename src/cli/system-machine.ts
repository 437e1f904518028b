// Turns settings into the options of a machine: opens the files and character back ends they name. Whatever was opened is
// closed again by `close`, also when a later step fails.
import { closeSync, existsSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../base/failure.ts';
import { CharMux } from '../chardev/mux.ts';
import { readGuestFile, type GuestFileRole } from '../platform/node/guest-file.ts';
import { readWholeFile } from '../platform/node/whole-file.ts';
import { LogWriter } from '../platform/node/log-writer.ts';
import { openChardev } from '../platform/node/open-chardev.ts';
import { systemErrorText } from '../platform/node/system-error.ts';
import type { CharBackend } from '../ports/char-backend.ts';
import type { DeviceOptions, FileSource, MachineOptions, ModuleFile } from '../vm/options.ts';
import { openTraceOutput, type TraceOutput } from './trace-output.ts';
import type { FirmwareFile, NamedChardev, SystemSettings } from './system-settings.ts';

export interface OpenedMachine {
  readonly options: MachineOptions;
  /** Where monitors go. */
  readonly monitors: readonly CharBackend[];
  /** Writes the trace that is waiting, or kept. */
  flushTrace(): string;
  close(): Promise<void>;
}

export interface Surroundings {
  /** Ctrl-A x. */
  quit(): void;
  /** A line for the user on standard error. */
  inform(text: string): void;
}

type NamedBytes = Exclude<FileSource, string>;
type BootFiles = Pick<MachineOptions, 'modules' | 'firmwareFiles'> & { readonly [K in GuestFileRole]?: NamedBytes };

/** The open back ends, and who uses them. */
class Chardevs {
  readonly #declared: ReadonlyMap<string, NamedChardev>;
  readonly #surroundings: Surroundings;
  readonly #open = new Map<string, { readonly backend: CharBackend; readonly mux: CharMux | undefined; used: boolean }>();

  constructor(declared: ReadonlyMap<string, NamedChardev>, surroundings: Surroundings) {
    this.#declared = declared;
    this.#surroundings = surroundings;
  }

  async open(): Promise<void> {
    for (const [id, { spec, mux, origin, backend: given }] of this.#declared) {
      const context = origin === undefined ? '' : `${origin}: `;
      const onWaiting = (where: string): void => this.#surroundings.inform(`${context}info: waiting for connection on: ${where}`);
      try {
        const backend = given ?? (await openChardev(spec, onWaiting));
        this.#open.set(id, { backend, mux: mux ? new CharMux(backend, this.#surroundings) : undefined, used: false });
      } catch (error) {
        if (error instanceof Failure) throw new Failure(error.kind, `${context}${error.message}`, { cause: error });
        throw error;
      }
    }
  }

  /** One more use of a back end; `property` is who wants it, for the error. */
  use(id: string, property: string): CharBackend {
    const chardev = this.#open.get(id);
    if (chardev === undefined) throw new Failure('invalid-argument', `Property '${property}' can't find value '${id}'`);
    if (chardev.mux !== undefined) return chardev.mux.attach();
    if (chardev.used) throw new Failure('invalid-argument', `Property '${property}' can't take value '${id}', it's in use`);
    chardev.used = true;
    return chardev.backend;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.values()].map(({ backend }) => backend.close()));
  }
}

export async function openMachine(settings: SystemSettings, surroundings: Surroundings): Promise<OpenedMachine> {
  const chardevs = new Chardevs(settings.chardevs, surroundings);
  const closers: (() => void)[] = [];
  const close = async (): Promise<void> => {
    await chardevs.close();
    for (const closer of closers.splice(0)) closer();
  };
  try {
    if (settings.pidfile !== undefined) closers.push(writePidfile(settings.pidfile));
    const files = await readFiles(settings);
    const log = openLog(settings, closers);
    const trace = openTrace(settings, log.write, closers);
    await chardevs.open();
    const ports = settings.serials.length > 0 ? settings.serials : [undefined]; // none at all would be the library's console
    const serials = ports.map((id) => (id === undefined ? undefined : chardevs.use(id, 'isa-serial.chardev')));
    const monitors = settings.monitors.map((id) => chardevs.use(id, 'monitor.chardev'));
    const devices = await readDevices(settings, chardevs);
    const options = { ...plainOptions(settings), ...(await readObjects(settings)), ...files, log, serials, devices };
    return { options, monitors, flushTrace: () => trace.flush(), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function plainOptions(settings: SystemSettings): MachineOptions {
  const { append, name, uuid, icount } = settings;
  return {
    machine: {
      type: settings.machineType, acpi: settings.acpi, hpet: settings.hpet, graphics: settings.graphics, pflash: settings.pflash,
      pic: settings.pic, pit: settings.pit, microvm: settings.microvm,
    },
    boot: settings.boot,
    accelerator: {
      name: 'tcg', translate: settings.translate, oneInstructionBlocks: settings.oneInstructionBlocks,
      counting: settings.translationReport !== undefined,
      ...(settings.promoteAt === undefined ? {} : { promoteAt: settings.promoteAt }),
      ...(settings.translationBytesMax === undefined ? {} : { translationBytesMax: settings.translationBytesMax }),
    },
    cpu: { model: settings.cpuModel, overrides: settings.cpuOverrides },
    cpuCount: settings.cpuCount,
    ramBytes: settings.ramBytes,
    drives: settings.drives,
    blockdevs: settings.blockdevs,
    snapshot: settings.snapshot,
    builtinGuest: settings.builtinGuest,
    noReboot: settings.noReboot,
    noShutdown: settings.noShutdown,
    startStopped: settings.startStopped,
    rtc: settings.rtc,
    ...(append !== undefined && { append }),
    ...(name !== undefined && { name }),
    ...(uuid !== undefined && { uuid }),
    ...(icount !== undefined && { icount }),
  };
}

async function readFiles(settings: SystemSettings): Promise<BootFiles> {
  const { kernel, initrd } = settings;
  const files: { -readonly [K in keyof BootFiles]: BootFiles[K] } = {};
  const bios = chooseFirmware(settings);
  if (bios !== undefined) files.bios = await readSource('bios', bios);
  if (settings.firmwareFiles.length > 0) files.firmwareFiles = await readFirmwareFiles(settings.firmwareFiles);
  if (kernel === undefined) return files;
  files.kernel = await readSource('kernel', kernel);
  if (initrd === undefined) return files;
  const modules = typeof initrd === 'string' ? await readModules(files.kernel, initrd) : undefined;
  return modules === undefined ? { ...files, initrd: await readSource('initrd', initrd) } : { ...files, modules };
}

/** What QEMU takes for machine `pc` when `-bios` names nothing. */
const DEFAULT_FIRMWARE = 'bios-256k.bin';

/** A name that is no file is looked for in the folders of `-L`. */
function chooseFirmware({ bios, firmwareFolders, kernel, builtinGuest }: SystemSettings): FileSource | undefined {
  if (bios === undefined && (firmwareFolders.length === 0 || kernel !== undefined || builtinGuest)) return undefined;
  const name = bios ?? DEFAULT_FIRMWARE;
  if (typeof name !== 'string' || existsSync(name)) return name;
  return firmwareFolders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? name;
}

async function readFirmwareFiles(files: readonly FirmwareFile[]): Promise<Record<string, Uint8Array>> {
  const contents: Record<string, Uint8Array> = {};
  for (const { name, file, string, origin } of files) {
    contents[name] = file === undefined ? new TextEncoder().encode(string) : await readFirmwareFile(file, origin);
  }
  return contents;
}

async function readFirmwareFile(path: string, origin: string): Promise<Uint8Array> {
  try {
    return await readWholeFile(path);
  } catch (error) {
    const text = `${origin}: can't load ${path}: Failed to open file “${path}”: ${systemErrorText(error)}`;
    throw new Failure('io', text, { cause: error });
  }
}

/** A Multiboot kernel takes `-initrd` for a list of files with arguments; undefined for any other kernel. */
async function readModules(kernel: NamedBytes, list: string): Promise<ModuleFile[] | undefined> {
  const { detectKernel } = await import('../machine/boot/detect.ts');
  if (detectKernel(kernel.bytes, kernel.name) !== 'multiboot') return undefined;
  const { parseModuleList } = await import('../machine/boot/multiboot.ts');
  return Promise.all(
    parseModuleList(list).map(async ({ name, commandLine }) => ({ commandLine, ...(await readGuestFile('initrd', name)) })),
  );
}

const readSource = async (role: GuestFileRole, source: FileSource): Promise<NamedBytes> =>
  typeof source === 'string' ? readGuestFile(role, source) : source;

/** Devices are looked up only when there are any, so that the usual start does not load the catalogue. */
async function readDevices(settings: SystemSettings, chardevs: Chardevs): Promise<DeviceOptions[]> {
  if (settings.devices.length === 0 && settings.globals.length === 0) return [];
  const { readDeviceOptions } = await import('./device-options.ts');
  return readDeviceOptions(settings, (id, property) => chardevs.use(id, property));
}

/** Objects are looked at only when there are any. */
async function readObjects({ objects }: SystemSettings): Promise<Pick<MachineOptions, 'secrets' | 'throttleGroups'>> {
  if (objects.length === 0) return {};
  const { readMachineObjects } = await import('./machine-objects.ts');
  return readMachineObjects(objects);
}

function writePidfile(path: string): () => void {
  try {
    writeFileSync(path, `${process.pid}\n`);
  } catch (error) {
    throw new Failure('io', `cannot create PID file: Could not create '${path}': ${systemErrorText(error)}`, { cause: error });
  }
  return () => rmSync(path, { force: true });
}

/** What is left of the trace is written at the end of the process too. */
function openTrace({ trace, logFile }: SystemSettings, log: ((text: string) => void) | undefined, closers: (() => void)[]): TraceOutput {
  const output = openTraceOutput(trace, logFile === undefined ? undefined : log);
  const close = (): void => output.close();
  process.once('exit', close);
  closers.unshift(() => {
    process.off('exit', close);
    close();
  });
  return output;
}

function openLog({ logItems, logFile }: SystemSettings, closers: (() => void)[]): NonNullable<MachineOptions['log']> {
  if (logItems.length === 0 && logFile === undefined) return { items: [] };
  const descriptor = logFile === undefined ? process.stderr.fd : openLogFile(logFile);
  const log = new LogWriter(descriptor);
  const flush = (): void => log.flush();
  process.on('exit', flush);
  closers.push(() => {
    process.off('exit', flush);
    flush();
    if (logFile !== undefined) closeSync(descriptor);
  });
  return { items: logItems, write: (text) => log.write(text) };
}

function openLogFile(path: string): number {
  try {
    return openSync(path, 'w', 0o666);
  } catch (error) {
    throw new Failure('io', `Error opening logfile ${path}: ${systemErrorText(error)}`, { cause: error });
  }
}
