// nandu-img check: whether an image's own tables are consistent, and repairing them.
import { errnoOf } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type { CheckResult } from '../../block/driver.ts';
import { displayFilename } from '../../block/filename.ts';
import { parseCacheMode } from './cache-mode.ts';
import { LONG, outputFormat } from './common-options.ts';
import { prettyJson } from './json-text.ts';
import { UsageFailure, type Session } from './session.ts';
import { twoPlaces } from './two-places.ts';

/** Exit statuses, beside 0 and 1. */
const STATUS = { CORRUPT: 2, LEAKS: 3, NOT_SUPPORTED: 63 } as const;

const GRAMMAR = {
  short: ':hf:r:T:qU',
  long: [
    LONG.help,
    LONG.format,
    { long: 'repair', name: 'r', argument: 'required' },
    LONG.output,
    LONG.object,
    LONG.imageOpts,
    LONG.forceShare,
  ],
} as const;

type Repair = 'leaks' | 'all' | undefined;

export async function run(words: readonly string[], session: Session): Promise<number> {
  const operands: string[] = [];
  let format: string | undefined;
  let output: string | undefined;
  let cacheName = 'writeback';
  let imageOptions = false;
  let forceShare = false;
  let repair: Repair;
  for (const { name, argument } of session.options<string>('check', words, GRAMMAR, operands)) {
    if (name === 'f') format = argument;
    else if (name === 'r') repair = repairKind(argument!);
    else if (name === 'T') cacheName = argument!;
    else if (name === 'q') session.isQuiet = true;
    else if (name === 'U') forceShare = true;
    else if (name === 'output') output = argument;
    else if (name === 'image-opts') imageOptions = true;
  }
  if (operands.length !== 1) throw new UsageFailure('Expecting one image file name');
  const shown = outputFormat(output);
  const cache = parseCacheMode('source cache', cacheName);
  const flags = { readOnly: repair === undefined, check: true, unmap: true };
  const backend = await session.open({ filename: operands[0]!, format, imageOptions, forceShare, cache, flags });
  try {
    return await checkImage(session, backend, repair, shown === 'json');
  } finally {
    await backend.close();
  }
}

function repairKind(text: string): Repair {
  if (text === 'leaks' || text === 'all') return text;
  throw new UsageFailure(`Unknown option value for -r (expecting 'leaks' or 'all'): ${text}`);
}

async function checkImage(session: Session, backend: BlockBackend, repair: Repair, asJson: boolean): Promise<number> {
  let result: CheckResult;
  try {
    result = await examine(session, backend, repair);
    const { corruptionsFixed, leaksFixed } = result;
    if (corruptionsFixed > 0 || leaksFixed > 0) {
      if (!asJson) session.say(repairedText(result));
      result = { ...(await examine(session, backend, undefined)), corruptionsFixed, leaksFixed };
    }
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (errnoOf(error) === 'ENOTSUP') {
      session.report('This image format does not support checks');
      return STATUS.NOT_SUPPORTED;
    }
    session.report(`Check failed: ${error.message}`);
    return 1;
  }
  if (asJson) session.io.out(`${prettyJson(checkJson(backend, result))}\n`);
  else session.say(checkText(result));
  if (result.checkErrors > 0) {
    session.report('Check failed');
    return 1;
  }
  if (result.corruptions > 0) return STATUS.CORRUPT;
  return result.leaks > 0 ? STATUS.LEAKS : 0;
}

async function examine(session: Session, { node }: BlockBackend, repair: Repair): Promise<CheckResult> {
  const { instance } = node;
  if (instance.check === undefined) throw new Failure('unsupported', 'This image format does not support checks');
  return instance.check({
    fixLeaks: repair !== undefined,
    fixErrors: repair === 'all',
    report: (line, stream) => (stream === 'stdout' ? session.io.out(`${line}\n`) : session.io.error(`${line}\n`)),
    complain: (message) => session.report(message),
  });
}

const repairedText = ({ leaksFixed, corruptionsFixed }: CheckResult): string =>
  'The following inconsistencies were found and repaired:\n\n' +
  `    ${leaksFixed} leaked clusters\n    ${corruptionsFixed} corruptions\n\nDouble checking the fixed image now...\n`;

function checkText({ corruptions, leaks, checkErrors, fragmentation, imageEndOffset }: CheckResult): string {
  let text = '';
  if (corruptions === 0 && leaks === 0 && checkErrors === 0) text += 'No errors were found on the image.\n';
  if (corruptions > 0) {
    text += `\n${corruptions} errors were found on the image.\nData may be corrupted, or further writes to the image may corrupt it.\n`;
  }
  if (leaks > 0) text += `\n${leaks} leaked clusters were found on the image.\nThis means waste of disk space, but no harm to data.\n`;
  if (checkErrors > 0) text += `\n${checkErrors} internal errors have occurred during the check.\n`;
  if (fragmentation !== undefined && fragmentation.total > 0 && fragmentation.allocated > 0) {
    const { total, allocated, fragmented, compressed } = fragmentation;
    const percent = (part: number, whole: number): string => `${twoPlaces((part * 100) / whole)}%`;
    text +=
      `${allocated}/${total} = ${percent(allocated, total)} allocated, ${percent(fragmented, allocated)} fragmented, ` +
      `${percent(compressed, allocated)} compressed clusters\n`;
  }
  if (imageEndOffset > 0) text += `Image end offset: ${imageEndOffset}\n`;
  return text;
}

/** QMP's ImageCheck: what is nothing is left out. */
function checkJson(backend: BlockBackend, result: CheckResult): Record<string, string | number | undefined> {
  const { fragmentation } = result;
  const some = (value: number | undefined): number | undefined => (value === undefined || value === 0 ? undefined : value);
  return {
    filename: displayFilename(backend.node),
    format: backend.node.driver.name,
    'check-errors': result.checkErrors,
    'image-end-offset': some(result.imageEndOffset),
    corruptions: some(result.corruptions),
    leaks: some(result.leaks),
    'corruptions-fixed': some(result.corruptionsFixed),
    'leaks-fixed': some(result.leaksFixed),
    'total-clusters': some(fragmentation?.total),
    'allocated-clusters': some(fragmentation?.allocated),
    'fragmented-clusters': some(fragmentation?.fragmented),
    'compressed-clusters': some(fragmentation?.compressed),
  };
}
