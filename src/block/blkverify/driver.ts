// blkverify: writes to a raw file and to an image under test, and compares what both read. The first difference ends the
// program: the point is to stop at the moment of the corruption. Reference: `blkverify:RAW:IMAGE` and QMP's
// BlockdevOptionsBlkverify.
import { Failure } from '../../base/failure.ts';
import { str } from '../../schema/property.ts';
import { DifferenceFailure } from '../difference-failure.ts';
import type { BlockDriver, BlockInstance, OpenContext } from '../driver.ts';
import { exactFilename } from '../filename.ts';
import { filterInstance } from '../filter.ts';
import { firstDifference } from '../first-difference.ts';
import type { BlockNode, Edge } from '../node.ts';
import type { OptionDict } from '../options.ts';
import { ROLE } from '../permissions.ts';

const OPTIONS = { 'x-raw': { type: str }, 'x-image': { type: str } } as const;

async function open({ options, openChild }: OpenContext): Promise<BlockInstance> {
  const raw = options.takeText('x-raw');
  const image = options.takeText('x-image');
  const rawEdge = (await openChild('raw', ROLE.FILTERED, raw === undefined ? {} : { filename: raw }))!;
  const test = (await openChild('test', ROLE.DATA, { format: true, ...(image === undefined ? {} : { filename: image }) }))!;
  return instanceOver(rawEdge, test);
}

function instanceOver(raw: Edge, test: Edge): BlockInstance {
  const instance = filterInstance(raw, {
    writeFlags: 0,
    async read(offset, target, flags) {
      const copy = new Uint8Array(target.length);
      const name = `read offset=${offset} bytes=${target.length}`;
      await both(
        name,
        () => raw.read(offset, target, flags),
        () => test.read(offset, copy, flags),
      );
      const difference = firstDifference(target, copy);
      if (difference !== undefined) throw new DifferenceFailure(`blkverify: ${name} contents mismatch at offset ${offset + difference}`);
    },
    async write(offset, source) {
      const name = `write offset=${offset} bytes=${source.length}`;
      await both(
        name,
        () => raw.write(offset, source),
        () => test.write(offset, source),
      );
    },
    allocatedFileSize: () => undefined,
  });
  // Everything else would go past the comparison.
  delete instance.writeZeroes;
  delete instance.discard;
  delete instance.writeCompressed;
  delete instance.truncate;
  return instance;
}

const outcome = async (request: () => unknown): Promise<unknown> => {
  try {
    await request();
    return undefined;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return error;
  }
};

async function both(name: string, onRaw: () => unknown, onTest: () => unknown): Promise<void> {
  const [rawError, testError] = await Promise.all([outcome(onRaw), outcome(onTest)]);
  const [rawText, testText] = [rawError, testError].map((error) => (error as Failure | undefined)?.message ?? 'Success');
  if (rawText !== testText) throw new DifferenceFailure(`blkverify: ${name} return value mismatch ${rawText} != ${testText}`);
  if (rawError !== undefined) throw rawError;
}

const PREFIX = 'blkverify:';

function parseFilename(filename: string, options: OptionDict): void {
  if (!filename.startsWith(PREFIX)) {
    options.set('x-image', filename);
    return;
  }
  const rest = filename.slice(PREFIX.length);
  const colon = rest.indexOf(':');
  if (colon < 0) throw new Failure('invalid-argument', 'blkverify requires raw copy and original image path');
  options.set('x-raw', rest.slice(0, colon));
  options.set('x-image', rest.slice(colon + 1));
}

function plainFilename(node: BlockNode): string | undefined {
  const [raw, test] = ['raw', 'test'].map((name) => node.child(name)).map((edge) => edge && exactFilename(edge.node));
  return raw === undefined || test === undefined ? undefined : `${PREFIX}${raw}:${test}`;
}

export const driver: BlockDriver = {
  name: 'blkverify',
  kind: 'protocol',
  options: OPTIONS,
  needsFilename: false,
  strongOptions: [],
  parseFilename,
  exactFilename: plainFilename,
  open,
};
