// The command nandu-nbd: serves a disk image over NBD, with the command line and the words of QEMU 7.2's qemu-nbd. The options are
// nbd/options.ts, opening the image nbd/image.ts, the server nbd/serve.ts.
import { writeFileSync } from 'node:fs';
import { errnoOf, errnoText } from '../base/errno.ts';
import { Failure } from '../base/failure.ts';
import type { BlockBackend } from '../block/backend.ts';
import { nextLayer } from '../block/chain-status.ts';
import { BlockGraph } from '../block/graph.ts';
import { exportBackend, type ExportBitmap } from '../block/nbd/node-export.ts';
import { DEFAULT_PORT } from '../block/nbd/protocol.ts';
import { findBitmap } from '../block/node-bitmaps.ts';
import type { BlockNode } from '../block/node.ts';
import { createBlockHost } from '../platform/node/block-host.ts';
import type { SocketAddress, TlsCredentials } from '../ports/stream.ts';
import { ObjectHelp, ToolObjects } from './image-tools/objects.ts';
import { processIo } from './image-tools/process-io.ts';
import { ReportedFailure } from './image-tools/reported-failure.ts';
import type { ToolIo } from './image-tools/tool-io.ts';
import { isBackground, reportReady, runInBackground } from './nbd/fork.ts';
import { helpText, parseNbdOptions, UsageFailure, type NbdSettings } from './nbd/options.ts';
import type { NbdServer } from './nbd/serve.ts';
import { VERSION } from './version.ts';

const REFERENCE_VERSION = '7.2';
/** The first descriptor of socket activation. */
const ACTIVATION_FD = 3;

const wrong = (message: string): Failure => new Failure('invalid-argument', message);

const versionText = (): string =>
  `nandu-nbd version ${VERSION} (compatible with qemu-nbd ${REFERENCE_VERSION})\nCopyright (c) The nandu authors\n`;

/** A wrong number of words, which is told without the program's name in front of the advice. */
class CountFailure extends Failure {
  constructor() {
    super('invalid-argument', 'Invalid number of arguments');
  }
}

export async function main(words: readonly string[] = process.argv.slice(2)): Promise<void> {
  const io = processIo();
  const status = await runNbd(words, io);
  process.stdout.write('', () => process.exit(status));
}

function reportFailure(error: unknown, io: ToolIo): number {
  if (error instanceof ObjectHelp) return 0;
  if (!(error instanceof Failure)) throw error;
  const { program } = io;
  const lines = error instanceof ReportedFailure ? error.lines : [error.message];
  for (const line of lines) io.error(`${program}: ${line}\n`);
  if (error instanceof UsageFailure) io.error(`${program}: Try \`${program} --help' for more information.\n`);
  if (error instanceof CountFailure) io.error(`Try \`${program} --help' for more information.\n`);
  return 1;
}

/** Runs a command line until the server ends; the exit status. */
export async function runNbd(words: readonly string[], io: ToolIo): Promise<number> {
  try {
    return await perform(words, io);
  } catch (error) {
    return reportFailure(error, io);
  }
}

async function perform(words: readonly string[], io: ToolIo): Promise<number> {
  const objects = new ToolObjects(io);
  const parsed = parseNbdOptions(words, objects);
  if ('answer' in parsed) {
    io.out(parsed.answer === 'help' ? helpText(io.program) : versionText());
    return 0;
  }
  const { settings } = parsed;
  warnAboutTracing(settings, io);
  const activated = activatedSockets();
  if (activated > 0) checkActivation(settings, activated);
  checkOperands(settings);
  const tls = await checkTls(settings, objects);
  if (settings.selinuxLabel !== undefined) refuseSelinux(settings);
  if (settings.list) return list(settings, tls, io);
  refuseKernelDevices(settings);
  if (settings.fork && !isBackground()) return runInBackground(activated);
  return serve(settings, objects, tls, activated, io);
}

function warnAboutTracing({ tracePatterns }: NbdSettings, io: ToolIo): void {
  for (const item of tracePatterns.flatMap((text) => text.split(','))) {
    const pattern = item.startsWith('enable=') ? item.slice('enable='.length) : item;
    const isOther = /^(events|file)=/.test(item);
    if (isOther || pattern === '' || pattern === 'help' || pattern.includes('*')) continue;
    io.error(`${io.program}: warning: trace event '${pattern}' does not exist\n`);
  }
}

// Checks in the reference's order --------------------------------------------------------------------------------------------

/** How many sockets a service manager passes on; the background process has them from the one before it. */
function activatedSockets(): number {
  const { LISTEN_PID: pid, LISTEN_FDS: count } = process.env;
  if (pid === undefined || count === undefined || !/^\d+$/.test(count)) return 0;
  if (!isBackground() && Number(pid) !== process.pid) return 0;
  return Number(count);
}

function checkActivation(settings: NbdSettings, count: number): void {
  if (settings.connectDevice !== undefined) throw wrong("NBD device can't be set when using socket activation");
  if (settings.socketPath !== undefined) throw wrong("Unix socket can't be set when using socket activation");
  if (settings.bind !== undefined) throw wrong("The interface can't be set when using socket activation");
  if (settings.port !== undefined) throw wrong("TCP port number can't be set when using socket activation");
  if (count > 1) throw wrong('qemu-nbd does not support socket activation with LISTEN_FDS > 1');
}

function checkOperands(settings: NbdSettings): void {
  const { operands } = settings;
  if (!settings.list) {
    if (operands.length !== 1) throw new CountFailure();
    return;
  }
  if (operands.length > 0) throw wrong('List mode is incompatible with a file name');
  const { exportName, description, offset, connectDevice, format, loadSnapshot, aio, unmap, cache } = settings;
  const values = [exportName, description, offset, connectDevice, format, loadSnapshot, aio, unmap, cache];
  const flags = [settings.disconnect, settings.allocationDepth, settings.bitmaps.length > 0];
  const isOfDevice = values.some((value) => value !== undefined) || flags.includes(true);
  if (isOfDevice) throw wrong('List mode is incompatible with per-device settings');
  if (settings.fork) throw wrong('List mode is incompatible with forking');
}

async function checkTls(settings: NbdSettings, objects: ToolObjects): Promise<TlsCredentials | undefined> {
  const { tlsCreds, tlsAuthz, tlsHostname, list: isList } = settings;
  if (tlsCreds === undefined) {
    if (tlsAuthz !== undefined) throw wrong('--tls-authz is not permitted without --tls-creds');
    if (tlsHostname !== undefined) throw wrong('--tls-hostname is not permitted without --tls-creds');
    return undefined;
  }
  if (settings.connectDevice !== undefined) throw wrong('TLS is not supported with a host device');
  if (tlsAuthz !== undefined && isList) throw wrong('TLS authorization is incompatible with export list');
  if (tlsHostname !== undefined && !isList) throw wrong('TLS hostname is only supported with export list');
  const { findTlsCredentials } = await import('./nbd/credentials.ts');
  return findTlsCredentials(objects, tlsCreds, isList ? 'client' : 'server');
}

function refuseSelinux({ socketPath }: NbdSettings): never {
  if (socketPath === undefined) throw wrong('--selinux-label is not permitted without --socket');
  throw new Failure('unsupported', 'SELinux support not enabled in this binary');
}

function refuseKernelDevices({ connectDevice, disconnect }: NbdSettings): void {
  const option = connectDevice !== undefined ? '-c' : disconnect ? '-d' : undefined;
  if (option !== undefined) throw new Failure('unsupported', `Devices of the kernel's NBD client (${option}) are not supported`);
}

// Work -----------------------------------------------------------------------------------------------------------------------

function addressOf({ socketPath, bind, port }: NbdSettings): SocketAddress {
  if (socketPath !== undefined) return { type: 'unix', path: socketPath };
  return { type: 'inet', host: bind ?? '0.0.0.0', port: port ?? DEFAULT_PORT };
}

async function list(settings: NbdSettings, tls: TlsCredentials | undefined, io: ToolIo): Promise<number> {
  const { listExports } = await import('./nbd/list.ts');
  const address = addressOf(settings);
  const host = address.type === 'inet' ? address.host : undefined;
  io.out(await listExports({ address, tls, tlsHostname: settings.tlsHostname ?? host }));
  return 0;
}

async function serve(
  settings: NbdSettings,
  objects: ToolObjects,
  tls: TlsCredentials | undefined,
  activated: number,
  io: ToolIo,
): Promise<number> {
  const { NbdServer } = await import('./nbd/serve.ts');
  const { tlsAuthz } = settings;
  const authorize = tlsAuthz === undefined ? undefined : (await import('./nbd/credentials.ts')).authorizer(objects, tlsAuthz);
  const server = await NbdServer.listen({
    address: activated > 0 ? { type: 'fd', fd: ACTIVATION_FD } : addressOf(settings),
    shared: settings.shared,
    persistent: settings.persistent,
    tls,
    authorize,
    onError: (line) => io.error(`${io.program}: ${line}\n`),
  });
  try {
    await serveImage(server, settings, createGraph(objects, io));
  } catch (error) {
    await server.close();
    throw error;
  }
  return 0;
}

async function serveImage(server: NbdServer, settings: NbdSettings, graph: BlockGraph): Promise<void> {
  if (settings.imageOpts && settings.format !== undefined) throw wrong('--image-opts and -f are mutually exclusive');
  const { openServedImage } = await import('./nbd/image.ts');
  const backend = await openServedImage(graph, settings);
  try {
    const exported = exportBackend(backend, {
      name: settings.exportName ?? '',
      description: settings.description,
      readOnly: settings.readOnly,
      multiConn: settings.shared !== 1,
      allocationDepth: settings.allocationDepth,
      bitmaps: settings.bitmaps.toReversed().map((name) => findExportBitmap(backend, name, settings.readOnly)),
    });
    if (settings.pidFile !== undefined) writePidFile(settings.pidFile);
    if (isBackground()) reportReady();
    await server.run(exported);
  } catch (error) {
    await backend.close().catch(() => {});
    throw error;
  }
  await backend.close();
}

function createGraph(objects: ToolObjects, io: ToolIo): BlockGraph {
  const warn = (line: string, hint = ''): void => io.error(`${line}\n${hint}`);
  return new BlockGraph(createBlockHost({ files: 'server', warn, ...objects.hostOptions() }));
}

/** A bitmap of the image or of a layer below it. */
function findExportBitmap(backend: BlockBackend, name: string, readOnly: boolean): ExportBitmap {
  for (let node: BlockNode | undefined = backend.node; node !== undefined; node = nextLayer(node)) {
    const bitmap = findBitmap(node, name);
    if (bitmap === undefined) continue;
    bitmap.checkUsable({ readOnly: true });
    if (readOnly && !node.readOnly && bitmap.enabled) throw wrong(`Enabled bitmap '${name}' incompatible with readonly export`);
    bitmap.busy = true;
    return bitmap;
  }
  throw wrong(`Bitmap '${name}' is not found`);
}

function writePidFile(path: string): void {
  try {
    writeFileSync(path, `${process.pid}\n`);
  } catch (error) {
    throw new Failure('io', `Could not create '${path}': ${errnoText(errnoOf(error))}`, { cause: error });
  }
}
