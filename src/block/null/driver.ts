// null-co and null-aio: nodes of any size that swallow writes and read as nothing or as zeroes, for measuring what lies above
// them. Options as in QMP's BlockdevOptionsNull. Both are the same here: the host has one way to wait.
import type { Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import { bool, type PropertyType } from '../../schema/property.ts';
import { numberOption, sizeOption } from '../filter-options.ts';
import { WRITE, type BlockDriver, type BlockInstance, type OpenContext } from '../driver.ts';
import { MAX_SIZE, SECTOR } from '../node.ts';
import { STATUS } from '../status.ts';

const DEFAULT_SIZE = 2 ** 30;
const NANOSECONDS_PER_MS = 1e6;

const boundedSize: PropertyType<number> = {
  ...sizeOption,
  fromText: (name, text) => bounded(name, sizeOption.fromText(name, text)),
};

function bounded(name: string, value: number): number {
  if (value > MAX_SIZE) throw new Failure('limit', `Parameter '${name}' is too large`);
  return value;
}

const OPTIONS = {
  size: { type: boundedSize },
  'latency-ns': { type: numberOption },
  'read-zeroes': { type: bool },
} as const;

function openNull({ options, host, node }: OpenContext): BlockInstance {
  const given = options.absorb(OPTIONS);
  options.take('filename');
  const latencyNs = given['latency-ns'] ?? 0;
  if (latencyNs < 0 || latencyNs > Number.MAX_SAFE_INTEGER) throw new Failure('invalid-argument', 'latency-ns is invalid');
  const readZeroes = given['read-zeroes'] ?? false;
  const wait = (): Eventual<void> => (latencyNs === 0 ? undefined : host.sleep(latencyNs / NANOSECONDS_PER_MS));
  return {
    size: Math.ceil((given.size ?? DEFAULT_SIZE) / SECTOR) * SECTOR,
    writeFlags: WRITE.FUA,
    zeroFlags: WRITE.FUA | WRITE.MAY_UNMAP | WRITE.NO_FALLBACK,
    read(_offset, target) {
      if (readZeroes) target.fill(0);
      return wait();
    },
    write: wait,
    writeZeroes: wait,
    discard: wait,
    flush: wait,
    status: (offset, count) => ({ count, flags: STATUS.OFFSET_VALID | (readZeroes ? STATUS.ZERO : 0), hostOffset: offset, file: node }),
    allocatedFileSize: () => 0,
    close: () => {},
  };
}

const nullDriver = (name: 'null-co' | 'null-aio'): BlockDriver => ({
  name,
  kind: 'protocol',
  options: OPTIONS,
  needsFilename: false,
  strongOptions: ['size', 'read-zeroes'],
  parseFilename(filename) {
    if (filename !== `${name}://`) throw new Failure('invalid-argument', `The only allowed filename for this driver is '${name}://'`);
  },
  exactFilename: ({ options }) => (options.has('size') || options.has('read-zeroes') ? undefined : `${name}://`),
  open: async (context) => openNull(context),
});

export const nullCo: BlockDriver = nullDriver('null-co');
export const nullAio: BlockDriver = nullDriver('null-aio');
