// The options of nandu-system-x86_64 as rows: name, syntax, explanation, effect on the settings. Spelling, defaults and
// error texts are QEMU 7.2's. The values with a syntax of their own are in option-values.ts.
import { Failure } from '../base/failure.ts';
import { CHARDEV_HELP, parseChardev, parseCharTarget } from '../chardev/spec.ts';
import type { CommandLine, OptionDeclaration, OptionSection } from '../schema/command-line.ts';
import { bool, choice, propertiesFromText, str } from '../schema/property.ts';
import type { DriveOptions } from '../vm/options.ts';
import { cdImage, diskImage, flashImage, floppyImage, parseBlockdev, parseDrive } from './drive-options.ts';
import * as value from './option-values.ts';
import { addSerial, declareTarget, type SystemSettings } from './system-settings.ts';
import { COPYRIGHT, VERSION } from './version.ts';
import { formatHelp } from '../schema/command-line.ts';

type Row = OptionDeclaration<SystemSettings>;

export const VERSION_TEXT = `nandu emulator version ${VERSION}\n${COPYRIGHT}\n`;

const notYet = (): never => {
  throw new Failure('unsupported', 'not supported yet');
};

// prettier-ignore
const standard: readonly Row[] = [
  { name: 'h', aliases: ['help'], help: ['display this help and exit'], apply: () => helpText() },
  { name: 'version', help: ['display version information and exit'], apply: () => VERSION_TEXT },
  { name: 'machine', aliases: ['M'], argument: '[type=]name[,prop[=value][,...]]', help: [
    "selects the emulated machine ('-machine help' for a list)",
    'accel=tcg         accelerator', 'acpi=on|off       ACPI tables (default: on)', 'hpet=on|off       HPET timer (default: on)',
    'graphics=on|off   off: firmware puts its messages on the first serial port',
    'pflash0=node, pflash1=node   block nodes with the contents of flash memory',
    'kernel=, initrd=, append=, firmware=   same as -kernel, -initrd, -append, -bios',
  ], plainErrors: true, apply: value.applyMachine },
  { name: 'cpu', argument: 'model[,+feature][,-feature][,property=value]', help: ["selects the CPU model ('-cpu help' for a list)"],
    plainErrors: true, apply: value.applyCpu },
  { name: 'accel', argument: '[accel=]accelerator[,prop[=value][,...]]', help: [
    "selects the accelerator ('-accel help' for a list)", 'thread=single|multi   accepted for compatibility',
    'interpreter=on|off    leave all code to the interpreter (default: off)',
    'promote-at=n          executions after which a block is translated to WebAssembly',
    'tb-size=n             MiB of translated code after which all of it is dropped',
    'one-insn-per-tb=on|off  blocks of one instruction (default: off)',
    'report=file           report at the end, with how translated code is left',
  ], apply: value.applyAccel },
  { name: 'smp', argument: '[[cpus=]n][,maxcpus=n][,sockets=n][,cores=n][,threads=n]', help: ['number of CPUs [default=1]; more than 1 is not supported yet'],
    plainErrors: true, apply: (settings, text) => { settings.cpuCount = value.parseSmp(text); } },
  { name: 'm', argument: '[size=]megs', help: ['guest memory in MiB, or with a suffix (512M, 2G) [default=128]'],
    apply: (settings, text) => { settings.ramBytes = value.parseMemory(text); } },
  { name: 'global', argument: 'driver.property=value', help: ['sets a default for a property of a -device'],
    apply: value.applyGlobal },
  { name: 'boot', argument: '[order=drives][,once=drives][,menu=on|off][,strict=on|off]', help: [
    'what firmware boots from: a floppy, c hard disk, d CD, n network [default=cad]',
    'splash-time=ms    how long the boot menu is offered', 'reboot-timeout=ms wait before trying again when nothing could be booted',
  ], plainErrors: true, apply: (settings, text) => { settings.boot = value.parseBoot(text); } },
  { name: 'device', argument: 'driver[,prop[=value][,...]]', help: [
    'adds a device; also as JSON: {"driver": ...}', "'-device help' lists the devices, '-device driver,help' their properties",
  ], apply: (settings, text) => { settings.devices.push({ text, origin: `-device ${text}` }); } },
  { name: 'name', argument: 'string', help: ["sets the guest's name"], apply: (settings, text) => {
    settings.name = propertiesFromText({ guest: { type: str }, process: { type: str }, 'debug-threads': { type: bool } }, text, { impliedName: 'guest' }).guest;
  } },
  { name: 'uuid', argument: '8-4-4-4-12 hex digits', help: ["sets the machine's UUID"],
    apply: (settings, text) => { settings.uuid = value.parseUuid(text); } },
];

/** `-hda FILE` and its like. */
const imageRow = (name: string, help: string, drive: (file: string, origin: string) => DriveOptions): Row => ({
  name, argument: 'file', help: [help], apply: (settings, file) => { settings.drives.push(drive(file, `-${name} ${file}`)); },
});

// prettier-ignore
const blockDevices: readonly Row[] = [
  imageRow('fda', 'floppy disk image', (file, origin) => floppyImage(0, file, origin)),
  imageRow('fdb', 'second floppy disk image', (file, origin) => floppyImage(1, file, origin)),
  imageRow('hda', 'hard disk image', (file, origin) => diskImage(0, file, origin)),
  imageRow('hdb', 'second hard disk image', (file, origin) => diskImage(1, file, origin)),
  imageRow('hdc', 'third hard disk image', (file, origin) => diskImage(2, file, origin)),
  imageRow('hdd', 'fourth hard disk image', (file, origin) => diskImage(3, file, origin)),
  imageRow('cdrom', 'CD-ROM image', cdImage),
  { name: 'blockdev', argument: '[driver=]driver,node-name=name[,option=value][,...]', help: ['adds a block node, which devices name; also as JSON'],
    apply: (settings, text) => { settings.blockdevs.push(parseBlockdev(text, `-blockdev ${text}`)); } },
  { name: 'drive', argument: '[file=file][,if=type][,option=value][,...]', help: [
    'adds a drive: an image and where it is attached', 'if=none|virtio|ide|scsi|floppy|pflash   interface', 'index=n, bus=n, unit=n   place',
    'id=name   for -device ...,drive=name', 'media=disk|cdrom, format=name, read-only=on|off, snapshot=on|off',
    'cache=writeback|none|writethrough|directsync|unsafe, copy-on-read=on|off', 'discard=ignore|unmap, detect-zeroes=off|on|unmap',
    'werror=enospc|report|ignore|stop, rerror=report|ignore|stop', 'bps, iops, bps_rd, ... bps_max, bps_max_length, iops_size, group   limits',
  ], apply: (settings, text) => { settings.drives.push(parseDrive(text, `-drive ${text}`)); } },
  imageRow('pflash', 'image of the flash memory', flashImage),
  { name: 'snapshot', help: ['writes go to temporary files; images stay as they are'], apply: (settings) => { settings.snapshot = true; } },
];

// prettier-ignore
const display: readonly Row[] = [
  { name: 'display', argument: 'none', help: ['selects the display; there is none yet'], apply(settings, text) {
    settings.displayGiven = true;
    return value.checkDisplay(text);
  } },
  { name: 'nographic', help: ['no display; the first serial port and the monitor are on the terminal'],
    apply(settings) {
      settings.nographic = true;
      settings.graphics = false;
    } },
  { name: 'vga', argument: 'none', help: ['selects the video card; there is none yet'], plainErrors: true,
    apply: (_settings, text) => value.checkVga(text) },
];

// prettier-ignore
const pcOnly: readonly Row[] = [
  { name: 'no-acpi', help: ['disables ACPI'], apply: (settings) => { settings.acpi = false; } },
  { name: 'no-hpet', help: ['disables the HPET'], apply: (settings) => { settings.hpet = false; } },
];

const noNetwork = (text: string): void => {
  if (text !== 'none') notYet();
};

// prettier-ignore
const network: readonly Row[] = [
  { name: 'nic', argument: 'none', help: ['no network card; there is none yet'], apply: (_settings, text) => noNetwork(text) },
  { name: 'net', argument: 'none', help: ['same as -nic none'], apply: (_settings, text) => noNetwork(text) },
];

// prettier-ignore
const character: readonly Row[] = [
  { name: 'chardev', argument: 'kind,id=id[,mux=on|off]', help: [
    'declares a character back end', 'null', 'stdio[,signal=on|off]', 'file,path=path[,append=on|off]', 'ringbuf[,size=bytes]',
    'socket,path=path[,server=on|off][,wait=on|off]', 'socket,host=host,port=port[,server=on|off][,wait=on|off]',
  ], apply: addChardev },
];

function addChardev(settings: SystemSettings, text: string): string | void {
  if (text === 'help' || text === '?') return CHARDEV_HELP;
  const { id, ...declaration } = parseChardev(text);
  if (settings.chardevs.has(id)) throw new Failure('invalid-argument', `Duplicate ID '${id}' for chardev`);
  settings.chardevs.set(id, { ...declaration, origin: `-chardev ${text}` });
}

function applyFirmwareFolder(settings: SystemSettings, text: string): string | void {
  if (text === 'help') return settings.firmwareFolders.map((folder) => `${folder}\n`).join('');
  settings.firmwareFolders.push(text);
}

// prettier-ignore
const boot: readonly Row[] = [
  { name: 'bios', argument: 'file', help: ['ROM image that ends at 4 GiB'], apply: (settings, text) => { settings.bios = text; } },
  { name: 'L', argument: 'path', help: ['folder to look for firmware in; its bios-256k.bin is used where -bios names none'],
    apply: applyFirmwareFolder },
  { name: 'fw_cfg', argument: '[name=]name,file=file|string=text', help: ['gives firmware and guest a file; names begin with opt/'],
    apply: (settings, text) => { settings.firmwareFiles.push(value.parseFirmwareFile(text)); } },
  { name: 'kernel', argument: 'bzImage', help: ['kernel: Linux bzImage, Multiboot or PVH ELF'], apply: (settings, text) => { settings.kernel = text; } },
  { name: 'append', argument: 'cmdline', help: ["the kernel's command line"], apply: (settings, text) => { settings.append = text; } },
  { name: 'initrd', argument: 'file', help: ['initial RAM disk'], apply: (settings, text) => { settings.initrd = text; } },
];

// prettier-ignore
const expert: readonly Row[] = [
  { name: 'serial', argument: 'dev', help: [
    'connects the next serial port to a character back end', 'none, null, stdio, mon:stdio, file:path, chardev:id',
    'unix:path[,server=on][,wait=off], tcp:host:port[,server=on][,wait=off]',
  ], apply: (settings, text) => addSerial(settings, parseCharTarget(text), `-serial ${text}`) },
  { name: 'parallel', argument: 'none', help: ['parallel port; there is none yet'], apply(_settings, text) {
    if (text !== 'none' && text !== 'null') notYet();
  } },
  { name: 'monitor', argument: 'dev', help: ['connects the monitor to a character back end'], apply: addMonitor },
  { name: 'mon', argument: '[chardev=]id[,mode=readline]', help: ['puts a monitor on a -chardev'], apply(settings, text) {
    const { chardev, mode } = propertiesFromText({ chardev: { type: str }, mode: { type: choice('readline', 'control') } }, text, { impliedName: 'chardev' });
    if (mode === 'control') notYet();
    settings.monitorGiven = true;
    settings.monitors.push(chardev ?? '');
  } },
  { name: 'debugcon', argument: 'dev', help: ['connects the debug console, port 0xe9, to a character back end'], apply(settings, text) {
    const id = declareTarget(settings, parseCharTarget(text), 'debugcon', `-debugcon ${text}`);
    if (id !== undefined) settings.devices.push({ text: `isa-debugcon,iobase=0xe9,chardev=${id}`, origin: `-debugcon ${text}` });
  } },
  { name: 'pidfile', argument: 'file', help: ['writes the process id into a file'], apply: (settings, text) => { settings.pidfile = text; } },
  { name: 'S', help: ["does not start the CPU (the monitor's 'c' does)"], apply: (settings) => { settings.startStopped = true; } },
  { name: 'd', argument: 'item1,...', help: ["logs the given items ('-d help' for a list)"], apply: value.applyLog },
  { name: 'singlestep', help: ['blocks of one instruction each, same as -accel tcg,one-insn-per-tb=on'],
    apply: (settings) => { settings.oneInstructionBlocks = true; } },
  { name: 'D', argument: 'logfile', help: ['logs into a file instead of standard error'], apply: (settings, text) => { settings.logFile = text; } },
  { name: 'trace', argument: '[[enable=]pattern][,events=file][,file=file][,buffer=n]', help: [
    "writes trace events ('-trace help' for a list) to standard error or to a file", 'events=file   patterns, one a line',
    'file=name.json   for Perfetto; name.log text; any other name QEMU\'s binary format', 'buffer=n   keeps the last n events, for trace-file flush',
  ], apply: value.applyTrace },
  { name: 'no-reboot', help: ['exit instead of rebooting'], apply: (settings) => { settings.noReboot = true; } },
  { name: 'no-shutdown', help: ['stop instead of exiting when the guest powers off'], apply: (settings) => { settings.noShutdown = true; } },
  { name: 'action', argument: 'reboot=reset|shutdown,shutdown=poweroff|pause', help: ['what a reset or power-off of the guest does'],
    apply: value.applyAction },
  { name: 'rtc', argument: '[base=utc|localtime|datetime][,clock=host|rt|vm]', help: ["sets the guest's clock"],
    apply: (settings, text) => { settings.rtc = value.parseRtc(text); } },
  { name: 'icount', argument: '[shift=]N|auto[,sleep=on|off]', help: ['guest time is the number of instructions times 2^N ns'],
    apply: (settings, text) => { settings.icount = value.parseIcount(text); } },
  { name: 'object', argument: 'type,id=id[,property=value][,...]', help: ['creates an object: secret, throttle-group, iothread'],
    apply: (settings, text) => { settings.objects.push({ text, origin: `-object ${text}` }); } },
  { name: 'nodefaults', help: ['adds no default devices'], apply: (settings) => { settings.defaults = false; } },
  { name: 'no-user-config', help: ['accepted: there are no configuration files'], apply: () => {} },
  { name: 'enable-kvm', help: ['not supported yet'], apply: () => { throw new Failure('unsupported', 'KVM is not supported yet, use -accel tcg'); } },
];

function addMonitor(settings: SystemSettings, text: string): void {
  settings.monitorGiven = true;
  const target = parseCharTarget(text);
  const label = `compat_monitor${settings.monitors.length}`;
  // A monitor of its own needs no second one beside it: `-monitor mon:stdio` is `-monitor stdio`.
  const id = declareTarget(settings, target.kind === 'new' ? { ...target, monitor: false } : target, label, `-monitor ${text}`);
  if (id !== undefined) settings.monitors.push(id);
}

/** Options of QEMU that are understood only so far that the error can be clear. */
// prettier-ignore
const LATER_WITH_ARGUMENT = [
  'mtdblock', 'sd', 'fsdev', 'virtfs', 'iscsi', 'usbdevice',
  'netdev', 'tpmdev', 'dtb', 'compat', 'qmp', 'qmp-pretty', 'overcommit', 'gdb', 'dfilter', 'seed', 'loadvm', 'option-rom',
  'watchdog-action', 'echr', 'incoming', 'chroot', 'runas', 'sandbox', 'readconfig', 'plugin', 'msg', 'dump-vmstate', 'numa',
  'add-fd', 'set', 'mem-path', 'k', 'audio', 'audiodev', 'spice', 'vnc', 'acpitable', 'smbios', 'xen-domid', 'rotate',
];
// prettier-ignore
const LATER = [
  'usb', 'full-screen', 'portrait', 'preconfig', 's', 'daemonize', 'only-migratable', 'async-teardown',
  'enable-sync-profile', 'mem-prealloc', 'win2k-hack', 'no-fd-bootchk', 'xen-attach', 'xen-domid-restrict', 'audio-help',
];
const later: readonly Row[] = [
  ...LATER_WITH_ARGUMENT.map((name): Row => ({ name, argument: 'argument', help: [], apply: notYet })),
  ...LATER.map((name): Row => ({ name, help: [], apply: notYet })),
];

const HELP_SECTIONS: readonly OptionSection<SystemSettings>[] = [
  { title: 'Standard options', options: standard },
  { title: 'Block device options', options: blockDevices },
  { title: 'Display options', options: display },
  { title: 'i386 target only', options: pcOnly },
  { title: 'Network options', options: network },
  { title: 'Character device options', options: character },
  { title: 'Boot Image or Kernel specific', options: boot },
  { title: 'Debug/Expert options', options: expert },
];

const helpText = (): string =>
  [
    `${VERSION_TEXT}usage: nandu-system-x86_64 [options]\n`,
    formatHelp(HELP_SECTIONS),
    "When using -nographic, press 'ctrl-a h' to get some help.\n",
  ].join('\n');

export const systemCommandLine: CommandLine<SystemSettings> = {
  sections: [...HELP_SECTIONS, { title: 'Later', options: later }],
  positional: (settings, file) => { settings.drives.push(diskImage(0, file, file)); },
};
