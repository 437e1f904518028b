// nandu-img rebase: gives an image another backing image.
import { errnoOf, errnoText, ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { hasDriver } from '../../block/drivers.ts';
import { displayFilename, fullBackingName } from '../../block/filename.ts';
import type { BlockNode } from '../../block/node.ts';
import { backingOf, depthOfBacking } from '../../block/operations/backing-chain.ts';
import { withoutFilters } from '../../block/operations/map-image.ts';
import { rebase } from '../../block/operations/rebase.ts';
import { parseCacheMode, type CacheMode } from './cache-mode.ts';
import { LONG } from './common-options.ts';
import { interruptible } from './interruptible.ts';
import { Progress, progressStyle, type ProgressStyle } from './progress.ts';
import { closeAll, UsageFailure, type Session } from './session.ts';

const GRAMMAR = { short: ':hf:F:b:upt:T:qU', long: [LONG.help, LONG.object, LONG.imageOpts, LONG.forceShare, LONG.progress] } as const;

interface Plan {
  readonly filename: string;
  /** Empty for none. */
  readonly backingFile: string | undefined;
  readonly backingFormat: string | undefined;
  readonly unsafe: boolean;
  readonly sourceCache: CacheMode;
  readonly forceShare: boolean;
}

export async function run(words: readonly string[], session: Session): Promise<number> {
  const operands: string[] = [];
  let format: string | undefined;
  let backingFormat: string | undefined;
  let backingFile: string | undefined;
  let cacheName = 'writeback';
  let sourceCacheName = 'writeback';
  let style: ProgressStyle = 'off';
  let unsafe = false;
  let imageOptions = false;
  let forceShare = false;
  for (const { name, argument } of session.options<string>('rebase', words, GRAMMAR, operands)) {
    if (name === 'f') format = argument;
    else if (name === 'F') backingFormat = argument;
    else if (name === 'b') backingFile = argument;
    else if (name === 'u') unsafe = true;
    else if (name === 'p') style = 'line';
    else if (name === 'progress') style = progressStyle(argument!);
    else if (name === 't') cacheName = argument!;
    else if (name === 'T') sourceCacheName = argument!;
    else if (name === 'q') session.isQuiet = true;
    else if (name === 'U') forceShare = true;
    else if (name === 'image-opts') imageOptions = true;
  }
  if (session.isQuiet && style === 'line') style = 'off';
  if (operands.length !== 1) throw new UsageFailure('Expecting one image file name');
  if (!unsafe && backingFile === undefined) throw new UsageFailure('Must specify backing file (-b) or use unsafe mode (-u)');
  const filename = operands[0]!;
  const progress = new Progress(session.io, 'rebase', style, 1);
  progress.set(0);
  const cache = parseCacheMode('cache', cacheName);
  const sourceCache = parseCacheMode('source cache', sourceCacheName);
  const overlay = await session.open({ filename, format, imageOptions, cache, flags: { unmap: true, noBacking: unsafe } });
  try {
    await rebaseImage(session, overlay, { filename, backingFile, backingFormat, unsafe, sourceCache, forceShare }, progress);
  } finally {
    await overlay.close();
  }
  return 0;
}

async function rebaseImage(session: Session, overlay: BlockBackend, plan: Plan, progress: Progress): Promise<void> {
  const { backingFormat } = plan;
  const node = withoutFilters(overlay.node);
  if (backingFormat !== undefined && !hasDriver(backingFormat))
    throw new Failure('invalid-argument', `Invalid format name: '${backingFormat}'`);
  if (!plan.unsafe) await copyDifferences(session, overlay, node, plan, progress);
  await changeBacking(node, plan);
  progress.set(100);
  if (!plan.unsafe) progress.end();
}

async function copyDifferences(session: Session, overlay: BlockBackend, node: BlockNode, plan: Plan, progress: Progress): Promise<void> {
  const oldBacking = backingOf(node);
  const prefix = prefixNode(session, node, plan);
  const opened = prefix === undefined && plan.backingFile !== '' ? await openNew(session, node, plan) : undefined;
  try {
    await interruptible(session.io, (signal) =>
      rebase({
        overlay,
        oldBacking,
        newBacking: prefix ?? opened?.node,
        prefix,
        signal,
        progress: (done, total) => progress.add((100 * done) / total),
      }),
    );
  } finally {
    await closeAll([opened]);
  }
}

/** The new backing image, when it is in the chain already. */
function prefixNode(session: Session, node: BlockNode, { backingFile }: Plan): BlockNode | undefined {
  if (backingFile === undefined || backingFile === '') return undefined;
  const depth = depthOfBacking(session.graph.host.files, node, backingFile);
  if (depth === undefined) return undefined;
  let at = node;
  for (let layer = 0; layer < depth; layer++) at = withoutFilters(backingOf(at)!);
  return at;
}

async function openNew(
  session: Session,
  node: BlockNode,
  { backingFile, backingFormat, sourceCache, forceShare }: Plan,
): Promise<BlockBackend> {
  const name = fullBackingName(displayFilename(node), backingFile!);
  try {
    return await session.open({ filename: name, format: backingFormat, cache: sourceCache, forceShare, flags: { readOnly: true } });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const message = error.message.replace(`Could not open '${name}': `, '');
    throw new Failure(error.kind, `Could not open new backing file '${backingFile!}': ${message}`, { cause: error });
  }
}

async function changeBacking(node: BlockNode, { backingFile, backingFormat }: Plan): Promise<void> {
  const name = backingFile ?? '';
  const refused = (why: string, error: Failure): Failure =>
    new Failure(error.kind, `Could not change the backing file to '${name}': ${why}`, { cause: error });
  const { instance } = node;
  try {
    if (name !== '' && backingFormat === undefined && instance.changeBackingFile !== undefined) {
      throw refused('backing format must be specified', new ErrnoFailure('EINVAL'));
    }
    if (instance.changeBackingFile === undefined) throw new ErrnoFailure('ENOTSUP');
    await instance.changeBackingFile(name === '' ? undefined : name, name === '' ? undefined : backingFormat);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (error.message.startsWith('Could not change')) throw error;
    const errno = errnoOf(error);
    throw refused(errno === 'ENOSPC' ? 'No space left in the file header' : errnoText(errno), error);
  }
}
