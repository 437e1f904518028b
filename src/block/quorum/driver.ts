// quorum: several copies of the same data; a read is what at least `vote-threshold` of them agree on, a write must succeed on
// as many. Reference: QMP's BlockdevOptionsQuorum.
import { ErrnoFailure, errnoOf } from '../../base/errno.ts';
import type { Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import { bool, str } from '../../schema/property.ts';
import { statusAbove } from '../chain-status.ts';
import { DifferenceFailure } from '../difference-failure.ts';
import { WRITE, type BlockDriver, type BlockInstance, type OpenContext } from '../driver.ts';
import { numberOption } from '../filter-options.ts';
import { firstDifference } from '../first-difference.ts';
import type { Edge } from '../node.ts';
import type { OptionDict } from '../options.ts';
import { PERM, ROLE, type Permissions } from '../permissions.ts';
import { STATUS, type BlockStatus } from '../status.ts';
import { versions, winner } from './vote.ts';

const OPTIONS = {
  'vote-threshold': { type: numberOption },
  blkverify: { type: bool },
  'rewrite-corrupted': { type: bool },
  'read-pattern': { type: str },
} as const;

/** More copies than this nobody has. */
const MAX_CHILDREN = 32;

interface Settings {
  readonly threshold: number;
  readonly stopOnDifference: boolean;
  readonly rewrites: boolean;
  readonly fifo: boolean;
}

const invalid = (message: string): Failure => new Failure('invalid-argument', message);

function countChildren(options: OptionDict): number {
  const indices = new Set<string>();
  for (const key of options.keys()) if (key.startsWith('children.')) indices.add(key.split('.')[1]!);
  for (let index = 0; index < indices.size; index++) if (!indices.has(String(index))) throw invalid('Option children is not a valid array');
  if (indices.size < 1) throw invalid('Number of provided children must be 1 or more');
  if (indices.size > MAX_CHILDREN) throw new Failure('limit', `quorum supports at most ${MAX_CHILDREN} children`);
  return indices.size;
}

function takeSettings(options: OptionDict, childCount: number): Settings {
  const given = options.absorb(OPTIONS);
  const threshold = given['vote-threshold'] ?? 0;
  if (threshold < 1) throw invalid("Parameter 'vote-threshold' expects a value >= 1");
  if (threshold > childCount) throw invalid('threshold may not exceed children count');
  const pattern = given['read-pattern'] ?? 'quorum';
  if (pattern !== 'quorum' && pattern !== 'fifo') throw invalid('Please set read-pattern as fifo or quorum');
  const fifo = pattern === 'fifo';
  const stopOnDifference = !fifo && (given.blkverify ?? false);
  if (stopOnDifference && (childCount !== 2 || threshold !== 2)) {
    throw invalid('blkverify=on can only be set if there are exactly two files and vote-threshold is 2');
  }
  const rewrites = !fifo && (given['rewrite-corrupted'] ?? false);
  if (rewrites && stopOnDifference) throw invalid('rewrite-corrupted=on cannot be used with blkverify=on');
  return { threshold, stopOnDifference, rewrites, fifo };
}

/** What every child made of a request; undefined for a success. */
async function onAll(children: readonly Edge[], request: (child: Edge, index: number) => Eventual<void>): Promise<(Failure | undefined)[]> {
  return Promise.all(
    children.map(async (child, index) => {
      try {
        await request(child, index);
        return undefined;
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        return error;
      }
    }),
  );
}

class Quorum {
  readonly children: readonly Edge[];
  readonly #settings: Settings;

  constructor(children: readonly Edge[], settings: Settings) {
    this.children = children;
    this.#settings = settings;
  }

  get size(): number {
    return this.children[0]!.size;
  }

  /** Enough must have succeeded; otherwise the commonest error is the answer. */
  #demand(failures: readonly (Failure | undefined)[]): void {
    const failed = failures.filter((failure) => failure !== undefined);
    if (failures.length - failed.length >= this.#settings.threshold) return;
    const errors = failed.map((failure, index) => [index, errnoOf(failure)] as const);
    throw new ErrnoFailure(winner(versions(errors, Object.is)).value);
  }

  async change(request: (child: Edge) => Eventual<void>): Promise<void> {
    this.#demand(await onAll(this.children, request));
  }

  async read(offset: number, target: Uint8Array, flags: number): Promise<void> {
    if (this.#settings.fifo) return this.#readFirst(offset, target, flags);
    const buffers = this.children.map((_child, index) => (index === 0 ? target : new Uint8Array(target.length)));
    const failures = await onAll(this.children, (child, index) => child.read(offset, buffers[index]!, flags));
    this.#demand(failures);
    const answers = buffers.map((buffer, index) => [index, buffer] as const).filter(([index]) => failures[index] === undefined);
    const differ = (a: Uint8Array, b: Uint8Array): number | undefined => firstDifference(a, b);
    const found = versions(answers, (a, b) => differ(a, b) === undefined);
    if (found.length > 1) await this.#decide(offset, target.length, found);
    const best = winner(found).value;
    if (best !== target) target.set(best);
  }

  async #decide(offset: number, count: number, found: ReturnType<typeof versions<Uint8Array>>): Promise<void> {
    if (this.#settings.stopOnDifference) {
      const difference = firstDifference(found[0]!.value, found[1]!.value)!;
      throw new DifferenceFailure(`quorum: offset=${offset} bytes=${count} contents mismatch at offset ${offset + difference}`);
    }
    const best = winner(found);
    if (best.voters.length < this.#settings.threshold) throw new ErrnoFailure('EIO');
    if (!this.#settings.rewrites) return;
    const wrong = found.filter((version) => version !== best).flatMap(({ voters }) => voters);
    await onAll(
      wrong.map((index) => this.children[index]!),
      (child) => child.write(offset, best.value),
    );
  }

  async #readFirst(offset: number, target: Uint8Array, flags: number): Promise<void> {
    for (const [index, child] of this.children.entries()) {
      try {
        return await child.read(offset, target, flags);
      } catch (error) {
        if (!(error instanceof Failure) || index === this.children.length - 1) throw error;
      }
    }
  }

  /** Data where any child has some. */
  async status(offset: number, count: number, wantZero: boolean): Promise<BlockStatus> {
    let dataCount = 0;
    let zeroCount = count;
    for (const child of this.children) {
      const status = await statusAbove(child.node, offset, count, { wantZero });
      if (status.count === 0) continue;
      if (status.flags & STATUS.ZERO) zeroCount = Math.min(zeroCount, status.count);
      else dataCount = Math.max(dataCount, status.count);
    }
    return dataCount > 0 ? { count: dataCount, flags: STATUS.DATA } : { count: zeroCount, flags: STATUS.ZERO };
  }
}

async function open({ options, openChild, node }: OpenContext): Promise<BlockInstance> {
  const childCount = countChildren(options);
  const settings = takeSettings(options, childCount);
  const children: Edge[] = [];
  for (let index = 0; index < childCount; index++) children.push((await openChild(`children.${index}`, ROLE.DATA, { format: true }))!);
  if (children.some((child) => child.size !== children[0]!.size)) {
    throw new ErrnoFailure('EIO', 'Could not refresh total sector count: Input/output error');
  }
  const quorum = new Quorum(children, settings);
  const flagsOfAll = children.reduce(
    (flags, { node: child }) => flags & (child.instance.zeroFlags ?? 0),
    WRITE.MAY_UNMAP | WRITE.NO_FALLBACK,
  );
  return {
    get size() {
      return quorum.size;
    },
    limits: { requestAlignment: Math.max(...children.map((child) => child.node.limits.requestAlignment)) },
    writeFlags: WRITE.UNCHANGED,
    zeroFlags: WRITE.UNCHANGED | flagsOfAll,
    flushesChildren: true,
    read: (offset, target, flags) => quorum.read(offset, target, flags),
    write: (offset, source, flags) => quorum.change((child) => child.write(offset, source, flags)),
    writeZeroes: (offset, count, flags) => quorum.change((child) => child.writeZeroes(offset, count, flags)),
    flush: () => (node.readOnly ? undefined : quorum.change((child) => child.flush())),
    status: (offset, count, wantZero) => quorum.status(offset, count, wantZero),
    childPermissions: (_name, _role, { perm, shared }): Permissions => ({
      perm: settings.rewrites && !node.readOnly ? perm | PERM.WRITE : perm,
      shared: shared & ~PERM.RESIZE,
    }),
    close: () => {},
  };
}

export const driver: BlockDriver = {
  name: 'quorum',
  kind: 'filter',
  options: OPTIONS,
  needsFilename: false,
  strongOptions: ['vote-threshold', 'blkverify', 'rewrite-corrupted', 'read-pattern'],
  open,
};
