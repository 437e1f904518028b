// The command nandu-system-x86_64: QEMU's command line in front of a machine.
import { Failure } from '../base/failure.ts';
import { parseCommandLine } from '../schema/command-line.ts';
import { systemCommandLine } from './system-options.ts';
import { completeSettings, initialSettings, type SystemSettings } from './system-settings.ts';

const PROGRAM = 'nandu-system-x86_64';

/** Runs the command and ends the process. */
export async function main(words: readonly string[] = process.argv.slice(2)): Promise<never> {
  process.exit(await report(PROGRAM, () => run(words)));
}

/** An operating error is one line and status 1; anything else is a bug and keeps its stack. */
export async function report(program: string, action: () => Promise<number>): Promise<number> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    process.stderr.write(`${program}: ${error.message.replaceAll(/(?<=\w)\n/g, '. ').replaceAll('\n', ' ')}\n`);
    return 1;
  }
}

async function run(words: readonly string[]): Promise<number> {
  const settings = initialSettings();
  const answer = parseCommandLine(systemCommandLine, words, settings) ?? (await deviceAnswer(settings)) ?? (await traceAnswer(settings));
  if (answer !== undefined) {
    process.stdout.write(answer);
    return 0;
  }
  return runSettings(PROGRAM, settings);
}

export async function runSettings(program: string, settings: SystemSettings): Promise<number> {
  completeSettings(settings);
  const { runMachine } = await import('./run-machine.ts');
  const notice = isInvisible(settings) ? "there is no display yet: -nographic or -serial stdio shows the guest's console" : undefined;
  return runMachine(program, settings, { notice });
}

/** Nothing of the guest will be seen, and the user has not asked for that. */
const isInvisible = ({ displayGiven, chardevs }: SystemSettings): boolean =>
  !displayGiven && [...chardevs.values()].every(({ spec }) => spec.kind === 'null');

/** -trace help: the modules of a machine declare the events. */
async function traceAnswer({ trace }: SystemSettings): Promise<string | undefined> {
  if (!trace.help) return undefined;
  const { allEvents } = await import('./trace-events.ts');
  return (await allEvents()).map(({ name }) => `${name}\n`).join('');
}

/** -device help and -device NAME,help, apart because the catalogue is loaded only for them. */
async function deviceAnswer({ devices }: SystemSettings): Promise<string | undefined> {
  const asked = devices.filter(({ text }) => /^(help|\?)$|,(help|\?)(,|$)/.test(text));
  if (asked.length === 0) return undefined;
  const { deviceHelp } = await import('./device-options.ts');
  const { inContext } = await import('../schema/command-line.ts');
  return asked.map(({ text, origin }) => inContext(origin, () => deviceHelp(text)) ?? '').join('');
}
