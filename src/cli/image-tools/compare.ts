// nandu-img compare: whether two images show the same.
import { Failure } from '../../base/failure.ts';
import { compare, CompareFailure, type Comparison } from '../../block/operations/compare.ts';
import { parseCacheMode } from './cache-mode.ts';
import { LONG } from './common-options.ts';
import { interruptible } from './interruptible.ts';
import { Progress, progressStyle, type ProgressStyle } from './progress.ts';
import { closeAll, StatusFailure, UsageFailure, type Session } from './session.ts';

/** Exit statuses: equal is 0, different is 1. */
const STATUS = { DIFFERENT: 1, FAILED: 2, NO_STATUS: 3, UNREADABLE: 4 } as const;

const GRAMMAR = { short: ':hf:F:T:pqsU', long: [LONG.help, LONG.object, LONG.imageOpts, LONG.forceShare, LONG.progress] } as const;

export async function run(words: readonly string[], session: Session): Promise<number> {
  const operands: string[] = [];
  const formats: [string | undefined, string | undefined] = [undefined, undefined];
  let cacheName = 'writeback';
  let style: ProgressStyle = 'off';
  let strict = false;
  let imageOptions = false;
  let forceShare = false;
  for (const { name, argument } of session.options<string>('compare', words, GRAMMAR, operands)) {
    if (name === 'f') formats[0] = argument;
    else if (name === 'F') formats[1] = argument;
    else if (name === 'T') cacheName = argument!;
    else if (name === 'p') style = 'line';
    else if (name === 'progress') style = progressStyle(argument!);
    else if (name === 'q') session.isQuiet = true;
    else if (name === 's') strict = true;
    else if (name === 'U') forceShare = true;
    else if (name === 'image-opts') imageOptions = true;
  }
  if (session.isQuiet && style === 'line') style = 'off';
  if (operands.length !== 2) throw new UsageFailure('Expecting two image file names');
  try {
    const cache = parseCacheMode('source cache', cacheName);
    const open = (index: 0 | 1): ReturnType<Session['open']> =>
      session.open({ filename: operands[index]!, format: formats[index], imageOptions, forceShare, cache, flags: { readOnly: true } });
    return await compareImages(session, [() => open(0), () => open(1)], operands, style, strict);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new StatusFailure(statusOf(error), error);
  }
}

function statusOf(error: Failure): number {
  if (!(error instanceof CompareFailure)) return STATUS.FAILED;
  return error.step === 'status' ? STATUS.NO_STATUS : STATUS.UNREADABLE;
}

type Opener = () => ReturnType<Session['open']>;

async function compareImages(
  session: Session,
  openers: readonly [Opener, Opener],
  names: readonly string[],
  style: ProgressStyle,
  strict: boolean,
): Promise<number> {
  const first = await openers[0]();
  let second: typeof first | undefined;
  try {
    second = await openers[1]();
    const progress = new Progress(session.io, 'compare', style, 2);
    progress.set(0);
    const images = [
      { backend: first, name: names[0]! },
      { backend: second, name: names[1]! },
    ] as const;
    try {
      const comparison = await interruptible(session.io, (signal) =>
        compare({
          images,
          strict,
          signal,
          progress: (done, total) => progress.add((done / total) * 100),
          sizeWarning: () => session.say('Warning: Image size mismatch!\n'),
        }),
      );
      session.say(answerText(comparison));
      return comparison.kind === 'identical' ? 0 : STATUS.DIFFERENT;
    } finally {
      progress.end();
    }
  } finally {
    await closeAll([first, second]);
  }
}

function answerText(comparison: Comparison): string {
  switch (comparison.kind) {
    case 'identical':
      return 'Images are identical.\n';
    case 'size-mismatch':
      return 'Strict mode: Image size mismatch!\n';
    case 'status-mismatch':
      return `Strict mode: Offset ${comparison.offset} block status mismatch!\n`;
    case 'content-mismatch':
      return `Content mismatch at offset ${comparison.offset}!\n`;
  }
}
