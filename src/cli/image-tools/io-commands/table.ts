// All commands of nandu-io, and running one line of them: finding the command, counting its arguments, asking for the
// permissions it needs, and saying what went wrong.
import { Failure } from '../../../base/failure.ts';
import { DifferenceFailure } from '../../../block/difference-failure.ts';
import { BACKGROUND_COMMANDS } from './background.ts';
import { BREAKPOINT_COMMANDS } from './breakpoints.ts';
import { CommandFailed, UsageWanted, type IoCommand, type IoEnvironment } from './command.ts';
import { EXAMINE_COMMANDS } from './examine.ts';
import { IMAGE_COMMANDS } from './image.ts';
import { programCommands, usageLine } from './program.ts';
import { TRANSFER_COMMANDS } from './transfer.ts';

export const COMMANDS: readonly IoCommand[] = [
  ...TRANSFER_COMMANDS,
  ...BACKGROUND_COMMANDS,
  ...EXAMINE_COMMANDS,
  ...IMAGE_COMMANDS,
  ...BREAKPOINT_COMMANDS,
  ...programCommands(() => COMMANDS),
].sort((a, b) => (a.name < b.name ? -1 : 1));

/** Runs one line; false when it failed. */
export async function runLine(environment: IoEnvironment, line: string): Promise<boolean> {
  const [name, ...words] = line.split(' ').filter((word) => word !== '');
  if (name === undefined) return true;
  const command = COMMANDS.find((candidate) => candidate.name === name || candidate.alias === name);
  const complaint = command === undefined ? `command "${name}" not found` : obstacle(command, name, words, environment);
  if (command === undefined || complaint !== undefined) {
    environment.io.error(`${complaint}\n`);
    return false;
  }
  return runCommand(environment, command, words);
}

/** Why a command cannot be run at all. */
function obstacle(command: IoCommand, name: string, words: readonly string[], { image }: IoEnvironment): string | undefined {
  if (!command.needsNoImage && image === undefined) return "no file open, try 'help open'";
  const { minArgs, maxArgs } = command;
  if (words.length >= minArgs && words.length <= (maxArgs ?? Infinity)) return undefined;
  let expected = `between ${minArgs} and ${maxArgs}`;
  if (maxArgs === undefined) expected = `at least ${minArgs}`;
  else if (minArgs === maxArgs) expected = `${minArgs}`;
  return `bad argument count ${words.length} to ${name}, expected ${expected} arguments`;
}

async function runCommand(environment: IoEnvironment, command: IoCommand, words: readonly string[]): Promise<boolean> {
  try {
    if (command.changes !== undefined) demandPermission(environment, command.changes);
    await command.run(words, environment);
    return true;
  } catch (error) {
    if (error instanceof UsageWanted) environment.say(usageLine(command));
    else if (error instanceof Failure && !(error instanceof DifferenceFailure)) environment.report(error.message);
    else if (!(error instanceof CommandFailed)) throw error;
    return false;
  }
}

function demandPermission(environment: IoEnvironment, changes: 'data' | 'size'): void {
  const { backend } = environment;
  if (backend.node.readOnly) throw new Failure('invalid-argument', 'Block node is read-only');
  if (changes === 'size') backend.setPermissions({ write: true, resize: true });
}
