// nandu-img dd: copies blocks of one image into a new one.
import { prefixed } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { hasDriver } from '../../block/drivers.ts';
import { copyBlocks } from '../../block/operations/copy-blocks.ts';
import { createWithValues, creationOptions, driversFor } from '../../block/operations/create.ts';
import { LONG } from './common-options.ts';
import { parseSizeArgument } from './human-size.ts';
import { interruptible } from './interruptible.ts';
import { closeAll, type Session } from './session.ts';

const GRAMMAR = { short: ':hf:O:U', long: [LONG.help, LONG.object, LONG.imageOpts, LONG.forceShare] } as const;

const MAX_BLOCK_BYTES = 2n ** 31n - 1n;
const DEFAULT_BLOCK_BYTES = 512;

interface Operands {
  input?: string;
  output?: string;
  blockBytes: number;
  count?: number;
  skip: number;
}

export async function run(words: readonly string[], session: Session): Promise<number> {
  const rest: string[] = [];
  let format: string | undefined;
  let outputFormat = 'raw';
  let imageOptions = false;
  let forceShare = false;
  for (const { name, argument } of session.options<string>('dd', words, GRAMMAR, rest)) {
    if (name === 'f') format = argument;
    else if (name === 'O') outputFormat = argument!;
    else if (name === 'U') forceShare = true;
    else if (name === 'image-opts') imageOptions = true;
  }
  const operands: Operands = { blockBytes: DEFAULT_BLOCK_BYTES, skip: 0 };
  for (const word of rest) parseOperand(operands, word);
  const { input, output } = operands;
  if (input === undefined || output === undefined) throw new Failure('invalid-argument', 'Must specify both input and output files');
  const source = await session.open({ filename: input, format, imageOptions, forceShare, flags: { readOnly: true } });
  try {
    const { start, end, size } = range(operands, source.size);
    await create(session, outputFormat, output, size);
    if (start > source.size) session.report(`${input}: cannot skip to specified offset`);
    const target = await session.open({ filename: output, format: outputFormat });
    try {
      await interruptible(session.io, (signal) => copyBlocks({ source, target, start, end, blockBytes: operands.blockBytes, signal }));
    } finally {
      await target.close();
    }
  } finally {
    await closeAll([source]);
  }
  return 0;
}

function parseOperand(operands: Operands, word: string): void {
  const equals = word.indexOf('=');
  const name = equals < 0 ? word : word.slice(0, equals);
  const value = equals < 0 ? undefined : word.slice(equals + 1);
  if (value === undefined) throw new Failure('invalid-argument', `unrecognized operand ${name}`);
  if (name === 'if') operands.input = value;
  else if (name === 'of') operands.output = value;
  else if (name === 'bs') operands.blockBytes = Number(parseSizeArgument('bs', value, { min: 1n, max: MAX_BLOCK_BYTES }));
  else if (name === 'count') operands.count = Number(parseSizeArgument('count', value));
  else if (name === 'skip') operands.skip = Number(parseSizeArgument('skip', value));
  else throw new Failure('invalid-argument', `unrecognized operand ${name}`);
}

/** What is copied of the source. `count` is counted from the source's beginning, as the reference does. */
function range(
  { blockBytes, count, skip }: Operands,
  sourceSize: number,
): { readonly start: number; readonly end: number; readonly size: number } {
  const start = skip * blockBytes;
  const end = count === undefined ? sourceSize : Math.min(sourceSize, count * blockBytes);
  return { start, end, size: Math.max(0, end - start) };
}

async function create(session: Session, format: string, filename: string, size: number): Promise<void> {
  if (!hasDriver(format)) throw new Failure('invalid-argument', 'Unknown file format');
  const [driver, protocol] = await driversFor(session.graph, format, filename);
  const values = creationOptions(driver, protocol);
  values.setNumber('size', size);
  try {
    await createWithValues(session.graph, driver, filename, values);
  } catch (error) {
    throw prefixed(`${filename}: error while creating output image`, error);
  }
}
