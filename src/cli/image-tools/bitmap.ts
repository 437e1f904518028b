// nandu-img bitmap: adds, removes, clears, enables, disables and merges the dirty bitmaps stored in an image.
import { Failure } from '../../base/failure.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { addBitmap, clearBitmap, disableBitmap, enableBitmap, mergeBitmap, removeBitmap } from '../../block/bitmap-operations.ts';
import { LONG } from './common-options.ts';
import { parseSizeArgument } from './human-size.ts';
import { closeAll, type Session } from './session.ts';

const ACTIONS = ['add', 'remove', 'clear', 'enable', 'disable', 'merge'] as const;
type ActionName = (typeof ACTIONS)[number];

const GRAMMAR = {
  short: ':b:f:F:g:h',
  long: [
    LONG.help,
    LONG.object,
    LONG.imageOpts,
    ...ACTIONS.map((name) => ({ long: name, name, argument: name === 'merge' ? 'required' : 'none' }) as const),
    { long: 'granularity', name: 'g', argument: 'required' },
    { long: 'source-file', name: 'b', argument: 'required' },
    { long: 'source-format', name: 'F', argument: 'required' },
  ],
} as const;

interface Action {
  readonly name: ActionName;
  /** The bitmap to merge from. */
  readonly source: string;
}

const wrong = (message: string): Failure => new Failure('invalid-argument', message);

export async function run(words: readonly string[], session: Session): Promise<number> {
  const operands: string[] = [];
  const actions: Action[] = [];
  let format: string | undefined;
  let sourceFile: string | undefined;
  let sourceFormat: string | undefined;
  let granularity: number | undefined;
  let imageOptions = false;
  for (const { name, argument } of session.options<string>('bitmap', words, GRAMMAR, operands)) {
    const action = ACTIONS.find((candidate) => candidate === name);
    if (action !== undefined) actions.push({ name: action, source: argument ?? '' });
    else if (name === 'b') sourceFile = argument;
    else if (name === 'F') sourceFormat = argument;
    else if (name === 'f') format = argument;
    else if (name === 'g')
      granularity = Number(parseSizeArgument('granularity', argument!, { min: 1n, warn: (line) => session.warn(line) }));
    else if (name === 'image-opts') imageOptions = true;
  }
  checkActions(actions, { granularity, sourceFile, sourceFormat });
  if (operands.length !== 2) throw wrong('Expecting filename and bitmap name');
  const [filename, bitmap] = operands as [string, string];
  const target = await session.open({ filename, format, imageOptions });
  try {
    for (const action of actions) {
      const source = action.name === 'merge' && sourceFile !== undefined ? await openSource(session, sourceFile, sourceFormat) : undefined;
      try {
        await act(target, source ?? target, bitmap, action, granularity);
      } finally {
        await closeAll([source]);
      }
    }
  } finally {
    await target.close();
  }
  return 0;
}

interface GivenOptions {
  readonly granularity: number | undefined;
  readonly sourceFile: string | undefined;
  readonly sourceFormat: string | undefined;
}

function checkActions(actions: readonly Action[], { granularity, sourceFile, sourceFormat }: GivenOptions): void {
  const has = (wanted: ActionName): boolean => actions.some(({ name }) => name === wanted);
  if (actions.length === 0) throw wrong('Need at least one of --add, --remove, --clear, --enable, --disable, or --merge');
  if (granularity !== undefined && !has('add')) throw wrong('granularity only supported with --add');
  if (sourceFormat !== undefined && sourceFile === undefined) throw wrong('-F only supported with -b');
  if (sourceFile !== undefined && !has('merge')) throw wrong('Merge bitmap source file only supported with --merge');
}

const openSource = (session: Session, filename: string, format: string | undefined): Promise<BlockBackend> =>
  session.open({ filename, format, flags: { readOnly: true } });

async function act(
  target: BlockBackend,
  source: BlockBackend,
  bitmap: string,
  { name, source: from }: Action,
  granularity: number | undefined,
): Promise<void> {
  const { node } = target;
  try {
    if (name === 'add') addBitmap(node, bitmap, { granularity, persistent: true });
    else if (name === 'remove') await removeBitmap(node, bitmap);
    else if (name === 'clear') clearBitmap(node, bitmap);
    else if (name === 'enable') enableBitmap(node, bitmap);
    else if (name === 'disable') disableBitmap(node, bitmap);
    else mergeBitmap(node, bitmap, source.node, from);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(error.kind, `Operation ${name} on bitmap ${bitmap} failed: ${error.message}`, { cause: error });
  }
}
