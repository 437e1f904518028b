// Runs a machine until it ends and answers with the process's exit status. Signals end it in good order, so that the
// terminal, sockets and files are left as they should be.
import { watchStalls } from '../platform/node/stall-watch.ts';
import type { TimeProfile } from '../platform/node/time-profile.ts';
import { rowsText, translationReport } from '../vm/translation-report.ts';
import { DriveCommands } from '../vm/drives/drive-commands.ts';
import { checkOutput, writeOutput } from './output-file.ts';
import { VERSION } from './version.ts';
import { openMachine, type OpenedMachine } from './system-machine.ts';
import type { SystemSettings, TraceSettings } from './system-settings.ts';
import { eventCatalogue } from '../trace/event.ts';
import type { MonitorTarget } from '../qmp/human-commands.ts';
import { HumanMonitor } from '../qmp/human-monitor.ts';
import type { Machine } from '../platform/node/machine.ts';
import type { ProfileSession } from './profile-session.ts';

const PUBLISH_AFTER_MS = 300;
const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 } as const;

/** Said when nothing is left in the process that could make the machine do anything. */
const stuckText = (state: Machine['runState']): string =>
  state === 'running'
    ? 'the guest has halted, and neither a timer nor a device nor input is left to wake it'
    : `the machine is stopped (${state}), and no input is left that could tell it to go on`;

/** Looks at a machine before it starts, and answers with what is to be done when it has ended. */
export type MachineObserver = (machine: Machine) => Promise<() => void>;

export interface RunExtras {
  /** For the user once there is a machine. */
  readonly notice?: string | undefined;
  readonly observe?: MachineObserver | undefined;
}

export async function runMachine(program: string, settings: SystemSettings, extras: RunExtras = {}): Promise<number> {
  const ending = new Ending();
  const inform = (text: string): void => void process.stderr.write(`${program}: ${text}\n`);
  for (const [signal, number] of Object.entries(SIGNALS)) {
    process.on(signal, () => {
      if (ending.asked) process.exit(1); // it was asked before, and has not come to an end
      inform(`terminating on signal ${number}`);
      ending.ask();
    });
  }
  const [opened] = await Promise.all([
    openMachine(settings, { quit: () => ending.ask(), inform }),
    import('../platform/node/machine.ts'), // is evaluated while the files are read
  ]);
  try {
    return ending.asked ? 0 : await runOpened({ program, inform, ...extras }, opened, ending, settings);
  } finally {
    await opened.close();
  }
}

interface Voice extends RunExtras {
  readonly program: string;
  readonly inform: (text: string) => void;
}

async function runOpened(voice: Voice, opened: OpenedMachine, ending: Ending, settings: SystemSettings): Promise<number> {
  const { program, inform, notice, observe } = voice;
  const { translationReport: report, trace } = settings;
  if (report !== undefined) checkOutput(report);
  const [{ Machine }, { registerText }] = await Promise.all([import('../platform/node/machine.ts'), import('../vm/log.ts')]);
  const machine = await Machine.create(opened.options);
  if (notice !== undefined) inform(notice);
  for (const warning of unknownEvents(trace)) process.stderr.write(`${program}: ${warning}\n`);
  ending.onAsked = () => void machine.stop();
  const target = monitorTarget(machine, opened, ending, () => registerText(machine.vcpu));
  for (const backend of opened.monitors) new HumanMonitor(backend, target);
  const profile = report === undefined ? undefined : await startProfile();
  const ended = await observe?.(machine);
  machine.start();
  const unpublish = publishLater(machine);
  const watch = watchStalls();
  let stuck = false;
  process.once('beforeExit', () => {
    stuck = true;
    inform(stuckText(machine.runState));
    ending.ask();
  });
  const { code } = await machine.exited;
  watch.stop();
  unpublish();
  ended?.();
  if (report !== undefined) writeOutput(report, `${translationReport(machine.vcpu)}\n${timeText(profile?.finish() ?? [])}\n`);
  return stuck ? 1 : code;
}

/** A machine that has run for a moment can be found by `nandu top`. Shorter runs pay nothing. */
function publishLater(machine: Machine): () => void {
  let unpublish = (): void => {};
  const timer = setTimeout(() => {
    void Promise.all([import('../platform/node/machine-directory.ts'), import('./process-figures.ts')]).then(
      ([{ publishMachine }, { processFigures }]) => (unpublish = publishMachine(() => processFigures(machine))),
    );
  }, PUBLISH_AFTER_MS).unref();
  return () => {
    clearTimeout(timer);
    unpublish();
  };
}

/** A pattern without * and ? is the name of an event, which there should be. */
function unknownEvents({ enabled }: TraceSettings): string[] {
  const names = new Set(eventCatalogue().map(({ name }) => name));
  const given = enabled.filter(({ kind, text }) => kind === 'pattern' && !/[*?]/.test(text) && !names.has(text.replace(/^-/, '')));
  return given.map(({ text, origin }) => `${origin}: warning: trace event '${text}' does not exist`);
}

async function startProfile(): Promise<TimeProfile> {
  const { TimeProfile } = await import('../platform/node/time-profile.ts');
  return new TimeProfile();
}

function timeText(parts: readonly (readonly [kind: string, ms: number])[]): string {
  const all = parts.reduce((sum, [, ms]) => sum + ms, 0);
  return rowsText([['time, ms', all.toFixed(0)], ...parts.map(([kind, ms]): [string, string] => [`  ${kind}`, ms.toFixed(0)])]);
}

/** The wish to stop may come before there is a machine. */
class Ending {
  asked = false;
  #onAsked: () => void = () => {};

  set onAsked(action: () => void) {
    this.#onAsked = action;
    if (this.asked) action();
  }

  ask(): void {
    this.asked = true;
    this.#onAsked();
  }
}

/** The profiler is loaded when it is asked for. */
function profileCommands(machine: Machine): NonNullable<MonitorTarget['profile']> {
  let session: Promise<ProfileSession> | undefined;
  const open = async (): Promise<ProfileSession> => {
    const { DEFAULT_HERTZ, DEFAULT_TOP, profileSession } = await import('./profile-session.ts');
    return profileSession(machine, { hertz: DEFAULT_HERTZ, symbols: undefined, top: DEFAULT_TOP, calls: false });
  };
  return async (action, argument) => (await (session ??= open())).command(action, argument);
}

function monitorTarget(machine: Machine, { options, flushTrace }: OpenedMachine, ending: Ending, registers: () => string): MonitorTarget {
  return {
    version: VERSION,
    name: options.name,
    uuid: options.uuid,
    drives: new DriveCommands(machine.drives),
    balloon: machine.balloons[0],
    get runState() {
      return machine.runState;
    },
    pause: () => machine.pause(),
    resume: () => machine.resume(),
    reset: () => machine.reset(),
    powerButton: () => machine.powerButton(),
    registers,
    translation: () => translationReport(machine.vcpu),
    flushTrace: () => flushTrace(),
    profile: profileCommands(machine),
    quit: () => ending.ask(),
  };
}
