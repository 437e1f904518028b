// The arguments of nandu-system-x86_64's options that have a syntax or rules of their own. See system-options.ts.
import { Failure } from '../base/failure.ts';
import { CPU_MODELS, cpuFeatures, FEATURES } from '../cpu/x86/cpuid.ts';
import { BOARD_MODELS, boardModel, microvmModel } from '../machine/board-model.ts';
import { GUEST_RAM_BYTES_MAX } from '../memory/memory-map.ts';
import { inContext } from '../schema/command-line.ts';
import { parseKeyValue } from '../schema/key-value.ts';
import { bool, choice, propertiesFromText, size, str, uint, type Properties, type PropertyValues } from '../schema/property.ts';
import { formatSize } from '../schema/size.ts';
import {
  DEFAULT_BOOT_ORDER, DEFAULT_RAM_BYTES, type BootOptions, type CpuPropertyOverride, type IcountOptions, type LogItem, type RtcOptions,
} from '../vm/options.ts';
import type { FirmwareFile, SystemSettings } from './system-settings.ts';

const invalid = (message: string): Failure => new Failure('invalid-argument', message);
const unsupported = (message: string): Failure => new Failure('unsupported', message);
const isHelp = (text: string): boolean => text === 'help' || text === '?';

// -machine

function machineHelp(): string {
  const lines = BOARD_MODELS.flatMap(({ alias, name, description }, index) => [
    ...(alias === undefined ? [] : [`${alias.padEnd(20)} ${description} (alias of ${name})`]),
    `${name.padEnd(20)} ${description}${index === 0 ? ' (default)' : ''}`,
  ]);
  return ['Supported machines are:', ...lines, ''].join('\n');
}

const machineProperties = {
  type: { type: str },
  accel: { type: str },
  acpi: { type: choice('on', 'off', 'auto') },
  kernel: { type: str },
  initrd: { type: str },
  append: { type: str },
  firmware: { type: str },
  graphics: { type: bool },
  pic: { type: choice('on', 'off', 'auto') },
  pit: { type: choice('on', 'off', 'auto') },
  usb: { type: bool },
  // Accepted, because scripts give them and nothing depends on them here; what would have to be there is refused when it is asked for.
  smm: { type: choice('on', 'off', 'auto') },
  'dump-guest-core': { type: bool },
  'mem-merge': { type: bool },
} as const satisfies Properties;

const pcProperties = {
  hpet: { type: bool }, pflash0: { type: str }, pflash1: { type: str }, vmport: { type: choice('on', 'off', 'auto') },
} as const satisfies Properties;

const microvmProperties = {
  rtc: { type: choice('on', 'off', 'auto') },
  'isa-serial': { type: bool },
  'auto-kernel-cmdline': { type: bool },
  ioapic2: { type: choice('on', 'off', 'auto') },
  pcie: { type: choice('on', 'off', 'auto') },
  'x-option-roms': { type: bool },
} as const satisfies Properties;

type MachineValues = PropertyValues<typeof machineProperties & typeof pcProperties & typeof microvmProperties>;

export function applyMachine(settings: SystemSettings, text: string): string | void {
  if (isHelp(text) || isHelp(text.replace(/^type=/, ''))) return machineHelp();
  const type = parseKeyValue(text, 'type').find(({ name }) => name === 'type')?.value ?? settings.machineType;
  const model = boardModel(type);
  if (model === undefined) throw invalid('unsupported machine type (use -machine help to list supported machines)');
  const unknown = (name: string): Failure => invalid(`Property '${model.name}-machine.${name}' not found`);
  const own = model === microvmModel ? microvmProperties : pcProperties;
  const values: MachineValues = propertiesFromText({ ...machineProperties, ...own }, text, { impliedName: 'type', unknown });
  settings.machineType = model.name;
  applyMicrovm(settings, values);
  if (values.accel !== undefined) chooseAccelerator(values.accel.split(':'));
  if (values.usb === true) throw unsupported('USB is not supported yet');
  if (values.smm === 'on') throw unsupported('System Management Mode is not supported yet');
  if (values.vmport === 'on') throw unsupported('the VMware port is not supported yet');
  if (values.acpi !== undefined) settings.acpi = values.acpi !== 'off';
  if (values.pic !== undefined) settings.pic = values.pic !== 'off';
  if (values.pit !== undefined) settings.pit = values.pit !== 'off';
  settings.hpet = values.hpet ?? settings.hpet;
  settings.graphics = values.graphics ?? settings.graphics;
  settings.pflash[0] = values.pflash0 ?? settings.pflash[0];
  settings.pflash[1] = values.pflash1 ?? settings.pflash[1];
  settings.kernel = values.kernel ?? settings.kernel;
  settings.initrd = values.initrd ?? settings.initrd;
  settings.append = values.append ?? settings.append;
  settings.bios = values.firmware ?? settings.bios;
}

function applyMicrovm(settings: SystemSettings, values: MachineValues): void {
  if (values.pcie === 'on') throw unsupported('PCI Express is not supported yet for machine microvm');
  if (values.ioapic2 === 'on') throw unsupported('a second I/O APIC is not supported yet');
  const { microvm } = settings;
  settings.microvm = {
    ...microvm,
    rtc: values.rtc === undefined ? microvm.rtc : values.rtc !== 'off',
    isaSerial: values['isa-serial'] ?? microvm.isaSerial,
    autoKernelCmdline: values['auto-kernel-cmdline'] ?? microvm.autoKernelCmdline,
  };
}

// -accel

const ACCELERATORS_LATER = new Set(['kvm', 'xen', 'hax', 'hvf', 'nvmm', 'whpx', 'qtest']);

/** The first of a list that there is; with none, the error is about the last. */
function chooseAccelerator(names: readonly string[]): void {
  if (names.includes('tcg')) return;
  const name = names.at(-1) ?? '';
  if (name === '') throw invalid('no accelerator found');
  if (ACCELERATORS_LATER.has(name)) throw unsupported(`accelerator ${name} is not supported yet, use tcg`);
  throw invalid(`invalid accelerator ${name}`);
}

const tcgProperties = {
  accel: { type: str },
  translate: { type: bool },
  interpreter: { type: bool },
  'promote-at': { type: uint(32) },
  thread: { type: str },
  'tb-size': { type: uint(32) },
  'one-insn-per-tb': { type: bool },
  report: { type: str },
  'split-wx': { type: bool },
} as const satisfies Properties;

export function applyAccel(settings: SystemSettings, text: string): string | void {
  if (isHelp(text)) return 'Accelerators supported in nandu:\ntcg\n';
  const [first] = parseKeyValue(text, 'accel');
  if (first?.name === 'accel') chooseAccelerator([first.value]);
  const unknown = (name: string): Failure => invalid(`Property 'tcg-accel.${name}' not found`);
  const given = propertiesFromText(tcgProperties, text, { impliedName: 'accel', unknown });
  const { translate, interpreter, thread } = given;
  if (thread !== undefined && thread !== 'single' && thread !== 'multi') throw invalid(`Invalid 'thread' setting ${thread}`);
  if (given['promote-at'] === 0) throw invalid("Parameter 'promote-at' expects a number greater than 0");
  settings.translate = interpreter === undefined ? (translate ?? settings.translate) : !interpreter;
  settings.promoteAt = given['promote-at'] ?? settings.promoteAt;
  settings.oneInstructionBlocks = given['one-insn-per-tb'] ?? settings.oneInstructionBlocks;
  settings.translationReport = given.report ?? settings.translationReport;
  settings.translationBytesMax = given['tb-size'] === undefined ? settings.translationBytesMax : given['tb-size'] * 2 ** 20;
}

// -cpu

const CPU_ALIASES: Readonly<Record<string, string>> = { 'qemu64-v1': 'qemu64' };

export function applyCpu(settings: SystemSettings, text: string): string | void {
  if (isHelp(text)) return cpuHelp();
  const [name = '', ...words] = text.split(',');
  const model = CPU_ALIASES[name] ?? name;
  cpuFeatures(model); // it throws when there is no such model
  settings.cpuModel = model;
  settings.cpuOverrides.splice(0, Infinity, ...words.map((word) => parseOverride(model, word)));
}

function cpuHelp(): string {
  const models = [...CPU_MODELS].sort((a, b) => (a.name < b.name ? -1 : 1));
  const flags = Object.keys(FEATURES).sort().join(' ').match(/.{1,74}(?= |$)/g)!;
  const lines = models.map((model) => `x86 ${model.name.padEnd(20)}  ${model.description}`);
  return ['Available CPUs:', ...lines, '', 'Recognized CPUID flags:', ...flags.map((line) => `  ${line.trim()}`), ''].join('\n');
}

/** `+nx` and `-nx`, or `nx` and `nx=on`: the error names what was to be set. */
function parseOverride(model: string, word: string): CpuPropertyOverride {
  const sign = word[0] === '+' || word[0] === '-' ? word[0] : undefined;
  const [name = '', value = 'on'] = sign === undefined ? word.split('=') : [word.slice(1), sign === '+' ? 'on' : 'off'];
  const check = (): CpuPropertyOverride => {
    cpuFeatures(model, { [name]: true });
    return { name, value: bool.fromText(name, value) };
  };
  return sign === undefined ? inContext(`can't apply global ${model}-x86_64-cpu.${name}=${value}`, check) : check();
}

// -smp

const SMP_MAX = 1;
const TOPOLOGY = ['cpus', 'maxcpus', 'sockets', 'dies', 'clusters', 'cores', 'threads'] as const;

export function parseSmp(text: string): number {
  const counts: Partial<Record<string, number>> = {};
  for (const { name, value } of parseKeyValue(text, 'cpus')) {
    if (!TOPOLOGY.some((known) => known === name)) throw invalid(`Parameter 'smp.${name}' is unexpected`);
    if (!/^-?\d+$/.test(value)) throw invalid(`Parameter 'smp.${name}' expects integer`);
    counts[name] = Number(value);
  }
  const { sockets = 1, dies = 1, clusters = 1, cores = 1, threads = 1 } = counts;
  const product = sockets * dies * clusters * cores * threads;
  const cpus = counts['cpus'] ?? product;
  for (const count of [cpus, counts['maxcpus'] ?? cpus, product]) {
    if (count > SMP_MAX || count < 0) {
      throw invalid(`Invalid SMP CPUs ${count}. The max CPUs supported by machine 'pc-i440fx-7.2' is ${SMP_MAX}`);
    }
    if (count === 0) throw invalid('Invalid CPU topology: CPU topology parameters must be greater than zero');
  }
  return cpus;
}

// -m

const RAM_BYTES_MIN = 2 * 1024 * 1024;
const RAM_GRANULE_BYTES = 64 * 1024; // a page of WebAssembly memory

export function parseMemory(text: string): number {
  const memory = { size: { type: size('m') }, slots: { type: str }, maxmem: { type: size('m') } } as const;
  const { size: asked = DEFAULT_RAM_BYTES, slots, maxmem } = propertiesFromText(memory, text, { impliedName: 'size' });
  if (slots !== undefined || maxmem !== undefined) throw unsupported('memory hot-plug (slots, maxmem) is not supported yet');
  const bytes = asked === 0 ? DEFAULT_RAM_BYTES : Math.ceil(asked / RAM_GRANULE_BYTES) * RAM_GRANULE_BYTES;
  if (bytes < RAM_BYTES_MIN) throw invalid(`guest memory must be at least ${formatSize(RAM_BYTES_MIN)}`);
  if (bytes > GUEST_RAM_BYTES_MAX) {
    throw new Failure('limit', `guest memory can be at most ${formatSize(GUEST_RAM_BYTES_MAX)} (the limit of a wasm32 memory)`);
  }
  return bytes;
}

// -global, -boot, -fw_cfg, -display, -vga

function parseGlobal(text: string): SystemSettings['globals'][number] {
  const origin = `-global ${text}`;
  const short = /^(?<driver>[^.=,]+)\.(?<property>[^=]+)=(?<value>.*)$/.exec(text)?.groups;
  if (short !== undefined) return { driver: short['driver']!, property: short['property']!, value: short['value']!, origin };
  const declared = { driver: { type: str }, property: { type: str }, value: { type: str } } as const;
  const { driver, property, value } = propertiesFromText(declared, text);
  if (driver === undefined || property === undefined || value === undefined) throw invalid(`Invalid parameter '${text}'`);
  return { driver, property, value, origin };
}

export function applyGlobal(settings: SystemSettings, text: string): void {
  const global = parseGlobal(text);
  // The windows that virtio devices plug into are the board's, and no -device.
  if (global.driver === 'virtio-mmio' && global.property === 'force-legacy') {
    settings.microvm = { ...settings.microvm, legacyVirtio: inContext(global.origin, () => bool.fromText(global.property, global.value)) };
  } else settings.globals.push(global);
}

const bootProperties = {
  order: { type: str },
  once: { type: str },
  menu: { type: bool },
  strict: { type: bool },
  splash: { type: str },
  'splash-time': { type: str },
  'reboot-timeout': { type: str },
} as const satisfies Properties;

const BOOT_TIME_MAX = 0xffff;

function bootTime(name: string, text: string | undefined, min: number, shown: string): number | undefined {
  if (text === undefined) return undefined;
  if (!/^-?\d+$/.test(text)) throw invalid(`Parameter 'boot.${name}' expects integer`);
  const value = Number(text);
  if (value < min || value > BOOT_TIME_MAX) throw invalid(`${shown} is invalid,it should be a value between ${min} and ${BOOT_TIME_MAX}`);
  return value;
}

export function parseBoot(text: string): BootOptions {
  const unknown = (name: string): Failure => invalid(`Parameter 'boot.${name}' is unexpected`);
  const given = propertiesFromText(bootProperties, text, { impliedName: 'order', unknown });
  const { order = DEFAULT_BOOT_ORDER, once, menu = false, strict = false, splash } = given;
  if (splash !== undefined) throw unsupported('there is no display to show a splash picture on');
  for (const drives of [order, once ?? '']) checkDrives(drives);
  const menuTimeoutMs = bootTime('splash-time', given['splash-time'], 0, 'splash-time');
  const retryMs = bootTime('reboot-timeout', given['reboot-timeout'], -1, 'reboot timeout');
  return {
    order, menu, strict,
    ...(once !== undefined && { once }),
    ...(menuTimeoutMs !== undefined && { menuTimeoutMs }),
    ...(retryMs !== undefined && retryMs >= 0 && { retryMs }),
  };
}

function checkDrives(drives: string): void {
  for (const [index, drive] of [...drives].entries()) {
    if (drive < 'a' || drive > 'p') throw invalid(`Invalid boot device '${drive}'`);
    if (drives.indexOf(drive) < index) throw invalid(`Boot device '${drive}' was given twice`);
  }
}

const FW_CFG_NAME_MAX = 55;
const firmwareFileProperties = {
  name: { type: str },
  file: { type: str },
  string: { type: str },
  gen_id: { type: str },
} as const satisfies Properties;

export function parseFirmwareFile(text: string): FirmwareFile {
  const { name, file, string, gen_id: generator } = propertiesFromText(firmwareFileProperties, text, { impliedName: 'name' });
  const sources = [file, string, generator].filter((source) => source !== undefined && source !== '');
  if (name === undefined || name === '' || sources.length !== 1) {
    throw invalid('name, plus exactly one of file, string and gen_id, are needed');
  }
  if (name.length > FW_CFG_NAME_MAX) throw invalid(`name too long (max. ${FW_CFG_NAME_MAX} char)`);
  if (generator !== undefined) throw unsupported('gen_id is not supported yet');
  return { name, file, string, origin: `-fw_cfg ${text}` };
}

const DISPLAYS_LATER = new Set(['gtk', 'sdl', 'vnc', 'curses', 'egl-headless', 'spice-app', 'dbus', 'cocoa', 'default']);

export function checkDisplay(text: string): string | void {
  const [type = ''] = text.split(/[,=]/);
  if (isHelp(text)) return 'Available display backend types:\nnone\n';
  if (DISPLAYS_LATER.has(type)) throw unsupported('not supported yet, use none');
  if (type !== 'none') throw invalid(`Parameter 'type' does not accept value '${type}'`);
}

const VGA_LATER = new Set(['std', 'cirrus', 'vmware', 'qxl', 'xenfb', 'tcx', 'cg3', 'virtio']);

export function checkVga(text: string): string | void {
  if (isHelp(text)) return 'none                 no graphic card\n';
  if (VGA_LATER.has(text)) throw unsupported(`-vga ${text}: not supported yet, use none`);
  if (text !== 'none') throw invalid(`unknown vga type: ${text}`);
}

// -uuid, -rtc, -icount

export function parseUuid(text: string): string {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) throw invalid('failed to parse UUID string: wrong format');
  return text.toLowerCase();
}

const rtcProperties = {
  base: { type: str },
  clock: { type: str },
  driftfix: { type: str },
} as const satisfies Properties;

const oneOf = <T extends string>(text: string, ...values: readonly T[]): T => {
  const value = values.find((candidate) => candidate === text);
  if (value === undefined) throw invalid(`invalid option value '${text}'`);
  return value;
};

export function parseRtc(text: string): RtcOptions {
  const { base = 'utc', clock = 'host', driftfix = 'none' } = propertiesFromText(rtcProperties, text);
  oneOf(driftfix, 'none', 'slew'); // no tick is ever lost here, so there is nothing to slew
  return { base: base === 'utc' || base === 'localtime' ? base : { startMs: parseDate(base) }, clock: oneOf(clock, 'host', 'rt', 'vm') };
}

function parseDate(text: string): number {
  const startMs = /^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d)?$/.test(text) ? Date.parse(text.length > 10 ? `${text}Z` : text) : Number.NaN;
  if (Number.isNaN(startMs)) throw invalid("invalid datetime format, valid formats: '2006-06-17T16:01:21' or '2006-06-17'");
  return startMs;
}

const icountProperties = {
  shift: { type: str },
  sleep: { type: bool },
  align: { type: bool },
  rr: { type: str },
  rrfile: { type: str },
  rrsnapshot: { type: str },
} as const satisfies Properties;
const ICOUNT_SHIFT_MAX = 10;

export function parseIcount(text: string): IcountOptions {
  const { shift, sleep = true, align = false, rr } = propertiesFromText(icountProperties, text, { impliedName: 'shift' });
  if (rr !== undefined) throw unsupported('record and replay is not supported yet');
  if (align) throw unsupported('align=on is not supported yet');
  if (shift === undefined) throw invalid('icount: missing shift value');
  if (shift === 'auto') return { shift, sleep };
  if (!/^\d+$/.test(shift) || Number(shift) > ICOUNT_SHIFT_MAX) throw invalid('icount: Invalid shift value');
  return { shift: Number(shift), sleep };
}

// -action

const actionProperties = {
  reboot: { type: choice('reset', 'shutdown') },
  shutdown: { type: choice('poweroff', 'pause') },
  panic: { type: choice('pause', 'shutdown', 'exit-failure', 'none') },
  watchdog: { type: choice('reset', 'shutdown', 'poweroff', 'inject-nmi', 'pause', 'debug', 'none') },
} as const satisfies Properties;

export function applyAction(settings: SystemSettings, text: string): void {
  const { reboot, shutdown, panic, watchdog } = propertiesFromText(actionProperties, text);
  if ((panic ?? 'shutdown') !== 'shutdown') throw unsupported(`panic=${panic} is not supported yet`);
  if ((watchdog ?? 'reset') !== 'reset') throw unsupported(`watchdog=${watchdog} is not supported yet`);
  if (reboot !== undefined) settings.noReboot = reboot === 'shutdown';
  if (shutdown !== undefined) settings.noShutdown = shutdown === 'pause';
}

// -d

const LOG_ITEMS: Readonly<Record<LogItem, string>> = {
  in_asm: 'show guest code as it is decoded',
  op: 'show the operations of each block as it is decoded',
  out_asm: 'show the WebAssembly of each region as it is made, with the guest code in it',
  int: 'show interrupts and exceptions, one line each',
  exec: 'show each block before it runs (lots of logs)',
  cpu_reset: 'show the CPU state before CPU resets',
  guest_errors: 'show what the guest does wrong (a register that is not there, say)',
};
// prettier-ignore
const LOG_ITEMS_LATER = new Set(['op_opt', 'op_ind', 'cpu', 'fpu', 'mmu', 'pcall', 'unimp', 'page', 'nochain', 'plugin', 'strace', 'tid']);

const logItemLines = Object.entries(LOG_ITEMS).map(([name, help]) => `${name.padEnd(15)} ${help}\n`);
const LOG_HELP = `Log items (comma separated):\n${logItemLines.join('')}`;

const isLogItem = (text: string): text is LogItem => Object.hasOwn(LOG_ITEMS, text);

export function applyLog(settings: SystemSettings, text: string): string | void {
  if (isHelp(text)) return LOG_HELP;
  settings.logItems = text.split(',').map((item) => {
    if (isLogItem(item)) return item;
    if (LOG_ITEMS_LATER.has(item) || item.startsWith('trace:')) throw unsupported(`log item '${item}' is not supported yet`);
    throw invalid(`unknown log item '${item}' (use -d help for a list)`);
  });
}

// -trace

const TRACE_BUFFER_MAX = 10_000_000;
const traceProperties = { enable: { type: str }, events: { type: str }, file: { type: str }, buffer: { type: uint(32) } };

export function applyTrace({ trace }: SystemSettings, text: string): void {
  if (isHelp(text)) {
    trace.help = true;
    return;
  }
  const { enable, events, file, buffer } = propertiesFromText(traceProperties, text, { impliedName: 'enable' });
  const isRing = buffer === undefined || (buffer >= 1 && buffer <= TRACE_BUFFER_MAX);
  if (!isRing) throw invalid(`buffer must be from 1 to ${TRACE_BUFFER_MAX} events`);
  const origin = `-trace ${text}`;
  if (enable !== undefined) trace.enabled.push({ kind: 'pattern', text: enable, origin });
  if (events !== undefined) trace.enabled.push({ kind: 'file', text: events, origin });
  trace.file = file ?? trace.file;
  trace.bufferEvents = buffer ?? trace.bufferEvents;
}
