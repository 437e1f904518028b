// The program nandu-io: reads and writes images by single commands, for tests and for repairing by hand, with the command line
// and the words of QEMU 7.2's qemu-io. Here are the program's options; the commands are in io-commands/.
import { createInterface } from 'node:readline';
import { Failure } from '../../base/failure.ts';
import { DifferenceFailure } from '../../block/difference-failure.ts';
import { VERSION } from '../version.ts';
import { OptionReader } from './getopt.ts';
import { CommandFailed, IoEnvironment } from './io-commands/command.ts';
import {
  closeImage,
  defaultOpening,
  openImage,
  parseOptions,
  setAio,
  setCache,
  setDiscard,
  type OpeningSettings,
} from './io-commands/image.ts';
import { runLine } from './io-commands/table.ts';
import { ObjectHelp } from './objects.ts';
import { Session } from './session.ts';
import type { ToolIo } from './tool-io.ts';

const GRAMMAR = {
  short: 'hVc:d:f:rsnCmki:t:T:U',
  long: [
    { long: 'help', name: 'h', argument: 'none' },
    { long: 'version', name: 'V', argument: 'none' },
    { long: 'cmd', name: 'c', argument: 'required' },
    { long: 'format', name: 'f', argument: 'required' },
    { long: 'read-only', name: 'r', argument: 'none' },
    { long: 'snapshot', name: 's', argument: 'none' },
    { long: 'nocache', name: 'n', argument: 'none' },
    { long: 'copy-on-read', name: 'C', argument: 'none' },
    { long: 'misalign', name: 'm', argument: 'none' },
    { long: 'native-aio', name: 'k', argument: 'none' },
    { long: 'aio', name: 'i', argument: 'required' },
    { long: 'discard', name: 'd', argument: 'required' },
    { long: 'cache', name: 't', argument: 'required' },
    { long: 'trace', name: 'T', argument: 'required' },
    { long: 'force-share', name: 'U', argument: 'none' },
    { long: 'object', name: 'object', argument: 'required' },
    { long: 'image-opts', name: 'image-opts', argument: 'none' },
  ],
} as const;

const helpText = (program: string): string => `Usage: ${program} [OPTIONS]... [-c STRING]... [file]
Reads and writes disk images by single commands

  --object OBJECTDEF   define an object such as 'secret' for
                       passwords and/or encryption keys
  --image-opts         treat file as option string
  -c, --cmd STRING     execute command with its arguments
                       from the given string
  -f, --format FMT     specifies the block driver to use
  -r, --read-only      export read-only
  -s, --snapshot       use snapshot file
  -n, --nocache        disable host cache, short for -t none
  -C, --copy-on-read   enable copy-on-read
  -m, --misalign       misalign allocations for O_DIRECT
  -k, --native-aio     use kernel AIO implementation
                       (Linux only, prefer use of -i)
  -i, --aio=MODE       use AIO mode (threads, native or io_uring)
  -t, --cache=MODE     use the given cache mode for the image
  -d, --discard=MODE   use the given discard mode for the image
  -T, --trace PATTERN  accepted; there are no trace events
  -U, --force-share    force shared permissions
  -h, --help           display this help and exit
  -V, --version        output version information and exit

See '${program} -c help' for information on available commands.
`;

const VERSION_TEXT = `nandu-io version ${VERSION} (compatible with qemu-io 7.2)\nCopyright (c) The nandu authors\n`;

/** What the command line asks for. */
interface Invocation {
  readonly opening: OpeningSettings;
  readonly commands: string[];
  format: string | undefined;
  imageOptions: boolean;
}

/** The program ends here, with this status. */
class Ended extends Error {
  readonly status: number;

  constructor(status: number) {
    super();
    this.status = status;
  }
}

/** Runs one command line; the exit status. */
export async function runIo(words: readonly string[], io: ToolIo): Promise<number> {
  const session = new Session(io);
  const environment = new IoEnvironment(io, () => session.graph); // the objects of the command line belong to it
  try {
    return await run(words, environment, session);
  } catch (error) {
    if (error instanceof Ended) return error.status;
    if (error instanceof CommandFailed) return 1;
    if (error instanceof ObjectHelp) return 0;
    if (!(error instanceof Failure)) throw error;
    if (error instanceof DifferenceFailure) io.error(`${error.message}\n`);
    else environment.report(error.message);
    return 1;
  }
}

async function run(words: readonly string[], environment: IoEnvironment, session: Session): Promise<number> {
  const invocation: Invocation = { opening: defaultOpening(), commands: [], format: undefined, imageOptions: false };
  const operands = readOptions(words, environment, session, invocation);
  if (operands.length > 1) {
    environment.say(helpText(environment.io.program));
    return 1;
  }
  if (invocation.format !== undefined && invocation.imageOptions) {
    throw new Failure('invalid-argument', '--image-opts and -f are mutually exclusive');
  }
  void session.graph; // wrong objects are refused before anything is opened
  if (operands[0] !== undefined) await openOperand(environment, operands[0], invocation);
  const worked = invocation.commands.length > 0 ? await runAll(environment, invocation.commands) : await converse(environment);
  // After a failed command the last flush often fails too: that is no news.
  const closed = await closeAtEnd(environment, worked);
  return worked && closed ? 0 : 1;
}

function readOptions(words: readonly string[], environment: IoEnvironment, session: Session, invocation: Invocation): readonly string[] {
  const { io } = environment;
  const reader = new OptionReader<string>(words, GRAMMAR, io.program);
  for (let step = reader.next(); step !== undefined; step = reader.next()) {
    if ('error' in step) {
      environment.report(step.error.message);
      io.out(helpText(io.program));
      throw new Ended(1);
    }
    applyOption(step.option.name, step.option.argument ?? '', environment, session, invocation);
  }
  return reader.operands;
}

function applyOption(name: string, argument: string, environment: IoEnvironment, session: Session, invocation: Invocation): void {
  const { opening } = invocation;
  const end = (text: string): never => {
    environment.say(text);
    throw new Ended(0);
  };
  if (name === 'h') end(helpText(environment.io.program));
  else if (name === 'V') end(VERSION_TEXT);
  else if (name === 'c') invocation.commands.push(argument);
  else if (name === 'f') invocation.format = argument;
  else if (name === 'r') opening.readOnly = true;
  else if (name === 's') opening.temporary = true;
  else if (name === 'n') setCache(environment, opening, 'none');
  else if (name === 'C') opening.copyOnRead = true;
  else if (name === 'k') opening.nativeAio = true;
  else if (name === 'i') setAio(environment, opening, argument);
  else if (name === 'd') setDiscard(environment, opening, argument);
  else if (name === 't') setCache(environment, opening, argument);
  else if (name === 'T') environment.report(`warning: trace event '${argument}' does not exist`);
  else if (name === 'U') opening.forceShare = true;
  else if (name === 'object') session.objects.add(argument);
  else if (name === 'image-opts') invocation.imageOptions = true;
}

async function openOperand(environment: IoEnvironment, operand: string, { imageOptions, format, opening }: Invocation): Promise<void> {
  if (imageOptions) return openImage(environment, undefined, parseOptions(environment, operand), opening);
  await openImage(environment, operand, format === undefined ? [] : [['driver', format]], opening);
}

async function runAll(environment: IoEnvironment, lines: readonly string[]): Promise<boolean> {
  let worked = true;
  for (const line of lines) {
    if (!(await runLine(environment, line))) worked = false;
    if (environment.ended) break;
  }
  return worked;
}

/** Commands from standard input, after a prompt each. */
async function converse(environment: IoEnvironment): Promise<boolean> {
  const { io } = environment;
  let worked = true;
  while (!environment.ended) {
    await environment.poll();
    environment.say(`${io.program}> `);
    const line = await io.readLine?.();
    if (line === undefined) break;
    if (!(await runLine(environment, line))) worked = false;
  }
  return worked;
}

async function closeAtEnd(environment: IoEnvironment, reports: boolean): Promise<boolean> {
  try {
    await closeImage(environment, reports);
    return true;
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    return false;
  }
}

/** Lines of standard input as they are asked for. */
function standardInput(): () => Promise<string | undefined> {
  let lines: AsyncIterator<string> | undefined;
  return async () => {
    lines ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    const next = await lines.next();
    return next.done === true ? undefined : next.value;
  };
}

/** The program: `words` are its arguments. */
export async function main(words: readonly string[] = process.argv.slice(2), program?: string): Promise<void> {
  const { processIo } = await import('./process-io.ts');
  const status = await runIo(words, { ...processIo(program), readLine: standardInput() });
  process.stdout.write('', () => process.exit(status));
}
