// nandu-img resize: another virtual size.
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { PREALLOCATION, type Preallocation } from '../../block/driver.ts';
import { CreateOptionValues } from '../../block/operations/create-options.ts';
import { LONG } from './common-options.ts';
import { INT64_MAX } from './human-size.ts';
import { UsageFailure, type Session } from './session.ts';

const GRAMMAR = {
  short: ':f:hq',
  long: [
    LONG.help,
    LONG.object,
    LONG.imageOpts,
    { long: 'preallocation', name: 'preallocation', argument: 'required' },
    { long: 'shrink', name: 'shrink', argument: 'none' },
  ],
} as const;

export async function run(words: readonly string[], session: Session): Promise<number> {
  // The size is the last word before options are looked for, so that `-1G` is no option.
  const sizeText = words.at(-1);
  if (sizeText === undefined || words.length < 2) {
    if (sizeText !== undefined && /^(-h|--help)$/.test(sizeText))
      for (const _ of session.options<string>('resize', words, GRAMMAR, [])) continue;
    throw new UsageFailure('Not enough arguments');
  }
  const operands: string[] = [];
  let format: string | undefined;
  let imageOptions = false;
  let preallocation: Preallocation = 'off';
  let shrink = false;
  for (const { name, argument } of session.options<string>('resize', words.slice(0, -1), GRAMMAR, operands)) {
    if (name === 'f') format = argument;
    else if (name === 'q') session.isQuiet = true;
    else if (name === 'image-opts') imageOptions = true;
    else if (name === 'preallocation') preallocation = preallocationMode(argument!);
    else if (name === 'shrink') shrink = true;
  }
  if (operands.length !== 1) throw new UsageFailure('Expecting image file name and size');
  const wanted = parseNewSize(sizeText);
  const backend = await session.open({
    filename: operands[0]!,
    format,
    imageOptions,
    flags: { unmap: true },
    use: { write: true, resize: true },
  });
  try {
    return await resize(session, backend, wanted, preallocation, shrink);
  } finally {
    await backend.close();
  }
}

export function preallocationMode(text: string): Preallocation {
  const mode = PREALLOCATION.find((candidate) => candidate === text);
  if (mode === undefined) throw new Failure('invalid-argument', `Invalid preallocation mode '${text}'`);
  return mode;
}

interface NewSize {
  readonly sign: -1 | 0 | 1;
  readonly bytes: bigint;
}

function parseNewSize(text: string): NewSize {
  const sign = text.startsWith('+') ? 1 : text.startsWith('-') ? -1 : 0;
  const values = new CreateOptionValues([{ name: 'size', type: 'size' }]);
  values.set('size', sign === 0 ? text : text.slice(1));
  return { sign, bytes: values.size('size')! };
}

async function resize(
  session: Session,
  backend: BlockBackend,
  { sign, bytes }: NewSize,
  preallocation: Preallocation,
  shrink: boolean,
): Promise<number> {
  const current = BigInt(backend.size);
  const size = sign === 0 ? bytes : current + BigInt(sign) * bytes;
  if (size <= 0n || size > INT64_MAX) throw new Failure('invalid-argument', 'New image size must be positive');
  if (size <= current && preallocation !== 'off')
    throw new Failure('invalid-argument', 'Preallocation can only be used for growing images');
  if (size < current && !shrink) {
    session.report('Use the --shrink option to perform a shrink operation.');
    session.warn(
      "Shrinking an image will delete all data beyond the shrunken image's end. Before performing such an operation, " +
        'make sure there is no important data there.',
    );
    return 1;
  }
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw new ErrnoFailure('EFBIG');
  await backend.truncate({ size: Number(size), exact: true, preallocation, zeroWrite: false });
  session.say('Image resized.\n');
  return 0;
}
