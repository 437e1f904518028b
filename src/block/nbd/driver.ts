// The protocol driver `nbd`: a node that is an export of an NBD server. Options and their texts as in QMP's BlockdevOptionsNbd.
// The conversation is client.ts, what happens when it breaks connection.ts, addresses and names address.ts.
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { SocketAddress, TlsCredentials } from '../../ports/stream.ts';
import { str, type PropertyType } from '../../schema/property.ts';
import { WRITE, type BlockDriver, type BlockInstance, type BlockLimits, type OpenContext, type TruncateRequest } from '../driver.ts';
import { waitingFor } from '../../trace/waits.ts';
import type { BlockHost } from '../host.ts';
import type { BlockNode } from '../node.ts';
import { SECTOR } from '../node.ts';
import { STATUS, type BlockStatus } from '../status.ts';
import { nbdFilename, parseNbdFilename, takeAddress } from './address.ts';
import { ClientHandshake } from './client-handshake.ts';
import { NbdClient } from './client.ts';
import { NbdConnection } from './connection.ts';
import type { Extent } from './export.ts';
import * as protocol from './protocol.ts';
import { CMD, CMD_FLAG, CONTEXT_BASE_ALLOCATION, FLAG, MAX_REQUEST_BYTES, MAX_STRING_BYTES, STATE } from './protocol.ts';

const MAX_DISCARD = 2 ** 31 - 1;

const seconds: PropertyType<number> = {
  label: 'uint32',
  fromText(name, text) {
    if (!/^\d+$/.test(text) || Number(text) >= 2 ** 32) throw new Failure('invalid-argument', `Parameter '${name}' expects a number`);
    return Number(text);
  },
  fromJson(name, value) {
    return this.fromText(name, String(value));
  },
};

const OPEN_OPTIONS = {
  host: { type: str },
  port: { type: str },
  path: { type: str },
  export: { type: str },
  'tls-creds': { type: str },
  'tls-hostname': { type: str },
  'x-dirty-bitmap': { type: str },
  'reconnect-delay': { type: seconds },
  'open-timeout': { type: seconds },
} as const;

interface NbdTarget {
  readonly address: SocketAddress;
  readonly exportName: string;
  readonly tls: TlsCredentials | undefined;
  readonly tlsHostname: string | undefined;
  readonly context: string;
}

class NbdInstance implements BlockInstance {
  readonly size: number;
  readonly limits: Partial<BlockLimits>;
  readonly writeFlags: number;
  readonly zeroFlags: number;
  readonly target: NbdTarget;
  /** Only where the server tells of allocation. */
  readonly status?: (offset: number, count: number) => Promise<BlockStatus>;
  readonly #connection: NbdConnection;
  readonly #node: BlockNode;
  readonly #flags: number;
  readonly #remoteSize: number;
  readonly #label: string;

  constructor(connection: NbdConnection, target: NbdTarget, node: BlockNode) {
    const remote = connection.client.export;
    this.#connection = connection;
    this.#node = node;
    this.#label = `NBD server ${nbdFilename(target.address, target.exportName) ?? node.name}`;
    this.#flags = remote.flags;
    this.target = target;
    this.size = Math.ceil(remote.size / SECTOR) * SECTOR; // images are counted in sectors
    this.#remoteSize = remote.size;
    const minimum = remote.minimumBlock || (remote.size % SECTOR !== 0 || remote.contextId !== undefined ? 1 : SECTOR);
    const maximum = Math.min(MAX_REQUEST_BYTES, remote.maximumBlock || MAX_REQUEST_BYTES);
    this.limits = {
      requestAlignment: minimum,
      maxTransfer: maximum,
      maxPwriteZeroes: maximum,
      maxPdiscard: MAX_DISCARD - (MAX_DISCARD % minimum),
      ...(remote.preferredBlock > minimum && { optTransfer: remote.preferredBlock }),
    };
    const fua = this.#has(FLAG.SEND_FUA) ? WRITE.FUA : 0;
    this.writeFlags = fua;
    this.zeroFlags = fua | WRITE.MAY_UNMAP | (this.#has(FLAG.SEND_FAST_ZERO) ? WRITE.NO_FALLBACK : 0);
    if (remote.contextId !== undefined) this.status = (offset, count) => this.#status(offset, count);
  }

  #has(flag: number): boolean {
    return (this.#flags & flag) !== 0;
  }

  /** How much of a request the server knows of: what is left of the last sector is zero. */
  #inside(offset: number, count: number): number {
    return Math.max(0, Math.min(count, this.#remoteSize - offset));
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    const count = this.#inside(offset, target.length);
    target.fill(0, count);
    if (count > 0) await this.#run('read', (client) => client.read(offset, target.subarray(0, count)));
  }

  write(offset: number, source: Uint8Array, flags: number): Promise<void> {
    return this.#run('write', (client) => client.write(offset, source, flags & WRITE.FUA ? CMD_FLAG.FUA : 0));
  }

  async writeZeroes(offset: number, count: number, flags: number): Promise<void> {
    if (!this.#has(FLAG.SEND_WRITE_ZEROES)) throw new ErrnoFailure('ENOTSUP');
    const how = (flags & WRITE.FUA ? CMD_FLAG.FUA : 0) | (flags & WRITE.MAY_UNMAP ? 0 : CMD_FLAG.NO_HOLE);
    const all = how | (flags & WRITE.NO_FALLBACK ? CMD_FLAG.FAST_ZERO : 0);
    await this.#run('write-zeroes', (client) => client.command(CMD.WRITE_ZEROES, offset, count, all));
  }

  async discard(offset: number, count: number): Promise<void> {
    if (!this.#has(FLAG.SEND_TRIM)) return;
    await this.#run('discard', (client) => client.command(CMD.TRIM, offset, count, 0));
  }

  async flush(): Promise<void> {
    if (!this.#has(FLAG.SEND_FLUSH)) return;
    await this.#run('flush', (client) => client.command(CMD.FLUSH, 0, 0, 0));
  }

  /** The size is the server's; only a tool that does not need an exact one may go on with a smaller wish. */
  truncate({ size, exact }: TruncateRequest): void {
    if (exact && size !== this.size) throw new ErrnoFailure('ENOTSUP', 'Cannot resize NBD nodes');
    if (size > this.size) throw new ErrnoFailure('EINVAL', 'Cannot grow NBD nodes');
  }

  async #status(offset: number, count: number): Promise<BlockStatus> {
    if (this.#inside(offset, count) === 0) return { count, flags: STATUS.ZERO }; // what fills the last sector up lies nowhere
    const alignment = this.limits.requestAlignment!;
    const length = Math.min(count, this.#remoteSize - offset, MAX_DISCARD - (MAX_DISCARD % alignment));
    const extent = fitted(await this.#run('block status', (client) => client.status(offset, length)), alignment, length);
    const data = extent.flags & STATE.HOLE ? 0 : STATUS.DATA;
    const zero = extent.flags & STATE.ZERO ? STATUS.ZERO : 0;
    return { count: extent.count, flags: data | zero | STATUS.OFFSET_VALID, hostOffset: offset, file: this.#node };
  }

  close(): Promise<void> {
    return waitingFor(this.#label, 'close', this.#connection.close());
  }

  /** A request to the server, which is named when it is slow. */
  #run<T>(operation: string, request: (client: NbdClient) => Promise<T>): Promise<T> {
    return waitingFor(this.#label, operation, this.#connection.run(request));
  }
}

/** An extent as it can be used: of whole blocks, and no longer than was asked for. */
function fitted({ count, flags }: Extent, alignment: number, length: number): Extent {
  if (count >= length) return { count: length, flags };
  if (count % alignment === 0) return { count, flags };
  return count > alignment ? { count: count - (count % alignment), flags } : { count: alignment, flags: 0 };
}

function takeTarget({ options, host }: OpenContext): { target: NbdTarget; reconnectDelayMs: number; openTimeoutMs: number } {
  const address = takeAddress(options);
  const given = options.absorb(OPEN_OPTIONS);
  const exportName = given.export ?? '';
  checkLength('export name', exportName);
  const bitmap = given['x-dirty-bitmap'];
  if (bitmap !== undefined) checkLength('x-dirty-bitmap query', bitmap);
  const credentials = given['tls-creds'];
  const tls = credentials === undefined ? undefined : clientCredentials(host, credentials);
  const named = given['tls-hostname'] ?? (address.type === 'inet' ? address.host : undefined);
  return {
    target: { address, exportName, tls, tlsHostname: named, context: bitmap ?? CONTEXT_BASE_ALLOCATION },
    reconnectDelayMs: 1000 * (given['reconnect-delay'] ?? 0),
    openTimeoutMs: 1000 * (given['open-timeout'] ?? 0),
  };
}

function checkLength(what: string, value: string): void {
  if (new TextEncoder().encode(value).length > MAX_STRING_BYTES) throw new Failure('limit', `${what} too long to send to server`);
}

function clientCredentials(host: BlockHost, id: string): TlsCredentials {
  const credentials = host.tlsCredentials?.(id);
  if (credentials === undefined) throw new Failure('not-found', `No TLS credentials with id '${id}'`);
  if (credentials.endpoint !== 'client') throw new Failure('invalid-argument', 'Expected TLS credentials for a client endpoint');
  return credentials;
}

async function connect(host: BlockHost, target: NbdTarget): Promise<NbdClient> {
  const { network } = host;
  if (network === undefined) throw new Failure('unsupported', 'There is no network here');
  const stream = await network.connect(target.address);
  const handshake = new ClientHandshake(stream, target);
  try {
    const remote = await handshake.enter();
    return new NbdClient(handshake.stream, remote);
  } catch (error) {
    handshake.stream.close();
    throw error;
  }
}

async function open(context: OpenContext): Promise<NbdInstance> {
  const { host, node, flags } = context;
  const { target, ...timing } = takeTarget(context);
  const connection = await NbdConnection.open({
    ...timing,
    connect: () => connect(host, target),
    nowMs: () => host.nowNs() / 1e6,
    sleep: (ms) => host.sleep(ms),
  });
  if (connection.client.export.flags & protocol.FLAG.READ_ONLY && !flags.readOnly) {
    if (!flags.autoReadOnly) {
      await connection.close();
      throw new ErrnoFailure('EACCES', 'request on write denied without write permission');
    }
    node.flags = { ...flags, readOnly: true };
  }
  return new NbdInstance(connection, target, node);
}

export const driver: BlockDriver = {
  name: 'nbd',
  kind: 'protocol',
  options: OPEN_OPTIONS,
  parseFilename: parseNbdFilename,
  strongOptions: ['path', 'host', 'port', 'export', 'tls-creds', 'tls-hostname', 'server.'],
  open,
  exactFilename(node) {
    if (!node.isOpen || !(node.instance instanceof NbdInstance)) return undefined;
    const { address, exportName } = node.instance.target;
    return nbdFilename(address, exportName);
  },
};
