// Creating an image the way `create` and `convert` do it: options checked against format and protocol, the backing image
// opened to find its size, then the driver called. What the image looks like inside is the driver's.
import { errnoOf, prefixed } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { BlockBackend } from '../backend.ts';
import type { BlockDriver } from '../driver.ts';
import { hasDriver, loadDriver, protocolOf } from '../drivers.ts';
import { fullBackingName } from '../filename.ts';
import type { BlockGraph } from '../graph.ts';
import { OptionDict } from '../options.ts';
import { CreateOptionValues, mergeOptions } from './create-options.ts';

export interface CreateRequest {
  readonly filename: string;
  readonly format: string;
  /** `-o`: `name=value,…`. */
  readonly optionText?: string | undefined;
  readonly size?: bigint | undefined;
  readonly backingFile?: string | undefined;
  readonly backingFormat?: string | undefined;
  /** The backing image is not looked at (`-u`). */
  readonly unsafeBacking?: boolean;
  /** Called with the "Formatting …" line before anything is written. */
  readonly announce?: (line: string) => void;
}

/** A failure followed by a hint that stands on its own, without the program's name and without an end of line of its own. */
export class HintedFailure extends Failure {
  readonly hint: string;

  constructor(failure: Failure, hint: string) {
    super(failure.kind, failure.message, { cause: failure });
    this.hint = hint;
  }
}

const wrong = (message: string): Failure => new Failure('invalid-argument', message);

/** The driver that makes the image and the one below it. */
export async function driversFor(
  graph: BlockGraph,
  format: string,
  filename: string,
): Promise<[format: BlockDriver, protocol: BlockDriver]> {
  if (!hasDriver(format)) throw wrong(`Unknown file format '${format}'`);
  const protocol = await loadDriver(protocolOf(filename, (path) => graph.host.files.kind(path)));
  return [await loadDriver(format), protocol];
}

/** Protocols that can only open existing images, which a new image is then written over. */
const TAKES_EXISTING: ReadonlySet<string> = new Set(['nbd', 'host_device', 'host_cdrom']);
/** What they take. */
const EXISTING_FILE_OPTIONS = [
  { name: 'size', type: 'size', help: 'Virtual disk size' },
  { name: 'preallocation', type: 'str', help: 'Preallocation mode (allowed values: off)' },
] as const;

/** The create options of a format on a protocol. */
export function creationOptions(format: BlockDriver, protocol: BlockDriver): CreateOptionValues {
  const own = optionsOf(format);
  if (own === undefined) throw new Failure('unsupported', `Format driver '${format.name}' does not support image creation`);
  const below = optionsOf(protocol);
  if (below === undefined) throw new Failure('unsupported', `Protocol driver '${protocol.name}' does not support image creation`);
  return new CreateOptionValues(mergeOptions(own, below));
}

export function optionsOf(driver: BlockDriver): BlockDriver['createOptions'] {
  return driver.createOptions ?? (TAKES_EXISTING.has(driver.name) ? EXISTING_FILE_OPTIONS : undefined);
}

export async function createImage(graph: BlockGraph, request: CreateRequest): Promise<void> {
  const { filename, format } = request;
  const [driver, protocol] = await driversFor(graph, format, filename);
  const values = creationOptions(driver, protocol);
  fillOptions(values, request);
  checkBacking(values, filename);
  await examineBacking(graph, values, request);
  if (values.size('size') === undefined) throw wrong('Image creation needs a size parameter');
  request.announce?.(`Formatting '${filename}', fmt=${format} ${values.describe()}`);
  await createWithValues(graph, driver, filename, values);
}

/** Calls the driver; a size that it cannot have is explained. */
export async function createWithValues(
  graph: BlockGraph,
  driver: BlockDriver,
  filename: string,
  values: CreateOptionValues,
): Promise<void> {
  try {
    const size = values.size('size') ?? 0n;
    // QUIRK: images end at 2^53 bytes, where the reference goes on to 2^63 in some formats.
    if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw tooLarge(driver, values);
    await graph.createImage(driver.name, filename, values.values());
  } catch (error) {
    throw error instanceof Failure && errnoOf(error) === 'EFBIG' ? tooLarge(driver, values) : error;
  }
}

function tooLarge(driver: BlockDriver, values: CreateOptionValues): Failure {
  const hint = values.has('cluster_size') ? ' (try using a larger cluster size)' : '';
  return new Failure('limit', `The image size is too large for file format '${driver.name}'${hint}`);
}

function fillOptions(values: CreateOptionValues, { format, optionText, size, backingFile, backingFormat }: CreateRequest): void {
  if (optionText !== undefined) values.parse(optionText);
  if (size !== undefined) {
    if (values.isGiven('size')) throw wrong('The image size must be specified only once');
    values.setNumber('size', size);
  }
  if (backingFile !== undefined) {
    if (!values.has('backing_file')) throw wrong(`Backing file not supported for file format '${format}'`);
    values.set('backing_file', backingFile);
  }
  if (backingFormat !== undefined) {
    if (!values.has('backing_fmt')) throw wrong(`Backing file format not supported for file format '${format}'`);
    values.set('backing_fmt', backingFormat);
  }
}

function checkBacking(values: CreateOptionValues, filename: string): void {
  const backing = values.get('backing_file');
  if (backing === undefined) return;
  if (backing === '') throw wrong('Expected backing file name, got empty string');
  if (backing === filename) throw wrong('Error: Trying to create an image with the same filename as the backing file');
}

/** Opens the backing image: to see that it is there, which format it has, and how big the new image is to be. */
async function examineBacking(graph: BlockGraph, values: CreateOptionValues, { filename, unsafeBacking }: CreateRequest): Promise<void> {
  const backingFormat = values.get('backing_fmt');
  const backing = values.get('backing_file');
  if (backing === undefined) return;
  if (unsafeBacking) {
    if (backingFormat === undefined) throw needsBackingFormat();
    return;
  }
  const backend = await openBacking(graph, fullBackingName(filename, backing), backingFormat);
  try {
    if (backingFormat === undefined) {
      throw new HintedFailure(needsBackingFormat(), `Detected format of ${backend.node.driver.name}.`);
    }
    if (values.size('size') === undefined) values.setNumber('size', backend.size);
  } finally {
    await backend.close();
  }
}

const needsBackingFormat = (): Failure => wrong('Backing file specified without backing format');

async function openBacking(graph: BlockGraph, filename: string, format: string | undefined): Promise<BlockBackend> {
  try {
    const options = new OptionDict(format === undefined ? [] : [['driver', format]]);
    return await BlockBackend.open(graph, { filename, options, flags: { readOnly: true, noIo: true }, noIo: true });
  } catch (error) {
    const failure = prefixed('', error);
    throw new Failure(failure.kind, `${failure.message.slice(2)}\nCould not open backing image.`, { cause: error });
  }
}
