// nandu-img convert: copies one or several images into a new one (or, with -n, an existing one) of any format.
import { prefixed } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { bitmapPower } from '../../block/node-bitmaps.ts';
import { loadDriver } from '../../block/drivers.ts';
import { OptionDict } from '../../block/options.ts';
import { checkBitmapsConsistent, copyBitmaps } from '../../block/bitmap-operations.ts';
import { convert, sourceBytes } from '../../block/operations/convert.ts';
import { asksForHelp } from '../../block/operations/create-options.ts';
import { createWithValues, creationOptions, driversFor } from '../../block/operations/create.ts';
import type { CreateOptionValues } from '../../block/operations/create-options.ts';
import { driverInfo } from '../../block/operations/image-info.ts';
import { loadSnapshot, parseSnapshotParameter, type SnapshotChoice } from '../../block/operations/load-snapshot.ts';
import { readsAsZero } from '../../block/operations/zero-init.ts';
import { SECTOR } from '../../block/node.ts';
import { parseCacheMode } from './cache-mode.ts';
import { LONG } from './common-options.ts';
import { addOptionList, showOptions } from './create.ts';
import { parseSizeArgument } from './human-size.ts';
import { interruptible } from './interruptible.ts';
import { Progress, progressStyle, type ProgressStyle } from './progress.ts';
import { closeAll, StatusFailure, type Session } from './session.ts';

const GRAMMAR = {
  short: ':hf:O:B:CcF:o:l:S:pt:T:qnm:WUr:',
  long: [
    LONG.help,
    { long: 'source-image-opts', name: 'image-opts', argument: 'none' },
    LONG.object,
    LONG.imageOpts,
    LONG.forceShare,
    LONG.progress,
    { long: 'target-image-opts', name: 'target-image-opts', argument: 'none' },
    { long: 'salvage', name: 'salvage', argument: 'none' },
    { long: 'target-is-zero', name: 'target-is-zero', argument: 'none' },
    { long: 'bitmaps', name: 'bitmaps', argument: 'none' },
    { long: 'skip-broken-bitmaps', name: 'skip-broken-bitmaps', argument: 'none' },
  ],
} as const;

// QUIRK: `convert -c` to qcow works; the reference ends with status 1 and no message after writing a good image.
/** Formats that can store a cluster compressed; whether an image of one can is seen when it is open. */
const COMPRESSING_FORMATS: ReadonlySet<string> = new Set(['qcow', 'qcow2', 'vmdk']);
const MAX_WORKERS = 16;
const MAX_SPARSE_BYTES = 16 << 20;

interface Settings {
  format?: string | undefined;
  outputFormat?: string | undefined;
  backingFile?: string | undefined;
  backingFormat?: string | undefined;
  optionText?: string;
  snapshot?: SnapshotChoice;
  sparseBytes: number;
  sparseGiven: boolean;
  cacheName: string;
  sourceCacheName: string;
  style: ProgressStyle;
  workers: number;
  bytesPerSecond: number;
  outOfOrder: boolean;
  copyOffload: boolean;
  compressed: boolean;
  skipCreate: boolean;
  imageOptions: boolean;
  targetImageOptions: boolean;
  salvage: boolean;
  targetIsZero: boolean;
  forceShare: boolean;
  bitmaps: boolean;
  skipBroken: boolean;
}

const wrong = (message: string): Failure => new Failure('invalid-argument', message);

export async function run(words: readonly string[], session: Session): Promise<number> {
  session.overlapsReads = true;
  const operands: string[] = [];
  const settings = parse(words, session, operands);
  const target = operands.length > 1 || asksHelp(settings) ? operands.at(-1) : undefined;
  if (asksHelp(settings)) return showOptions(session, settings.outputFormat ?? 'raw', target);
  const inputs = operands.slice(0, -1);
  checkSettings(settings, inputs);
  const sources: BlockBackend[] = [];
  try {
    await openSources(session, settings, inputs, sources);
    return await convertTo(session, settings, sources, target!);
  } finally {
    await closeAll(sources);
  }
}

const asksHelp = ({ optionText }: Settings): boolean => optionText !== undefined && asksForHelp(optionText);

function parse(words: readonly string[], session: Session, operands: string[]): Settings {
  const settings: Settings = {
    sparseBytes: 4096,
    sparseGiven: false,
    cacheName: 'unsafe',
    sourceCacheName: 'writeback',
    style: 'off',
    workers: 8,
    bytesPerSecond: 0,
    outOfOrder: false,
    copyOffload: false,
    compressed: false,
    skipCreate: false,
    imageOptions: false,
    targetImageOptions: false,
    salvage: false,
    targetIsZero: false,
    forceShare: false,
    bitmaps: false,
    skipBroken: false,
  };
  for (const { name, argument } of session.options<string>('convert', words, GRAMMAR, operands))
    apply(settings, session, name, argument ?? '');
  if (session.isQuiet && settings.style === 'line') settings.style = 'off';
  return settings;
}

// prettier-ignore
function apply(settings: Settings, session: Session, name: string, argument: string): void {
  switch (name) {
    case 'f': settings.format = argument; break;
    case 'O': settings.outputFormat = argument; break;
    case 'B': settings.backingFile = argument; break;
    case 'F': settings.backingFormat = argument; break;
    case 'C': settings.copyOffload = true; break;
    case 'c': settings.compressed = true; break;
    case 'o': settings.optionText = addOptionList(settings.optionText, argument); break;
    case 'l': settings.snapshot = parseSnapshotParameter(argument, (line) => session.report(line)); break;
    case 'S': settings.sparseBytes = sparseSize(argument); settings.sparseGiven = true; break;
    case 'p': settings.style = 'line'; break;
    case 'progress': settings.style = progressStyle(argument); break;
    case 't': settings.cacheName = argument; break;
    case 'T': settings.sourceCacheName = argument; break;
    case 'q': session.isQuiet = true; break;
    case 'n': settings.skipCreate = true; break;
    case 'm': settings.workers = workerCount(argument); break;
    case 'W': settings.outOfOrder = true; break;
    case 'U': settings.forceShare = true; break;
    case 'r': settings.bytesPerSecond = Number(parseSizeArgument('rate limit', argument, { warn: (line) => session.warn(line) })); break;
    case 'image-opts': settings.imageOptions = true; break;
    case 'target-image-opts': settings.targetImageOptions = true; break;
    case 'salvage': settings.salvage = true; break;
    case 'target-is-zero': settings.targetIsZero = true; break;
    case 'bitmaps': settings.bitmaps = true; break;
    case 'skip-broken-bitmaps': settings.skipBroken = true; break;
  }
}

function sparseSize(text: string): number {
  const bytes = parseSizeArgument('buffer size for sparse output', text);
  if (bytes % BigInt(SECTOR) !== 0n || bytes > BigInt(MAX_SPARSE_BYTES)) {
    throw wrong(
      `Invalid buffer size for sparse output specified. Valid sizes are multiples of ${SECTOR} up to ${MAX_SPARSE_BYTES}. ` +
        'Select 0 to disable sparse detection (fully allocates output).',
    );
  }
  return Number(bytes);
}

function workerCount(text: string): number {
  const count = /^\s*[+-]?\d+$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= MAX_WORKERS) return count;
  throw wrong(`Invalid number of coroutines. Allowed number of coroutines is between 1 and ${MAX_WORKERS}`);
}

function checkSettings(settings: Settings, inputs: readonly string[]): void {
  if (settings.targetImageOptions && !settings.skipCreate) throw wrong('--target-image-opts requires use of -n flag');
  if (settings.skipCreate && settings.optionText !== undefined) throw wrong('-o has no effect when skipping image creation');
  if (settings.targetIsZero && !settings.skipCreate) throw wrong('--target-is-zero requires use of -n flag');
  if (settings.skipBroken && !settings.bitmaps) throw wrong('Use of --skip-broken-bitmaps requires --bitmaps');
  if (inputs.length === 0) throw wrong('Must specify image file name');
  if (settings.compressed && settings.copyOffload) throw wrong('Cannot enable copy offloading when -c is used');
  if (settings.sparseGiven && settings.copyOffload) throw wrong('Cannot enable copy offloading when -S is used');
  if (settings.salvage && settings.copyOffload) throw wrong('Cannot use copy offloading in salvaging mode');
  // The reference says so and ends with status 0.
  if (settings.targetIsZero && settings.backingFile !== undefined) {
    throw new StatusFailure(0, wrong('Cannot use --target-is-zero when the destination image has a backing file'));
  }
}

async function openSources(session: Session, settings: Settings, inputs: readonly string[], sources: BlockBackend[]): Promise<void> {
  const { format, imageOptions, forceShare } = settings;
  const cache = parseCacheMode('source cache', settings.sourceCacheName);
  if (settings.backingFile !== undefined && inputs.length > 1) throw noBackingForMany();
  for (const filename of inputs) {
    sources.push(
      await session.open({ filename, format, imageOptions, forceShare, cache, flags: { readOnly: true }, use: { exclusive: true } }),
    );
  }
  const { snapshot } = settings;
  if (snapshot === undefined) return;
  if (sources.length > 1) throw wrong('No support for concatenating multiple snapshot');
  await loadSnapshot(sources[0]!.node, snapshot);
}

const noBackingForMany = (): Failure =>
  wrong('Having a backing file for the target makes no sense when concatenating multiple input images');

interface Target {
  readonly filename: string;
  readonly backingFile: string | undefined;
  readonly values: CreateOptionValues | undefined;
}

async function convertTo(session: Session, settings: Settings, sources: readonly BlockBackend[], filename: string): Promise<number> {
  const bytes = sourceBytes(sources);
  const prepared = settings.skipCreate
    ? { filename, backingFile: settings.backingFile, values: undefined }
    : await prepare(session, settings, filename, bytes);
  if (prepared.backingFile !== undefined && sources.length > 1) throw noBackingForMany();
  if (settings.bitmaps) checkBitmaps(sources, settings.skipBroken);
  const cache = parseCacheMode('cache', settings.cacheName);
  if (prepared.values !== undefined) await create(session, settings, prepared, prepared.values);
  const target = await session.open({
    filename,
    imageOptions: settings.targetImageOptions,
    format: settings.targetImageOptions ? settings.outputFormat : (settings.outputFormat ?? 'raw'),
    cache,
    flags: { unmap: settings.sparseBytes > 0 },
    ...(prepared.values === undefined ? {} : { extra: keySecrets(prepared.values) }),
  });
  try {
    await fill(session, settings, sources, target, prepared);
  } catch (error) {
    await target.close().catch(() => undefined);
    throw error;
  }
  await target.close();
  return 0;
}

function checkBitmaps(sources: readonly BlockBackend[], skipBroken: boolean): void {
  if (sources.length > 1) throw wrong('Copying bitmaps only possible with single source');
  const { node } = sources[0]!;
  if (bitmapPower(node) === undefined) throw wrong('Source lacks bitmap support');
  if (!skipBroken) checkBitmapsConsistent(node);
}

/** The options of the new image, before anything is made. */
async function prepare(session: Session, settings: Settings, filename: string, bytes: number): Promise<Target> {
  const format = settings.outputFormat ?? 'raw';
  const [driver, protocol] = await driversFor(session.graph, format, filename);
  const values = creationOptions(driver, protocol);
  if (settings.optionText !== undefined) values.parse(settings.optionText);
  values.setNumber('size', bytes);
  setOldStyle(values, 'backing_file', settings.backingFile, `Backing file not supported for file format '${format}'`);
  setOldStyle(values, 'backing_fmt', settings.backingFormat, `Backing file format not supported for file format '${format}'`);
  const backingFile = values.isGiven('backing_file') ? values.get('backing_file') : undefined;
  if (backingFile !== undefined && !values.isGiven('backing_fmt')) throw wrong('Use of backing file requires explicit backing format');
  if (settings.compressed) checkCompression(values, COMPRESSING_FORMATS.has(format));
  return { filename, backingFile, values };
}

function setOldStyle(values: CreateOptionValues, name: string, value: string | undefined, complaint: string): void {
  if (value === undefined) return;
  if (!values.has(name)) throw wrong(complaint);
  values.set(name, value);
}

function checkCompression(values: CreateOptionValues, canCompress: boolean): void {
  if (!canCompress) throw wrong('Compression not supported for this file format');
  if (values.get('encryption') === 'on' || values.isGiven('encrypt.format')) {
    throw wrong('Compression and encryption not supported at the same time');
  }
  const preallocation = values.get('preallocation');
  if (values.isGiven('preallocation') && preallocation !== 'off')
    throw wrong('Compression and preallocation not supported at the same time');
}

async function create(session: Session, settings: Settings, { filename }: Target, values: CreateOptionValues): Promise<void> {
  const format = settings.outputFormat ?? 'raw';
  try {
    await createWithValues(session.graph, await loadDriver(format), filename, values);
  } catch (error) {
    throw prefixed(`${filename}: error while converting ${format}`, error);
  }
}

/** Keys that were needed to make the image are needed to open it. */
function keySecrets(values: CreateOptionValues): OptionDict {
  const names = values.declared.filter(({ name }) => name.endsWith('key-secret') && values.isGiven(name));
  return new OptionDict(names.map(({ name }) => [name, values.get(name)!]));
}

function needsCompression({ node }: BlockBackend): boolean {
  return driverInfo(node)?.needsCompressedWrites ?? node.instance.specificInfo?.()?.data['create-type'] === 'streamOptimized';
}

async function fill(
  session: Session,
  settings: Settings,
  sources: readonly BlockBackend[],
  target: BlockBackend,
  prepared: Target,
): Promise<void> {
  const bytes = sourceBytes(sources);
  if (settings.skipCreate && Math.ceil(target.size / SECTOR) * SECTOR < bytes) throw wrong('output file is smaller than input file');
  if (settings.bitmaps && bitmapPower(target.node) === undefined)
    throw wrong(`Format driver '${target.node.driver.name}' does not support bitmaps`);
  const compressed = settings.compressed || needsCompression(target);
  const clusterBytes = driverInfo(target.node)?.clusterSize;
  if (compressed && (clusterBytes === undefined || clusterBytes <= 0)) throw wrong('invalid cluster size');
  const targetHasBacking = prepared.backingFile !== undefined;
  const progress = new Progress(session.io, 'convert', settings.style, 1);
  progress.set(0);
  try {
    await interruptible(session.io, (signal) =>
      convert({
        sources,
        target,
        sparseBytes: settings.sparseBytes,
        compressed,
        ...(clusterBytes === undefined || clusterBytes <= 0 ? {} : { clusterBytes }),
        targetHasBacking,
        targetBackingBytes: targetHasBacking ? target.node.backing?.node.size : undefined,
        targetIsZero: settings.targetIsZero || (!settings.skipCreate && readsAsZero(target.node)),
        workers: settings.workers,
        outOfOrder: settings.outOfOrder,
        copyOffload: settings.copyOffload,
        bytesPerSecond: settings.bytesPerSecond,
        signal,
        progress: (done, total) => progress.set((100 * done) / total),
        ...(settings.salvage ? { salvage: (message: string) => void (session.isQuiet || session.warn(message)) } : {}),
      }),
    );
    if (settings.bitmaps) await copyBitmaps(sources[0]!.node, target.node, (line) => session.warn(line));
    progress.set(100);
  } finally {
    progress.end();
  }
}
