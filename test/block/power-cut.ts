// Power cuts in workloads that change more of a qcow2 image than its data: snapshots, bitmaps, sizes, versions, refcount widths,
// closing and opening. Every change of the file is logged; the file is made as a cut would leave it, with any of the changes
// since its last flush missing or torn at a sector. The reference must find at most leaks, and what was flushed and not touched
// since must read back. One seed is one workload; the budget is the number of cuts.
//
// The COPIED flags are another structure than the refcounts, and no order of two writes keeps both right: while the references
// of a snapshot change, they may disagree, as in the reference's own images. Nothing rests on a wrong flag then (a flag is only
// ever missing, or set where no snapshot refers yet), and `check -r` sets it right.
//
// `cutPowerEverywhere` leaves nothing to chance in a short workload: every prefix of its log, and between two flushes every
// selection of the changes up to a bound; where there are more, those with one missing, one alone, two neighbours missing.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Prng } from '../../src/base/prng.ts';
import { BlockBackend } from '../../src/block/backend.ts';
import { addBitmap, removeBitmap } from '../../src/block/bitmap-operations.ts';
import { WRITE } from '../../src/block/driver.ts';
import { BlockGraph } from '../../src/block/graph.ts';
import { bitmapsOf } from '../../src/block/node-bitmaps.ts';
import { OptionDict } from '../../src/block/options.ts';
import { MemoryFile, MemoryFiles, replay, type FileEvent } from '../../src/block/qcow2/memory-files.ts';
import { createBlockHost } from '../../src/platform/node/block-host.ts';

const PATH = 'cut.qcow2';
const UNIT = 65536;
const MAX_SIZE = 24 * UNIT;
const OPERATIONS = 40;
const SECTOR = 512;
const COPIED_FLAG_LINE = /^ERROR OFLAG_COPIED .*$/;

interface Step {
  readonly what: string;
  /** Length of the log before and after. */
  readonly from: number;
  readonly to: number;
  /** The guest's bytes that it may have changed. */
  readonly start: number;
  readonly end: number;
  /** What the guest must read after it, when all of it is on the medium. */
  readonly stable: Uint8Array | undefined;
  /** Flags and refcounts may disagree while it is under way. */
  readonly changesReferences: boolean;
}

const newGraph = (files: MemoryFiles): BlockGraph =>
  new BlockGraph({ ...createBlockHost({ files: 'sync', warn: () => {} }), files, print: () => {} });

const open = (files: MemoryFiles, readOnly: boolean): Promise<BlockBackend> => {
  const options = new OptionDict([['driver', 'qcow2']]);
  return BlockBackend.open(newGraph(files), { filename: PATH, options, flags: { readOnly, unmap: true }, resize: !readOnly });
};

/** A workload under way: the open image, and what its guest must see. */
class Workload {
  readonly #files: MemoryFiles;
  readonly #random: Prng;
  readonly #clusterSize: number;
  readonly steps: Step[] = [];
  #backend: BlockBackend;
  #model: Uint8Array;
  readonly #snapshots = new Map<string, Uint8Array>();
  #next = 0;

  constructor(files: MemoryFiles, backend: BlockBackend, random: Prng, clusterSize: number) {
    this.#files = files;
    this.#backend = backend;
    this.#random = random;
    this.#clusterSize = clusterSize;
    this.#model = new Uint8Array(backend.size);
    this.steps.push({ what: 'begin', from: 0, to: 0, start: 0, end: 0, stable: this.#model.slice(), changesReferences: false });
  }

  async run(operations: number): Promise<void> {
    for (let n = 0; n < operations; n++) await this.#operate();
    await this.#step('close', () => this.#backend.close(), { flushes: true });
  }

  async #step(
    what: string,
    work: () => Promise<unknown>,
    how: { start?: number; end?: number; flushes?: boolean; changesReferences?: boolean } = {},
  ): Promise<void> {
    const from = this.#files.log!.length;
    await work();
    const stable = how.flushes ? this.#model.slice() : undefined;
    const { start = 0, end = 0, changesReferences = false } = how;
    this.steps.push({ what, from, to: this.#files.log!.length, start, end, stable, changesReferences });
  }

  #operate(): Promise<void> {
    const kind = this.#random.below(23);
    if (kind >= 20) return this.#writeSeveral();
    if (kind < 9) return this.#changeData();
    if (kind < 11) return this.#step('flush', () => this.#backend.flush(), { flushes: true });
    if (kind < 14) return this.#createSnapshot();
    if (kind < 15) return this.#removeSnapshot();
    if (kind < 16) return this.#applySnapshot();
    if (kind < 17) return this.#resize();
    if (kind < 18) return this.#changeBitmaps();
    if (kind < 19) return this.#amend();
    return this.#reopen();
  }

  #changeData(): Promise<void> {
    const random = this.#random;
    const size = this.#model.length;
    const cluster = this.#clusterSize;
    const kind = random.below(7);
    const isWhole = kind >= 4;
    const clusters = kind === 6 ? 1 + random.below(4) : 1;
    const start = isWhole ? random.below(size / cluster) * cluster : random.below(size - 1);
    const end = Math.min(size, isWhole ? start + clusters * cluster : start + 1 + random.below(3 * UNIT));
    const fill = kind === 3 || kind === 4 ? 0 : 1 + random.below(255);
    const bytes = new Uint8Array(end - start).fill(fill);
    const work = async (): Promise<void> => {
      if (kind === 3) await this.#backend.writeZeroes(start, end - start, WRITE.MAY_UNMAP);
      else if (kind === 4) await this.#backend.discard(start, end - start);
      else if (kind === 5) return this.#writeCompressed(start, bytes);
      else await this.#backend.write(start, bytes);
      this.#model.set(bytes, start);
    };
    return this.#step(`data ${kind} ${start} ${end}`, work, { start, end });
  }

  /** Writes in flight at a time, none of which overlaps another; most of whole clusters. */
  #writeSeveral(): Promise<void> {
    const random = this.#random;
    const size = this.#model.length;
    const cluster = this.#clusterSize;
    const first = random.below(size / cluster) * cluster;
    const works: (() => Promise<void>)[] = [];
    let end = first;
    for (let n = 2 + random.below(12); n > 0 && end < size; n--) {
      const isWhole = !random.oneIn(4);
      const start = end + (isWhole ? 0 : random.below(cluster));
      const count = isWhole ? (1 + random.below(4)) * cluster : 1 + random.below(cluster);
      end = Math.min(size, Math.ceil((start + count) / cluster) * cluster);
      const bytes = new Uint8Array(Math.min(size, start + count) - start).fill(1 + random.below(255));
      works.push(async () => {
        await this.#backend.write(start, bytes);
        this.#model.set(bytes, start);
      });
      if (random.oneIn(5)) works.push(() => this.#backend.flush());
    }
    return this.#step(`several ${first} ${end}`, () => Promise.all(works.map((work) => work())), { start: first, end });
  }

  async #writeCompressed(start: number, bytes: Uint8Array): Promise<void> {
    try {
      await this.#backend.write(start, bytes, WRITE.COMPRESSED);
      this.#model.set(bytes, start);
    } catch {
      // Something is there already.
    }
  }

  #createSnapshot(): Promise<void> {
    const name = `s${this.#next++}`;
    const info = { vmStateSize: 0, dateSeconds: 1, dateNanoseconds: 0, vmClockNs: 0n };
    const work = async (): Promise<void> => {
      await this.#backend.node.instance.snapshots!.create(name, info);
      this.#snapshots.set(name, this.#model.slice());
    };
    return this.#step(`create ${name}`, work, { flushes: true, changesReferences: true });
  }

  #removeSnapshot(): Promise<void> {
    const name = this.#anySnapshot();
    if (name === undefined) return this.#createSnapshot();
    this.#snapshots.delete(name);
    return this.#step(`remove ${name}`, () => this.#backend.node.instance.snapshots!.remove(undefined, name), { changesReferences: true });
  }

  #applySnapshot(): Promise<void> {
    const name = this.#anySnapshot();
    if (name === undefined || bitmapsOf(this.#backend.node).length > 0) return this.#createSnapshot();
    const work = async (): Promise<void> => {
      await this.#backend.node.instance.snapshots!.apply(name);
      this.#model = this.#snapshots.get(name)!.slice();
    };
    return this.#step(`apply ${name}`, work, { start: 0, end: MAX_SIZE, flushes: true, changesReferences: true });
  }

  #anySnapshot(): string | undefined {
    const names = [...this.#snapshots.keys()];
    return names.length === 0 ? undefined : this.#random.pick(names);
  }

  #resize(): Promise<void> {
    const size = (8 + this.#random.below(16)) * UNIT;
    const old = this.#model;
    const work = async (): Promise<void> => {
      await this.#backend.resize(size);
      this.#model = new Uint8Array(size);
      this.#model.set(old.subarray(0, size));
    };
    return this.#step(`resize ${size}`, work, { start: Math.min(size, old.length), end: MAX_SIZE });
  }

  #changeBitmaps(): Promise<void> {
    const { node } = this.#backend;
    const [bitmap] = bitmapsOf(node);
    if (bitmap !== undefined && this.#random.oneIn(2)) return this.#step('remove bitmap', () => removeBitmap(node, bitmap.name!));
    const name = `b${this.#next++}`;
    return this.#step('add bitmap', async () => void addBitmap(node, name, { persistent: true, granularity: 512 }));
  }

  #amend(): Promise<void> {
    const options = this.#random.pick([
      ['refcount_bits', '8'],
      ['refcount_bits', '16'],
      ['refcount_bits', '64'],
      ['lazy_refcounts', 'off'],
    ] as const);
    return this.#step(`amend ${options.join('=')}`, () => this.#backend.node.instance.amend!(new Map([options]), () => {}, false));
  }

  #reopen(): Promise<void> {
    const work = async (): Promise<void> => {
      await this.#backend.close();
      this.#backend = await open(this.#files, false);
    };
    return this.#step('reopen', work, { flushes: true });
  }
}

/** The changes before a cut; of those since the last flush some are missing, and one may be there in part. */
function survivors(log: readonly FileEvent[], cut: number, random: Prng): FileEvent[] {
  const loses = random.oneIn(2);
  const flushed = log.slice(0, cut).findLastIndex(({ kind }) => kind === 'flush') + 1;
  const kept: FileEvent[] = log.slice(0, loses ? flushed : cut);
  for (const event of loses ? log.slice(flushed, cut) : []) {
    if (random.oneIn(3)) continue;
    kept.push(event.bytes !== undefined && random.oneIn(8) ? torn(event, random) : event);
  }
  return kept;
}

function torn(event: FileEvent, random: Prng): FileEvent {
  const bytes = event.bytes!;
  const firstBoundary = SECTOR - (event.offset % SECTOR);
  if (firstBoundary >= bytes.length) return event;
  const sectors = Math.ceil((bytes.length - firstBoundary) / SECTOR);
  return { ...event, bytes: bytes.subarray(0, firstBoundary + random.below(sectors) * SECTOR) };
}

function checkByReference(contents: Uint8Array, folder: string, mayDisagree: boolean): void {
  writeFileSync(join(folder, PATH), contents);
  const { status, stdout, stderr } = spawnSync('qemu-img', ['check', '-f', 'qcow2', PATH], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (status === 0 || status === 3) return;
  const lines = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('Leaked cluster'));
  assert.ok(
    mayDisagree && status === 2 && lines.every((line) => COPIED_FLAG_LINE.test(line)),
    `check ends with ${status}: ${stdout}${stderr}`,
  );
}

async function checkContents(file: MemoryFile, steps: readonly Step[], cut: number): Promise<void> {
  const files = new MemoryFiles();
  files.files.set(PATH, file);
  const last = steps.findLastIndex(({ stable, to }) => stable !== undefined && to <= cut);
  const expected = steps[last]!.stable!;
  const backend = await open(files, true);
  const found = new Uint8Array(Math.min(expected.length, backend.size));
  await backend.read(0, found);
  await backend.close();
  const later = steps.slice(last + 1).filter(({ from }) => from < cut);
  if (later.length === 0) assert.equal(found.length, expected.length, 'the size is another one');
  for (const { start, end } of later) found.set(expected.subarray(start, Math.min(end, found.length)), Math.min(start, found.length));
  const wrong = found.findIndex((byte, at) => byte !== expected[at]);
  assert.equal(wrong, -1, `flushed data are lost at ${wrong}`);
}

const KINDS = [
  { cluster_size: 4096 },
  { cluster_size: 512, refcount_bits: 64 },
  { cluster_size: 16384, extended_l2: true },
  { cluster_size: 65536 },
  { cluster_size: 1024, lazy_refcounts: true },
] as const;

/** A workload that has run. */
interface Recorded {
  readonly initial: Uint8Array;
  readonly log: readonly FileEvent[];
  readonly steps: readonly Step[];
  readonly folder: string;
  readonly isLazy: boolean;
}

async function record<T>(seed: number, random: Prng, operations: number, use: (recorded: Recorded) => Promise<T>): Promise<T> {
  const options = KINDS[seed % KINDS.length]!;
  const folder = mkdtempSync(join(tmpdir(), 'nandu-cut-'));
  try {
    const files = new MemoryFiles();
    await newGraph(files).createImage('qcow2', PATH, new Map(Object.entries({ size: 16 * UNIT, ...options })));
    const initial = files.files.get(PATH)!.contents();
    files.log = [];
    files.writeTurns = random.pick([undefined, () => random.below(12), (count: number) => (count < 1024 ? 0 : 1 + random.below(8))]);
    const workload = new Workload(files, await open(files, false), random, options.cluster_size);
    await workload.run(operations);
    return await use({ initial, log: files.log, steps: workload.steps, folder, isLazy: 'lazy_refcounts' in options });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Runs the workload of `seed` and cuts it `cuts` times. Returns the number of cuts. */
export function cutPower(seed: number, cuts: number, isTimeUp: () => boolean = () => false): Promise<number> {
  const random = new Prng(seed);
  return record(seed, random, OPERATIONS, async (recorded) => {
    for (let n = 0; n < cuts; n++) {
      if (isTimeUp()) return n;
      const cut = random.below(recorded.log.length + 1);
      await checkCut(recorded, cut, survivors(recorded.log, cut, random));
    }
    return cuts;
  });
}

/** All selections of at most this many changes between two flushes are tried. */
const SELECTED_MAX = 6;

/** Runs a workload of a few operations and tries every state a cut can leave, up to the bound. Returns the number of states. */
export function cutPowerEverywhere(seed: number, operations: number, isTimeUp: () => boolean = () => false): Promise<number> {
  return record(seed, new Prng(seed), operations, async (recorded) => {
    const { log } = recorded;
    const seen = new Set<string>();
    const check = async (cut: number, kept: readonly FileEvent[]): Promise<void> => {
      const file = fileAfter(recorded, kept);
      const key = createHash('sha1').update(`${cut} `).update(file.contents()).digest('hex');
      if (seen.has(key) || isTimeUp()) return;
      seen.add(key);
      await checkCut(recorded, cut, kept);
    };
    for (let start = 0; start <= log.length;) {
      const next = log.findIndex(({ kind }, index) => index >= start && kind === 'flush');
      const end = next < 0 ? log.length : next;
      const changes = log.slice(start, end);
      for (let cut = start; cut <= end; cut++) await check(cut, log.slice(0, cut));
      for (const kept of selections(changes)) await check(end, [...log.slice(0, start), ...kept]);
      start = end + 1;
    }
    return seen.size;
  });
}

function* selections(changes: readonly FileEvent[]): Generator<FileEvent[]> {
  const { length } = changes;
  if (length <= SELECTED_MAX) {
    for (let set = 0; set < 1 << length; set++) yield changes.filter((_, index) => (set >> index) & 1);
    return;
  }
  for (let one = 0; one < length; one++) {
    yield changes.filter((_, index) => index !== one);
    yield [changes[one]!];
    yield changes.filter((_, index) => index !== one && index !== one + 1);
  }
}

function fileAfter({ initial }: Recorded, kept: readonly FileEvent[]): MemoryFile {
  const file = new MemoryFile();
  file.write(0, initial);
  replay(file, kept);
  return file;
}

async function checkCut(recorded: Recorded, cut: number, kept: readonly FileEvent[]): Promise<void> {
  const { log, steps, folder, isLazy } = recorded;
  const file = fileAfter(recorded, kept);
  const during = steps.find(({ from, to }) => from < cut && cut <= to);
  const unsettled = steps.filter(({ from, to, changesReferences }) => changesReferences && from < cut && lastFlush(log, cut) <= to);
  try {
    // With lazy refcounts the dirty bit says that they are wrong: what counts is that they can be built anew.
    if (isLazy) await repair(file, folder);
    else checkByReference(file.contents(), folder, unsettled.length > 0);
    await checkContents(file, steps, cut);
  } catch (error) {
    throw new Error(`cut ${cut} of ${log.length}, during ${during?.what ?? 'nothing'}: ${(error as Error).message}`, { cause: error });
  }
}

const lastFlush = (log: readonly FileEvent[], cut: number): number => log.slice(0, cut).findLastIndex(({ kind }) => kind === 'flush') + 1;

async function repair(file: MemoryFile, folder: string): Promise<void> {
  const path = join(folder, PATH);
  writeFileSync(path, file.contents());
  const { status, stdout, stderr } = spawnSync('qemu-img', ['check', '-q', '-r', 'all', '-f', 'qcow2', PATH], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  assert.equal(status, 0, `check -r all ends with ${status}: ${stdout}${stderr}`);
}
