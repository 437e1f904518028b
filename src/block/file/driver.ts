// The protocols of the host's own files and devices: `file`, `host_device` and `host_cdrom`. Options and opening; what an open
// one does is instance.ts, making one is create.ts.
import { ErrnoFailure, errnoOf, prefixed } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { HostFile, HostFileKind } from '../../ports/host-file.ts';
import type { BlockDriver, OpenContext, OpenFlags, OpenOptions } from '../driver.ts';
import type { BlockHost } from '../host.ts';
import type { OptionDict } from '../options.ts';
import { createFile, createOnDevice, deviceCreateOptions, fileCreateOptions } from './create.ts';
import { FileInstance } from './instance.ts';
import { fileOptions } from './open-options.ts';

interface Protocol {
  readonly name: string;
  readonly accepts: (kind: HostFileKind) => boolean;
  /** What the user is told that it must be. */
  readonly wanted: string;
}

const isDevice = (kind: HostFileKind): boolean => kind !== 'regular';
const REGULAR: Protocol = { name: 'file', accepts: (kind) => kind === 'regular', wanted: 'a regular file' };
const DEVICE: Protocol = { name: 'host_device', accepts: isDevice, wanted: 'either a character or block device' };
const CDROM: Protocol = { ...DEVICE, name: 'host_cdrom' };

const withoutPrefix = (filename: string, protocol: string): string =>
  filename.startsWith(`${protocol}:`) ? filename.slice(protocol.length + 1) : filename;

const declaration = (protocol: Protocol): Omit<BlockDriver, 'createOptions' | 'create'> => ({
  name: protocol.name,
  kind: 'protocol',
  options: fileOptions,
  needsFilename: true,
  strongOptions: ['filename'],
  parseFilename(filename: string, options: OptionDict) {
    options.set('filename', withoutPrefix(filename, protocol.name));
  },
  open: (context) => open(context, protocol),
});

export const file: BlockDriver = {
  ...declaration(REGULAR),
  createOptions: fileCreateOptions,
  create: (filename, values, context) => createFile(withoutPrefix(filename, 'file'), values, context),
};

export const hostDevice: BlockDriver = {
  ...declaration(DEVICE),
  createOptions: deviceCreateOptions,
  create: (filename, values, context) => createOnDevice(withoutPrefix(filename, 'host_device'), values, context),
};

export const hostCdrom: BlockDriver = {
  ...declaration(CDROM),
  createOptions: deviceCreateOptions,
  create: (filename, values, context) => createOnDevice(withoutPrefix(filename, 'host_cdrom'), values, context),
};

async function open(context: OpenContext, protocol: Protocol): Promise<FileInstance> {
  const { host, node, flags } = context;
  const options = context.options.absorb(fileOptions);
  const filename = options.filename ?? '';
  checkOptions(protocol, options, flags);
  const wanted = { host, protocol, filename, cachedReads: options['x-cached-reads'] ?? true };
  const openAgain = (next: OpenFlags): Promise<HostFile> => openHostFile(wanted, next, !next.readOnly);
  const { opened, writeRefusal } = await openForNode(context, openAgain, (next) => openHostFile(wanted, next, false));
  try {
    if (options.locking === 'on' && opened.locks === undefined) {
      throw new Failure('unsupported', 'locking=on needs open file description locks, which are not to be had here');
    }
    return new FileInstance({ file: opened, filename, node, locking: options.locking !== 'off', openAgain, writeRefusal });
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** auto-read-only: the file of a node that nobody writes to may be one that cannot be written to. */
async function openForNode({ flags }: OpenContext, open: Opener, openReadOnly: Opener): Promise<OpenedForNode> {
  try {
    return { opened: await open(flags), writeRefusal: undefined };
  } catch (error) {
    if (flags.readOnly || !flags.autoReadOnly || !(error instanceof Failure) || !REFUSALS.has(errnoOf(error))) throw error;
    return { opened: await openReadOnly(flags), writeRefusal: error };
  }
}

interface OpenedForNode {
  readonly opened: HostFile;
  /** Why it was not opened for writing. */
  readonly writeRefusal: Failure | undefined;
}

type Opener = (flags: OpenFlags) => Promise<HostFile>;

const REFUSALS: ReadonlySet<string> = new Set(['EACCES', 'EROFS', 'EPERM']);

function checkOptions({ name }: Protocol, options: OpenOptions<typeof fileOptions>, { direct, nativeAio }: OpenFlags): void {
  if (options.filename === undefined || options.filename === '') {
    throw new Failure('invalid-argument', `The '${name}' block driver requires a file name`);
  }
  // Beside this the modes mean the same: how requests reach the kernel is the host's business.
  if ((options.aio ?? (nativeAio ? 'native' : 'threads')) === 'native' && !direct) {
    throw new Failure('invalid-argument', 'aio=native was specified, but it requires cache.direct=on, which was not specified.');
  }
  const reservations = options['pr-manager'];
  if (reservations !== undefined) throw new Failure('not-found', `No persistent reservation manager with id '${reservations}'`);
}

interface WantedFile {
  readonly host: BlockHost;
  readonly protocol: Protocol;
  readonly filename: string;
  readonly cachedReads: boolean;
}

async function openHostFile(wanted: WantedFile, { direct }: OpenFlags, write: boolean): Promise<HostFile> {
  const { host, protocol, filename, cachedReads } = wanted;
  const wrongKind = new ErrnoFailure('EINVAL', `'${protocol.name}' driver requires '${filename}' to be ${protocol.wanted}`);
  const before = host.files.kind(filename);
  if (before === 'directory' || before === 'other') throw wrongKind; // opening a FIFO has effects on others
  let opened: HostFile;
  try {
    opened = await host.files.open(filename, { write, direct, cachedReads });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (direct && (await opensWithout(host, filename, write))) {
      throw new ErrnoFailure('EINVAL', `Could not open '${filename}': filesystem does not support O_DIRECT`, { cause: error });
    }
    throw prefixed(`Could not open '${filename}'`, error);
  }
  if (protocol.accepts(opened.kind)) return opened;
  await opened.close();
  throw wrongKind;
}

async function opensWithout(host: BlockHost, filename: string, write: boolean): Promise<boolean> {
  try {
    await (await host.files.open(filename, { write })).close();
    return true;
  } catch {
    return false;
  }
}
