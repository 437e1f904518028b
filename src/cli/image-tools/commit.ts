// nandu-img commit: writes an overlay's changes into its backing image, or into one further down.
import { ErrnoFailure, errnoOf, errnoText, prefixed } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { BlockBackend } from '../../block/backend.ts';
import type { Edge } from '../../block/node.ts';
import { backingOf, depthOfBacking } from '../../block/operations/backing-chain.ts';
import { commit } from '../../block/operations/commit.ts';
import { OptionDict } from '../../block/options.ts';
import { parseCacheMode } from './cache-mode.ts';
import { LONG } from './common-options.ts';
import { parseSizeArgument } from './human-size.ts';
import { interruptible } from './interruptible.ts';
import { Progress, progressStyle, type ProgressStyle } from './progress.ts';
import { closeAll, UsageFailure, type ImageRequest, type Session } from './session.ts';

const GRAMMAR = { short: ':f:ht:b:dpqr:', long: [LONG.help, LONG.object, LONG.imageOpts, LONG.progress] } as const;

export async function run(words: readonly string[], session: Session): Promise<number> {
  session.overlapsReads = true;
  const operands: string[] = [];
  let format: string | undefined;
  let cacheName = 'writeback';
  let base: string | undefined;
  let keepTop = false;
  let style: ProgressStyle = 'off';
  let imageOptions = false;
  let bytesPerSecond = 0;
  for (const { name, argument } of session.options<string>('commit', words, GRAMMAR, operands)) {
    if (name === 'f') format = argument;
    else if (name === 't') cacheName = argument!;
    else if (name === 'b') base = argument;
    else if (name === 'd') keepTop = true;
    else if (name === 'p') style = 'line';
    else if (name === 'progress') style = progressStyle(argument!);
    else if (name === 'q') session.isQuiet = true;
    else if (name === 'r') bytesPerSecond = Number(parseSizeArgument('rate limit', argument!, { warn: (line) => session.warn(line) }));
    else if (name === 'image-opts') imageOptions = true;
  }
  if (session.isQuiet && style === 'line') style = 'off';
  if (operands.length !== 1) throw new UsageFailure('Expecting one image file name');
  const cache = parseCacheMode('cache', cacheName);
  const request: ImageRequest = { filename: operands[0]!, format, imageOptions, cache, flags: { unmap: true } };
  const depth = await findBase(session, request, base);
  const progress = new Progress(session.io, 'commit', style, 1);
  try {
    await commitTo(session, request, { depth, empty: !keepTop && base === undefined, bytesPerSecond }, progress);
  } finally {
    progress.end();
  }
  session.say('Image committed.\n');
  return 0;
}

/** How many layers down the target is. */
async function findBase(session: Session, request: ImageRequest, base: string | undefined): Promise<number> {
  const top = await session.open({ ...request, flags: { readOnly: true }, use: { noIo: true } });
  let depth: number | undefined;
  let isProbed: boolean;
  try {
    const nearest = backingOf(top.node) === undefined ? undefined : 1;
    depth = base === undefined ? nearest : depthOfBacking(session.graph.host.files, top.node, base);
    isProbed = top.node.flags.probed;
  } finally {
    await top.close();
  }
  if (depth !== undefined) return depth;
  // The reference has opened it for writing by now, and warned that a raw image was only guessed.
  if (isProbed) await (await session.open(request)).close();
  if (base === undefined) throw new Failure('invalid-argument', 'Image does not have a backing file');
  throw new Failure('not-found', `Did not find '${base}' in the backing chain of '${request.filename}'`);
}

interface CommitPlan {
  readonly depth: number;
  /** The overlay keeps nothing of what was committed. */
  readonly empty: boolean;
  readonly bytesPerSecond: number;
}

async function commitTo(
  session: Session,
  request: ImageRequest,
  { depth, empty, bytesPerSecond }: CommitPlan,
  progress: Progress,
): Promise<void> {
  const writableBase = new OptionDict([[`${'backing.'.repeat(depth)}read-only`, false]]);
  const top = await session.open({ ...request, extra: writableBase });
  let base: BlockBackend | undefined;
  try {
    const edge = edgeTo(top, depth);
    base = await BlockBackend.over(session.graph, edge.node, { write: false });
    session.graph.detach(edge); // from now on nobody reads the base through the overlay
    base.setPermissions({ write: true, resize: true });
    progress.set(0);
    const target = base;
    const report = (done: number, total: number): void => progress.set((100 * done) / total);
    await interruptible(session.io, async (signal) => {
      try {
        await commit({ top: top.node, base: target, signal, bytesPerSecond, progress: report });
      } catch (error) {
        throw jobFailure(error);
      }
    });
    progress.set(100);
    if (empty) await makeEmpty(top, request.filename);
  } finally {
    await closeAll([top, base]);
  }
}

/** The reference's words for an error that stops a block job; an interruption is none. */
function jobFailure(cause: unknown): unknown {
  if (!(cause instanceof ErrnoFailure)) return cause;
  return new ErrnoFailure(cause.errno, `Block job failed: ${errnoText(cause.errno)}`, { cause });
}

function edgeTo({ node }: BlockBackend, depth: number): Edge {
  let edge = node.filtered ?? node.backing!;
  for (let layer = 1; layer < depth;) {
    const { node: below } = edge;
    if (below.filtered === undefined) layer++;
    edge = below.filtered ?? below.backing!;
  }
  return edge;
}

async function makeEmpty({ node }: BlockBackend, filename: string): Promise<void> {
  if (node.instance.makeEmpty === undefined) return;
  try {
    await node.instance.makeEmpty();
  } catch (error) {
    if (error instanceof Failure && errnoOf(error) === 'ENOTSUP') return;
    throw prefixed(`Could not empty ${filename}`, error);
  }
}
