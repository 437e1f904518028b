// The commands of the human monitor, as rows. Not the terminal (line-editor.ts) nor the session (human-monitor.ts).

export type RunState = 'running' | 'paused' | 'prelaunch' | 'shutdown';

/** What the monitor needs of a machine. */
export interface MonitorTarget {
  readonly version: string;
  readonly name: string | undefined;
  readonly uuid: string | undefined;
  readonly runState: RunState;
  pause(): void;
  resume(): void;
  reset(): void;
  powerButton(): void;
  /** The text of `info registers`; absent where the processor cannot be asked. */
  registers?(): string;
  /** The text of `info jit`. */
  translation?(): string;
  quit(): void;
}

export interface HumanCommand {
  readonly name: string;
  readonly aliases?: readonly string[];
  /** The arguments' syntax; absent when it takes none. */
  readonly arguments?: string;
  readonly help: string;
  /** Returns what to print, without a line end. */
  run(target: MonitorTarget, argument: string): string;
}

const STATUS: Readonly<Record<RunState, string>> = {
  running: 'running',
  paused: 'paused',
  prelaunch: 'paused (prelaunch)',
  shutdown: 'paused (shutdown)',
};

const act = (action: (target: MonitorTarget) => void) => (target: MonitorTarget): string => {
  action(target);
  return '';
};

// prettier-ignore
export const INFO_COMMANDS: readonly HumanCommand[] = [
  { name: 'jit', help: 'show dynamic translation info', run: (vm) => vm.translation?.() ?? 'nothing is translated here' },
  { name: 'name', help: 'show the current VM name', run: (vm) => vm.name ?? '' },
  { name: 'registers', help: 'show the cpu registers', run: (vm) => vm.registers?.().trimEnd() ?? 'no registers to show' },
  { name: 'status', help: 'show the current VM status (running|paused)', run: (vm) => `VM status: ${STATUS[vm.runState]}` },
  { name: 'uuid', help: 'show the current VM UUID', run: (vm) => vm.uuid ?? '00000000-0000-0000-0000-000000000000' },
  { name: 'version', help: 'show the version of nandu', run: (vm) => vm.version },
];

// prettier-ignore
export const HUMAN_COMMANDS: readonly HumanCommand[] = [
  { name: 'cont', aliases: ['c'], help: 'resume emulation', run: act((vm) => vm.resume()) },
  { name: 'help', aliases: ['?'], arguments: '[cmd]', help: 'show the help', run: (_vm, argument) => helpText(argument) },
  { name: 'info', arguments: '[subcommand]', help: 'show various information about the system state', run: info },
  { name: 'quit', aliases: ['q'], help: 'quit the emulator', run: act((vm) => vm.quit()) },
  { name: 'stop', aliases: ['s'], help: 'stop emulation', run: act((vm) => vm.pause()) },
  { name: 'system_powerdown', help: 'send system power down event', run: act((vm) => vm.powerButton()) },
  { name: 'system_reset', help: 'reset the system', run: act((vm) => vm.reset()) },
];

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

function info(target: MonitorTarget, topic: string): string {
  if (topic === '') return infoHelp();
  const command = find(INFO_COMMANDS, topic);
  return command === undefined ? `unknown command: 'info ${topic}'` : command.run(target, '');
}

/** Runs one line as typed; the answer has no line end. */
export function runHumanCommand(target: MonitorTarget, line: string): string {
  const [name = '', ...words] = line.trim().split(/\s+/);
  if (name === '') return '';
  const command = find(HUMAN_COMMANDS, name);
  if (command === undefined) return `unknown command: '${name}'`;
  if (words.length > (command.arguments === undefined ? 0 : 1)) {
    return `${name}: extraneous characters at the end of line\nTry "help ${name}" for more information`;
  }
  return command.run(target, words[0] ?? '');
}
