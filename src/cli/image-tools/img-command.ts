// nandu-img behind its options: finds the subcommand, and turns what it throws into messages and an exit status.
import { hintOf } from '../../base/failure-hint.ts';
import { Failure } from '../../base/failure.ts';
import { Interrupted } from '../../block/operations/pace.ts';
import { HintedFailure } from '../../block/operations/create.ts';
import type { OptionGrammar } from './getopt.ts';
import { versionText } from './img.ts';
import { ObjectHelp } from './objects.ts';
import { ReportedFailure } from './reported-failure.ts';
import { HelpRequest, Session, StatusFailure, UsageFailure } from './session.ts';
import type { ToolIo } from './tool-io.ts';

type Commands = Readonly<Record<string, () => Promise<{ readonly run: (words: readonly string[], session: Session) => Promise<number> }>>>;

const GLOBAL_OPTIONS: OptionGrammar<string> = {
  short: '+hVT:',
  long: [
    { long: 'help', name: 'h', argument: 'none' },
    { long: 'version', name: 'V', argument: 'none' },
    { long: 'trace', name: 'T', argument: 'required' },
  ],
};

export async function runCommand(words: readonly string[], io: ToolIo, commands: Commands): Promise<number> {
  const session = new Session(io);
  try {
    return await dispatch(words, session, commands);
  } catch (error) {
    return ended(error, session);
  }
}

async function dispatch(words: readonly string[], session: Session, commands: Commands): Promise<number> {
  if (words.length === 0) throw new UsageFailure('Not enough arguments');
  const operands: string[] = [];
  for (const { name, argument } of session.options('', words, GLOBAL_OPTIONS, operands)) {
    if (name === 'V') {
      session.io.out(versionText());
      return 0;
    }
    // QUIRK: -T of the image tools knows none of the reference's trace events, and says so of each.
    if (name === 'T') session.warn(`trace event '${argument!.split(',')[0]!.replace(/^enable=/, '')}' does not exist`);
  }
  const [name, ...rest] = operands;
  if (name === undefined) throw new UsageFailure('Not enough arguments');
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load === undefined) throw new UsageFailure(`Command not found: ${name}`);
  const { run } = await load();
  return run(rest, session);
}

async function ended(error: unknown, session: Session): Promise<number> {
  const { io } = session;
  if (error instanceof HelpRequest) {
    const { helpText } = await import('./help-text.ts');
    io.out(helpText());
    return 0;
  }
  if (error instanceof ObjectHelp) return 0;
  if (error instanceof Interrupted) return 1; // the signal says it all
  if (!(error instanceof Failure)) throw error;
  if (error instanceof ReportedFailure) {
    for (const line of error.lines) session.report(line);
    return error.status;
  }
  if (error instanceof HintedFailure) io.error(`${io.program}: ${error.message}\n${error.hint}`);
  else {
    const hint = hintOf(error);
    session.report(hint === undefined ? error.message : `${error.message}\n${hint}`);
  }
  if (error instanceof UsageFailure) io.error(`Try '${io.program} --help' for more information\n`);
  return error instanceof StatusFailure ? error.status : 1;
}
