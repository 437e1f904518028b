// What a machine boots: reads the files once, and puts the images into memory and the processor into the state that the
// boot protocol asks for, at power-on and at every reset.
import { Failure } from '../base/failure.ts';
import type { Vcpu } from '../cpu/vcpu.ts';
import { cpuFeatures } from '../cpu/x86/cpuid.ts';
import type { BootInput } from '../machine/boot/boot-input.ts';
import { resetVectorState, type BootState } from '../machine/boot/boot-state.ts';
import { memoryMap } from '../machine/e820.ts';
import { loadKernel } from '../machine/boot/detect.ts';
import { giveKernelToFirmware } from '../machine/boot/kernel-files.ts';
import { cmosBootOrder } from '../devices/timer/mc146818.ts';
import type { Board } from '../machine/board.ts';
import type { BoardModel } from '../machine/board-model.ts';
import { setUpPci } from '../machine/boot/pci-setup.ts';
import { firmwareWrites, pirqLine } from '../machine/boot/power-on.ts';
import { loadRom, type RomImage } from '../machine/boot/rom.ts';
import { describeToFirmware, type FirmwareFilesConfig } from '../machine/firmware-files.ts';
import { placeFirmwareTables, type FirmwareTables } from '../machine/firmware-tables.ts';
import type { PhysicalMap } from '../memory/physical-map.ts';
import type { BootDrive } from '../ports/boot-drive.ts';
import type { MachinePlatform } from '../ports/platform.ts';
import { CPU_STATE_BYTES, type SEGMENT_REGISTERS } from '../cpu/x86/state.ts';
import { ISA_SERIAL_DEFAULTS } from '../devices/char/isa-serial.ts';
import { Bios } from '../machine/bios/bios.ts';
import type { Clock } from '../ports/clock.ts';
import { boardChoices, type CompleteMachineOptions, type FileSource } from './options.ts';

export interface NamedBytes {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface BootImages {
  readonly kernel?: NamedBytes;
  readonly initrds: readonly (NamedBytes & { readonly commandLine: string })[];
  readonly rom?: RomImage;
}

export async function loadBootImages(platform: MachinePlatform, options: CompleteMachineOptions): Promise<BootImages> {
  const read = async (source: FileSource): Promise<NamedBytes> =>
    typeof source === 'string' ? { name: source, bytes: await readFile(platform, source) } : source;
  const kernel = options.kernel === undefined ? undefined : await read(options.kernel);
  const initrd = options.initrd === undefined ? undefined : await read(options.initrd);
  const bios = options.bios === undefined ? undefined : await read(options.bios);
  if (kernel === undefined && (initrd !== undefined || options.append !== undefined)) {
    throw new Failure('invalid-argument', `${initrd === undefined ? '-append' : '-initrd'} only allowed with -kernel option`);
  }
  if (options.builtinGuest) {
    const { builtinGuest } = await import('../machine/boot/builtin-guest.ts');
    return { kernel: { name: 'built-in guest', bytes: builtinGuest() }, initrds: [] };
  }
  return {
    ...(kernel !== undefined && { kernel }),
    ...(bios !== undefined && { rom: loadRom(bios.bytes, bios.name) }),
    initrds: initrd === undefined ? options.modules : [{ ...initrd, commandLine: '' }],
  };
}

async function readFile(platform: MachinePlatform, path: string): Promise<Uint8Array> {
  try {
    return await platform.readFile(path);
  } catch (error) {
    throw new Failure('io', `could not open '${path}': ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

export interface BootTarget {
  readonly model: BoardModel;
  readonly board: Board;
  readonly memory: PhysicalMap;
  readonly vcpu: Vcpu;
  /** Firmware is in flash memory, which the board has already; a ROM is then not looked at. */
  readonly flashed: boolean;
}

const NO_BYTES = new Uint8Array(0);
const NO_UUID = '00000000-0000-0000-0000-000000000000';

/** Drives with a `bootindex`, in its order. */
function bootPaths(drives: readonly BootDrive[]): string[] {
  const listed = drives.filter(({ bootIndex }) => bootIndex !== undefined).sort((a, b) => a.bootIndex! - b.bootIndex!);
  return listed.flatMap(({ firmwarePath }) => firmwarePath ?? []);
}

function firmwareConfig(options: CompleteMachineOptions, { model, board }: SetUpTarget): FirmwareFilesConfig {
  const { ramBytes, cpuCount, machine, boot } = options;
  const { menu, menuTimeoutMs, retryMs, strict } = boot;
  return {
    hardware: model.acpi(boardChoices(machine)), ecam: model.ecam, ramBytes, cpuCount,
    hpet: board.hasHpet, acpi: machine.acpi, graphics: machine.graphics ?? true,
    serialPorts: Math.min(2, Math.max(1, options.serials.length)),
    identity: {
      uuid: options.uuid ?? NO_UUID, manufacturer: 'nandu', product: model.description, version: model.name, serial: '',
    },
    boot: { menu, menuTimeoutMs, retryMs, strict, paths: bootPaths(board.bootDrives) },
  };
}

type SetUpTarget = Omit<BootTarget, 'vcpu' | 'flashed'>;

/** What firmware does to the board and leaves in memory, but for the BIOS itself. */
function setUpBoard(options: CompleteMachineOptions, { model, board, memory }: SetUpTarget): FirmwareTables {
  for (const { space, address, sizeBytes, value } of firmwareWrites(model.powerOn)) {
    (space === 'port' ? board.bus.ports : board.bus.mmio).write(address, sizeBytes, value);
  }
  const ram = (physical: number, bytes: Uint8Array): void => memory.writeRam(physical, bytes);
  const tables = placeFirmwareTables(ram, firmwareConfig(options, { model, board, memory }));
  const { chipset } = board;
  if (chipset !== undefined) {
    const interruptLine = (device: number, pin: number): number => pirqLine(chipset.pci.pirqOf(device, pin));
    setUpPci(board.bus.ports, { memory: tables.memory.pciWindows.at(-1)!, interruptLine });
  }
  return tables;
}

export interface BiosMachine extends Omit<BootTarget, 'flashed'> {
  readonly clock: Clock;
  readonly yield: () => void;
  readonly reset: () => void;
  readonly isFirstStart: () => boolean;
}

/** The BIOS of a machine that boots neither a kernel nor a ROM; its own ROM becomes the machine's. */
export function buildBios(options: CompleteMachineOptions, { model, board, memory, vcpu, ...wires }: BiosMachine): RomImage {
  const bios = new Bios({
    ...wires, bus: board.bus, memory, memoryMap: (tableBytes) => memoryMap(options.ramBytes, tableBytes, model.ecam),
    processor: new DataView(vcpu.u32.buffer, vcpu.area, CPU_STATE_BYTES),
    segmentsChanged: () => vcpu.support.updateMode(),
    powerOn: () => setUpBoard(options, { model, board, memory }),
    writeRam: (physical, bytes) => memory.writeRam(physical, bytes),
    drives: () => board.bootDrives,
    boot: options.boot,
    serialConsole: board.serialCount > 0 ? ISA_SERIAL_DEFAULTS[0].iobase : undefined,
  });
  board.devices.add('bios', bios);
  return loadRom(bios.rom.bytes, 'built-in BIOS');
}

/** The processor starts at the reset vector of a ROM or of flash memory. */
export const hasFirmware = ({ rom }: BootImages, { flashed }: Pick<BootTarget, 'flashed'>): boolean => rom !== undefined || flashed;

/** `resets`: how often the machine has been reset since it was switched on. */
export function placeBootImages(images: BootImages, options: CompleteMachineOptions, target: BootTarget, resets: number): void {
  const { model, board, memory, vcpu } = target;
  const config = firmwareConfig(options, target);
  const { chipset } = board;
  const atGuestsWill = (): FirmwareFilesConfig => ({ ...config, ecam: chipset?.ecam?.() ?? model.ecam, pmPort: chipset?.pmPort() });
  describeToFirmware(board.fwCfg, config, atGuestsWill);
  for (const [name, content] of Object.entries(options.firmwareFiles)) board.fwCfg.addFile(name, content);
  const { order, once = order } = options.boot;
  board.rtc?.setCmos(cmosBootOrder(resets === 0 ? once : order));
  if (hasFirmware(images, target)) {
    if (images.kernel !== undefined) {
      const [initrd] = images.initrds;
      const kernel = images.kernel.bytes;
      giveKernelToFirmware(board.fwCfg, { kernel, initrd: initrd?.bytes ?? NO_BYTES, commandLine: options.append ?? '' });
    }
    if (images.rom !== undefined && !target.flashed && resets === 0) board.shadow.mapRom(images.rom.regions);
    applyBootState(vcpu, resetVectorState());
    return;
  }
  const ram = (physical: number, bytes: Uint8Array): void => memory.writeRam(physical, bytes);
  const { memory: map, rsdpAddress } = setUpBoard(options, target);
  if (images.kernel === undefined) return;
  const commandLine = `${options.append ?? ''}${board.kernelArguments?.() ?? ''}`;
  const input: BootInput = {
    kernel: images.kernel.bytes, kernelName: images.kernel.name, commandLine, modules: images.initrds,
    memory: map, rsdpAddress, longMode: cpuFeatures(options.cpu.model, longModeOverride(options)).has('lm'),
  };
  applyBootState(vcpu, loadKernel(ram, input));
}

function longModeOverride({ cpu }: CompleteMachineOptions): Record<string, boolean> {
  const last = cpu.overrides.filter(({ name, value }) => name === 'lm' && typeof value === 'boolean').at(-1);
  return last === undefined ? {} : { lm: last.value === true };
}

export function applyBootState(vcpu: Vcpu, state: BootState): void {
  vcpu.set64('rip', BigInt(state.rip));
  for (const [name, value] of Object.entries(state.registers)) vcpu.set64(name, BigInt(value));
  for (const name of ['cr0', 'cr3', 'cr4', 'efer'] as const) vcpu.set64(name, BigInt(state[name]));
  vcpu.set32('eflags', state.eflags | 2);
  for (const [name, segment] of Object.entries(state.segments)) {
    vcpu.setSegment(name as (typeof SEGMENT_REGISTERS)[number], { ...segment, base: BigInt(segment.base) });
  }
  vcpu.set64('gdtrBase', BigInt(state.gdtr.base));
  vcpu.set32('gdtrLimit', state.gdtr.limit);
  vcpu.set64('idtrBase', BigInt(state.idtr.base));
  vcpu.set32('idtrLimit', state.idtr.limit);
  vcpu.support.updateMode();
  vcpu.support.flushTlb();
}
