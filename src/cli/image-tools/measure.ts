// nandu-img measure: how big a new image would be.
import { Failure } from '../../base/failure.ts';
import { hasDriver, loadDriver } from '../../block/drivers.ts';
import type { CreateOptionValues } from '../../block/operations/create-options.ts';
import { creationOptions } from '../../block/operations/create.ts';
import { loadSnapshot, parseSnapshotParameter, type SnapshotChoice } from '../../block/operations/load-snapshot.ts';
import { LONG, outputFormat } from './common-options.ts';
import { addOptionList } from './create.ts';
import { parseSizeArgument } from './human-size.ts';
import { prettyJson } from './json-text.ts';
import { closeAll, type Session } from './session.ts';

const GRAMMAR = {
  short: ':hf:l:o:O:U',
  long: [LONG.help, LONG.imageOpts, LONG.object, LONG.output, { long: 'size', name: 'size', argument: 'required' }, LONG.forceShare],
} as const;

const wrong = (message: string): Failure => new Failure('invalid-argument', message);

export async function run(words: readonly string[], session: Session): Promise<number> {
  const operands: string[] = [];
  let format: string | undefined;
  let targetFormat = 'raw';
  let optionText: string | undefined;
  let snapshot: SnapshotChoice | undefined;
  let output: string | undefined;
  let size: bigint | undefined;
  let imageOptions = false;
  let forceShare = false;
  for (const { name, argument } of session.options<string>('measure', words, GRAMMAR, operands)) {
    if (name === 'f') format = argument;
    else if (name === 'l') snapshot = parseSnapshotParameter(argument!, (line) => session.report(line));
    else if (name === 'o') optionText = addOptionList(optionText, argument!);
    else if (name === 'O') targetFormat = argument!;
    else if (name === 'U') forceShare = true;
    else if (name === 'output') output = argument;
    else if (name === 'size') size = parseSizeArgument('image size', argument!, { warn: (line) => session.warn(line) });
    else if (name === 'image-opts') imageOptions = true;
  }
  const shown = outputFormat(output);
  if (operands.length > 1) throw wrong('At most one filename argument is allowed.');
  const [filename] = operands;
  if (filename === undefined && (imageOptions || format !== undefined || snapshot !== undefined)) {
    throw wrong('--image-opts, -f, and -l require a filename argument.');
  }
  if (filename === undefined && size === undefined) throw wrong('Either --size N or one filename must be specified.');
  if (filename !== undefined && size !== undefined) throw wrong('--size N cannot be used together with a filename.');
  const source =
    filename === undefined ? undefined : await session.open({ filename, format, imageOptions, forceShare, flags: { readOnly: true } });
  try {
    if (source !== undefined && snapshot !== undefined) await loadSnapshot(source.node, snapshot);
    const { driver, values } = await targetOptions(session, targetFormat, optionText);
    if (size !== undefined) values.setNumber('size', size);
    if (driver.measure === undefined) throw new Failure('unsupported', `Block driver '${driver.name}' does not support size measurement`);
    const result = await driver.measure(values.values(), source?.node);
    const { required, fullyAllocated, bitmaps } = result;
    if (shown === 'json') session.io.out(`${prettyJson({ required, 'fully-allocated': fullyAllocated, bitmaps })}\n`);
    else {
      const more = bitmaps === undefined ? '' : `bitmaps size: ${bitmaps}\n`;
      session.io.out(`required size: ${required}\nfully allocated size: ${fullyAllocated}\n${more}`);
    }
  } finally {
    await closeAll([source]);
  }
  return 0;
}

async function targetOptions(
  session: Session,
  format: string,
  optionText: string | undefined,
): Promise<{
  readonly driver: Awaited<ReturnType<typeof loadDriver>>;
  readonly values: CreateOptionValues;
}> {
  if (!hasDriver(format)) throw wrong(`Unknown file format '${format}'`);
  const driver = await loadDriver(format);
  const values = creationOptions(driver, await loadDriver('file'));
  if (optionText === undefined) return { driver, values };
  try {
    values.parse(optionText);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    session.report(error.message);
    throw wrong(`Invalid options for file format '${format}'`);
  }
  return { driver, values };
}
