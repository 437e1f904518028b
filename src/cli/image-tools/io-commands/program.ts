// The commands about the program itself: sleep, sigraise, abort, help, quit.
import { parseNumber, type IoCommand, type IoEnvironment } from './command.ts';

/** Enough for a signal to arrive. */
const SIGNAL_MS = 50;

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function runSleep([text = '']: readonly string[], environment: IoEnvironment): Promise<void> {
  const ms = /^\s*\+?(0[xX][0-9a-fA-F]+|\d+)$/.test(text) ? (/^0[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number(text)) : NaN;
  if (!Number.isSafeInteger(ms)) environment.fail(`${text} is not a valid number`);
  const end = performance.now() + ms;
  for (let left = ms; left > 0; left = end - performance.now()) await wait(Math.min(left, 2 ** 31 - 1));
  await environment.poll();
}

async function runSigraise([text = '']: readonly string[], environment: IoEnvironment): Promise<void> {
  await runSignal(parseNumber(environment, text));
}

async function runSignal(signal: number | NodeJS.Signals): Promise<void> {
  process.kill(process.pid, signal);
  if (signal !== 0) await wait(SIGNAL_MS);
}

export const usageLine = ({ name, args, summary }: IoCommand): string => `${name}${args === undefined ? '' : ` ${args}`} -- ${summary}\n`;

const runHelp =
  (all: () => readonly IoCommand[]) =>
  ([name]: readonly string[], environment: IoEnvironment): void => {
    if (name === undefined) {
      for (const command of all()) environment.say(usageLine(command));
      environment.say("\nUse 'help commandname' for extended help.\n");
      return;
    }
    const command = all().find((candidate) => candidate.name === name || candidate.alias === name);
    if (command === undefined) environment.fail(`command ${name} not found`);
    else environment.say(usageLine(command) + (command.help ?? []).map((line) => `${line}\n`).join(''));
  };

/** `all` is asked when help is wanted, since these commands are part of it. */
export const programCommands = (all: () => readonly IoCommand[]): readonly IoCommand[] => [
  { name: 'sleep', summary: 'waits for the given value in milliseconds', minArgs: 1, maxArgs: 1, needsNoImage: true, run: runSleep },
  {
    name: 'sigraise',
    args: 'signal',
    summary: 'raises a signal',
    minArgs: 1,
    maxArgs: 1,
    needsNoImage: true,
    help: ['', ' Sends this program a signal, by its number. Example:', " 'sigraise 15' - ends it by SIGTERM", ''],
    run: runSigraise,
  },
  {
    name: 'abort',
    summary: 'simulate a program crash using abort(3)',
    minArgs: 0,
    maxArgs: 0,
    needsNoImage: true,
    // process.abort() would add Node's own account of it.
    run: () => runSignal('SIGABRT'),
  },
  {
    name: 'help',
    alias: '?',
    args: '[command]',
    summary: 'help for one or all commands',
    minArgs: 0,
    maxArgs: 1,
    needsNoImage: true,
    run: runHelp(all),
  },
  {
    name: 'quit',
    alias: 'q',
    summary: 'exit the program',
    minArgs: 0,
    maxArgs: 0,
    needsNoImage: true,
    run: (_words, environment) => {
      environment.ended = true;
    },
  },
];
