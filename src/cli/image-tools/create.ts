// nandu-img create: a new image.
import { Failure } from '../../base/failure.ts';
import { createImage, creationOptions, driversFor, HintedFailure, optionsOf } from '../../block/operations/create.ts';
import { asksForHelp, isValidOptionList, optionHelp } from '../../block/operations/create-options.ts';
import { hasDriver, loadDriver } from '../../block/drivers.ts';
import { LONG } from './common-options.ts';
import { INT64_MAX, parseSizeArgument } from './human-size.ts';
import { UsageFailure, type Session } from './session.ts';

const GRAMMAR = {
  short: ':F:b:f:ho:qu',
  long: [LONG.help, LONG.object],
} as const;

export async function run(words: readonly string[], session: Session): Promise<number> {
  const operands: string[] = [];
  let format = 'raw';
  let backingFile: string | undefined;
  let backingFormat: string | undefined;
  let unsafeBacking = false;
  let optionText: string | undefined;
  for (const { name, argument } of session.options<string>('create', words, GRAMMAR, operands)) {
    if (name === 'F') backingFormat = argument;
    else if (name === 'b') backingFile = argument;
    else if (name === 'f') format = argument!;
    else if (name === 'o') optionText = addOptionList(optionText, argument!);
    else if (name === 'q') session.isQuiet = true;
    else if (name === 'u') unsafeBacking = true;
  }
  const [filename, sizeText, unexpected] = operands;
  if (optionText !== undefined && asksForHelp(optionText)) return showOptions(session, format, filename);
  if (filename === undefined) throw new UsageFailure('Expecting image file name');
  const size =
    sizeText === undefined ? undefined : parseSizeArgument('image size', sizeText, { max: INT64_MAX, warn: (line) => session.warn(line) });
  if (unexpected !== undefined) throw new UsageFailure(`Unexpected argument: ${unexpected}`);
  const announce = (line: string): void => session.say(`${line}\n`);
  await named(filename, () =>
    createImage(session.graph, { filename, format, optionText, size, backingFile, backingFormat, unsafeBacking, announce }),
  );
  return 0;
}

/** Failures of `action` under the image's name. */
async function named(filename: string, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const failure = new Failure(error.kind, `${filename}: ${error.message}`, { cause: error });
    throw error instanceof HintedFailure ? new HintedFailure(failure, error.hint) : failure;
  }
}

/** Several -o count as one list. */
export function addOptionList(before: string | undefined, text: string): string {
  if (!isValidOptionList(text)) throw new Failure('invalid-argument', `Invalid option list: ${text}`);
  return before === undefined ? text : `${before},${text}`;
}

/** `-o help`; with a file name also what its protocol takes. */
export async function showOptions(session: Session, format: string, filename: string | undefined): Promise<number> {
  if (!hasDriver(format)) throw new Failure('invalid-argument', `Unknown file format '${format}'`);
  const driver = await loadDriver(format);
  if (optionsOf(driver) === undefined) throw new Failure('unsupported', `Format driver '${format}' does not support image creation`);
  if (filename !== undefined) {
    const [, protocol] = await driversFor(session.graph, format, filename);
    session.io.out(`Supported options:\n${optionHelp(creationOptions(driver, protocol).declared)}`);
    return 0;
  }
  session.io.out(
    `Supported ${format} options:\n${optionHelp(optionsOf(driver)!)}\n` +
      'The protocol level may support further options.\nSpecify the target filename to include those options.\n',
  );
  return 0;
}
