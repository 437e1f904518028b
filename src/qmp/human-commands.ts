// The commands of the human monitor, as rows. Not the terminal (line-editor.ts) nor the session (human-monitor.ts).
import { Failure } from '../base/failure.ts';
import { parseSize } from '../schema/size.ts';
import { setStallLimit, stallsText } from '../trace/stalls.ts';
import { setWaitLimit, waitsText } from '../trace/waits.ts';
import { enableEvents, eventCatalogue, eventPattern } from '../trace/event.ts';

export type RunState = 'running' | 'paused' | 'prelaunch' | 'shutdown' | 'io-error';

/** What the monitor does with drives. */
export interface MonitorDrives {
  info(name?: string): string;
  eject(name: string, force: boolean): Promise<void>;
  change(name: string, file: string, format?: string, readOnlyMode?: string): Promise<void>;
  resize(name: string, bytes: number): Promise<void>;
  commit(name: string): Promise<void>;
  breakpoint(name: string, command: string): void;
}

/** What the monitor needs of a machine. */
export interface MonitorTarget {
  readonly version: string;
  readonly name: string | undefined;
  readonly uuid: string | undefined;
  readonly runState: RunState;
  /** Absent where there is no balloon. */
  readonly balloon?: { readonly actualBytes: number; setTarget(bytes: number): void } | undefined;
  /** Absent where there are none. */
  readonly drives?: MonitorDrives;
  pause(): void;
  resume(): void;
  reset(): void;
  powerButton(): void;
  /** The text of `info registers`; absent where the processor cannot be asked. */
  registers?(): string;
  /** The text of `info jit`. */
  translation?(): string;
  /** Writes the trace that is waiting, or kept. */
  flushTrace?(): string;
  /** `profile`: start, stop, dump. */
  profile?(action: string, argument?: string): Promise<string>;
  quit(): void;
}

export interface HumanCommand {
  readonly name: string;
  readonly aliases?: readonly string[];
  /** The arguments' syntax; absent when it takes none. */
  readonly arguments?: string;
  /** How many there are at least and at most; one that may be absent, when it is not said. */
  readonly count?: readonly [min: number, max: number];
  readonly help: string;
  /** Returns what to print, without a line end; a Failure is printed as an error. */
  run(target: MonitorTarget, argument: string, ...more: string[]): string | Promise<string>;
}

const STATUS: Readonly<Record<RunState, string>> = {
  running: 'running',
  paused: 'paused',
  prelaunch: 'paused (prelaunch)',
  shutdown: 'paused (shutdown)',
  'io-error': 'paused (io-error)',
};

const act = (action: (target: MonitorTarget) => void) => (target: MonitorTarget): string => {
  action(target);
  return '';
};

/** A command about drives, where there are any. */
const withDrives = (action: (drives: MonitorDrives, ...words: string[]) => Promise<void>) =>
  async ({ drives }: MonitorTarget, ...words: string[]): Promise<string> => {
    if (drives === undefined) throw new Failure('not-found', `Device '${words[0] ?? ''}' not found`);
    await action(drives, ...words);
    return '';
  };

const MIB = 1024 * 1024;

function balloonOf({ balloon }: MonitorTarget): NonNullable<MonitorTarget['balloon']> {
  if (balloon === undefined) throw new Failure('not-found', 'No balloon device has been activated');
  return balloon;
}

async function eject(drives: MonitorDrives, ...words: string[]): Promise<void> {
  const [name = ''] = words.filter((word) => word !== '-f');
  await drives.eject(name, words.includes('-f'));
}

// prettier-ignore
export const INFO_COMMANDS: readonly HumanCommand[] = [
  { name: 'balloon', help: 'show balloon information', run: (vm) => `balloon: actual=${balloonOf(vm).actualBytes / MIB}` },
  { name: 'block', arguments: '[device]', help: 'show info of one block device or all block devices', run: (vm, name) => vm.drives?.info(name) ?? '' },
  { name: 'jit', help: 'show dynamic translation info', run: (vm) => vm.translation?.() ?? 'nothing is translated here' },
  { name: 'name', help: 'show the current VM name', run: (vm) => vm.name ?? '' },
  { name: 'registers', help: 'show the cpu registers', run: (vm) => vm.registers?.().trimEnd() ?? 'no registers to show' },
  { name: 'stalls', help: 'show what held the event loop for long, and what is waited for',
    run: () => [stallsText(), waitsText()].filter((text) => text !== '').join('\n') },
  { name: 'status', help: 'show the current VM status (running|paused)', run: (vm) => `VM status: ${STATUS[vm.runState]}` },
  { name: 'trace-events', arguments: '[name]', help: 'show available trace-events & their state (name: event name pattern)',
    run: (_vm, name) => traceEvents(name) },
  { name: 'uuid', help: 'show the current VM UUID', run: (vm) => vm.uuid ?? '00000000-0000-0000-0000-000000000000' },
  { name: 'version', help: 'show the version of nandu', run: (vm) => vm.version },
];

// prettier-ignore
export const HUMAN_COMMANDS: readonly HumanCommand[] = [
  { name: 'balloon', arguments: 'target', count: [1, 1], help: 'request VM to change its memory allocation (in MB)', run(vm, target) {
    balloonOf(vm).setTarget(parseSize('value', target, 'm'));
    return '';
  } },
  { name: 'block_resize', arguments: 'device size', count: [2, 2], help: 'resize a block image',
    run: withDrives((drives, name, size) => drives.resize(name!, parseSize('size', size!, 'm'))) },
  { name: 'change', arguments: 'device filename [format [read-only-mode]]', count: [2, 4], help: 'change a removable medium',
    run: withDrives((drives, name, file, format, mode) => drives.change(name!, file!, format, mode)) },
  { name: 'commit', arguments: 'device|all', count: [1, 1], help: 'commit changes to the disk images (if -snapshot is used) or backing files',
    run: withDrives((drives, name) => drives.commit(name!)) },
  { name: 'cont', aliases: ['c'], help: 'resume emulation', run: act((vm) => vm.resume()) },
  { name: 'eject', arguments: '[-f] device', count: [1, 2], help: 'eject a removable medium (use -f to force it)', run: withDrives(eject) },
  { name: 'help', aliases: ['?'], arguments: '[cmd]', help: 'show the help', run: (_vm, argument) => helpText(argument) },
  { name: 'info', arguments: '[subcommand]', count: [0, 2], help: 'show various information about the system state', run: info },
  { name: 'profile', arguments: 'start [rate]|stop|dump [file]', count: [1, 2], help: 'samples where the time of guest and host goes',
    run: (vm, action, argument) => vm.profile?.(action, argument) ?? 'no profiler here' },
  { name: 'qemu-io', arguments: 'device "command"', count: [2, 6], help: 'blkdebug: "break EVENT TAG", "resume TAG" or "remove_break TAG"',
    run: withDrives(async (drives, name, ...words) => drives.breakpoint(name!, words.join(' ').replace(/^"(.*)"$/, '$1'))) },
  { name: 'quit', aliases: ['q'], help: 'quit the emulator', run: act((vm) => vm.quit()) },
  { name: 'stop', aliases: ['s'], help: 'stop emulation', run: act((vm) => vm.pause()) },
  { name: 'system_powerdown', help: 'send system power down event', run: act((vm) => vm.powerButton()) },
  { name: 'system_reset', help: 'reset the system', run: act((vm) => vm.reset()) },
  { name: 'stall-limit', arguments: 'held|waited ms', count: [2, 2],
    help: 'names what holds the event loop, or is waited for, longer than this', run: stallLimit },
  { name: 'trace-event', arguments: 'name on|off', count: [2, 2], help: 'changes status of a specific trace event', run: traceEvent },
  { name: 'trace-file', arguments: 'flush', count: [1, 1], help: 'write the trace that is kept or waiting', run: traceFile },
];

const LIMITS: Readonly<Record<string, (ns: number) => void>> = { held: setStallLimit, waited: setWaitLimit };

function stallLimit(_target: MonitorTarget, kind: string, milliseconds = ''): string {
  const set = LIMITS[kind];
  if (set === undefined) throw new Failure('invalid-argument', "Parameter 'limit' expects 'held' or 'waited'");
  if (!/^\d{1,7}$/.test(milliseconds)) throw new Failure('invalid-argument', "Parameter 'ms' expects a number of milliseconds");
  set(Number(milliseconds) * 1e6);
  return '';
}

function traceEvents(name: string): string {
  const pattern = eventPattern(name === '' ? '*' : name);
  const events = eventCatalogue().filter((event) => pattern.test(event.name));
  if (events.length === 0) return `unknown event "${name}"`;
  return events.map((event) => `${event.name} : state ${event.enabled ? 1 : 0}`).join('\n');
}

function traceEvent(_target: MonitorTarget, name: string, state = ''): string {
  if (state !== 'on' && state !== 'off') throw new Failure('invalid-argument', `Parameter 'option' expects 'on' or 'off'`);
  if (!/[*?]/.test(name) && !eventCatalogue().some((event) => event.name === name)) return `unknown event "${name}"`;
  enableEvents(name, state === 'on');
  return '';
}

function traceFile({ flushTrace }: MonitorTarget, action: string): string {
  if (action !== 'flush') throw new Failure('invalid-argument', `unexpected argument "${action}"`);
  return flushTrace?.() ?? 'nothing is traced here';
}

const find = (commands: readonly HumanCommand[], name: string): HumanCommand | undefined =>
  commands.find((command) => command.name === name || command.aliases?.includes(name));

function helpLine(prefix: string, { name, aliases = [], arguments: syntax = '', help }: HumanCommand): string {
  return `${prefix}${[name, ...aliases].join('|')} ${syntax} -- ${help}`;
}

function helpText(topic: string): string {
  if (topic === 'info') return infoHelp();
  if (topic === '') return HUMAN_COMMANDS.map((command) => helpLine('', command)).join('\n');
  const command = find(HUMAN_COMMANDS, topic);
  return command === undefined ? '' : helpLine('', command);
}

const infoHelp = (): string => INFO_COMMANDS.map((command) => helpLine('info ', command)).join('\n');

function info(target: MonitorTarget, topic: string, ...words: string[]): string | Promise<string> {
  if (topic === '') return infoHelp();
  const command = find(INFO_COMMANDS, topic);
  return command === undefined ? `unknown command: 'info ${topic}'` : command.run(target, words[0] ?? '');
}

/** Runs one line as typed; the answer has no line end. */
export function runHumanCommand(target: MonitorTarget, line: string): string | Promise<string> {
  const [name = '', ...words] = line.trim().split(/\s+/);
  if (name === '') return '';
  const command = find(HUMAN_COMMANDS, name);
  if (command === undefined) return `unknown command: '${name}'`;
  const [min, max] = command.count ?? [0, command.arguments === undefined ? 0 : 1];
  if (words.length > max) return `${name}: extraneous characters at the end of line\nTry "help ${name}" for more information`;
  if (words.length < min) return `${name}: missing argument\nTry "help ${name}" for more information`;
  try {
    const answer = command.run(target, words[0] ?? '', ...words.slice(1));
    return answer instanceof Promise ? answer.catch(errorLine) : answer;
  } catch (error) {
    return errorLine(error);
  }
}

function errorLine(error: unknown): string {
  if (!(error instanceof Failure)) throw error;
  return `Error: ${error.message}`;
}
