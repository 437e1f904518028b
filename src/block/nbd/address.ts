// Where an NBD server is: the options of the nbd driver (`server.*`, and the older `host`, `port`, `path`) and the file names that
// stand for them: nbd:HOST:PORT, nbd:unix:PATH, each with :exportname=NAME, and the URIs nbd://, nbd+unix://, nbds://. NBD URI
// specification: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md.
import { Failure } from '../../base/failure.ts';
import type { SocketAddress } from '../../ports/stream.ts';
import type { OptionDict } from '../options.ts';
import { DEFAULT_PORT } from './protocol.ts';

const wrong = (message: string): Failure => new Failure('invalid-argument', message);

/** Options that say in another way what a file name says. */
const ADDRESS_OPTIONS = ['host', 'port', 'path'] as const;

/** Fills `options` from a file name. */
export function parseNbdFilename(filename: string, options: OptionDict): void {
  if (ADDRESS_OPTIONS.some((name) => options.has(name))) {
    throw wrong('host/port/path and file names may not be specified at the same time');
  }
  if (filename.includes('://')) {
    if (!parseUri(filename, options)) throw wrong('No valid URL specified');
    return;
  }
  parsePlainName(filename, options);
}

function parsePlainName(text: string, options: OptionDict): void {
  const marker = ':exportname=';
  const at = text.indexOf(marker);
  const named = at < 0 ? text : text.slice(0, at);
  if (at >= 0) {
    const name = text.slice(at + marker.length);
    if (name === '') return;
    options.set('export', name);
  }
  if (!named.startsWith('nbd:')) throw wrong("File name string for NBD must start with 'nbd:'");
  const address = named.slice('nbd:'.length);
  if (address === '') return;
  if (address.startsWith('unix:')) {
    options.set('server.type', 'unix');
    options.set('server.path', address.slice('unix:'.length));
    return;
  }
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(.+)$/.exec(address);
  if (match === null) throw wrong(`error parsing address '${address}'`);
  options.set('server.type', 'inet');
  options.set('server.host', match[1] ?? match[2]!);
  options.set('server.port', match[3]!);
}

interface UriParts {
  readonly scheme: string;
  readonly host: string;
  readonly port: string | undefined;
  readonly path: string;
  readonly query: string | undefined;
}

/** RFC 3986 as far as it is needed here; the platform's own parser knows too much about other schemes. */
function splitUri(text: string): UriParts | undefined {
  const match = /^([a-z+]+):\/\/(?:[^@/?#]*@)?(\[[^\]]*\]|[^:/?#]*)(?::(\d*))?(\/[^?#]*)?(?:\?([^#]*))?(?:#.*)?$/.exec(text);
  if (match === null) return undefined;
  const [, scheme, host, port, path, query] = match;
  try {
    const plainHost = decodeURIComponent(host!.replace(/^\[(.*)\]$/, '$1'));
    return { scheme: scheme!, host: plainHost, port, path: decodeURIComponent(path ?? ''), query };
  } catch {
    return undefined; // a broken %-escape
  }
}

function parseUri(text: string, options: OptionDict): boolean {
  const uri = splitUri(text);
  if (uri === undefined) return false;
  const isUnix = uri.scheme === 'nbd+unix' || uri.scheme === 'nbds+unix';
  if (!isUnix && !['nbd', 'nbd+tcp', 'nbds', 'nbds+tcp'].includes(uri.scheme)) return false;
  const name = uri.path.replace(/^\//, '');
  if (name !== '') options.set('export', name);
  if (uri.scheme.startsWith('nbds') && !options.has('tls-creds')) throw wrong(`${uri.scheme} needs the option tls-creds`);
  return isUnix ? parseUnixUri(uri, options) : parseTcpUri(uri, options);
}

function parseUnixUri({ host, port, query }: UriParts, options: OptionDict): boolean {
  const match = /^socket=([^&;]*)$/.exec(query ?? '');
  if (host !== '' || port !== undefined || match === null) return false;
  let path: string;
  try {
    path = decodeURIComponent(match[1]!);
  } catch {
    return false;
  }
  options.set('server.type', 'unix');
  options.set('server.path', path);
  return true;
}

function parseTcpUri({ host, port, query }: UriParts, options: OptionDict): boolean {
  if (host === '' || (query !== undefined && query !== '')) return false;
  options.set('server.type', 'inet');
  options.set('server.host', host);
  options.set('server.port', port === undefined || port === '' || Number(port) === 0 ? DEFAULT_PORT : port);
  return true;
}

/** Takes the address out of the options; it stays under `server.` in `shown`, which names the node. */
export function takeAddress(options: OptionDict): SocketAddress {
  const [host, port, path] = ADDRESS_OPTIONS.map((name) => options.takeText(name));
  const isLegacy = host !== undefined || path !== undefined;
  if (options.hasUnder('server')) {
    if (isLegacy || port !== undefined) throw wrong("Cannot use 'server' and path/host/port at the same time");
    return takeServer(options.takeUnder('server'));
  }
  if (host !== undefined && path !== undefined) throw wrong('path and host may not be used at the same time');
  if (path !== undefined) {
    if (port !== undefined) throw wrong('port may not be used without host');
    return { type: 'unix', path };
  }
  if (host === undefined) throw wrong('NBD server address missing');
  return { type: 'inet', host, port: port ?? DEFAULT_PORT };
}

function takeServer(server: OptionDict): SocketAddress {
  const required = (name: string): string => {
    const value = server.takeText(name);
    if (value === undefined) throw wrong(`Parameter '${name}' is missing`);
    return value;
  };
  const address = addressOf(required('type'), required);
  if (address.type === 'inet') for (const name of INET_EXTRAS) server.take(name);
  if (address.type === 'unix') for (const name of UNIX_EXTRAS) server.take(name);
  const [left] = server.keys();
  if (left !== undefined) throw wrong(`Parameter '${left}' is unexpected`);
  return address;
}

/** Members of the address types that change nothing here. */
const INET_EXTRAS = ['ipv4', 'ipv6', 'keep-alive', 'numeric', 'to', 'mptcp'];
const UNIX_EXTRAS = ['abstract', 'tight'];

function addressOf(type: string, required: (name: string) => string): SocketAddress {
  switch (type) {
    case 'inet':
      return { type, host: required('host'), port: required('port') };
    case 'unix':
      return { type, path: required('path') };
    case 'vsock':
    case 'fd':
      throw new Failure('unsupported', `NBD over ${type === 'fd' ? 'an inherited socket' : 'vsock'} is not supported`);
    default:
      throw wrong(`Parameter 'type' does not accept value '${type}'`);
  }
}

/** The plain name of an export. */
export function nbdFilename(address: SocketAddress, exportName: string): string | undefined {
  switch (address.type) {
    case 'unix':
      return exportName === '' ? `nbd+unix://?socket=${address.path}` : `nbd+unix:///${exportName}?socket=${address.path}`;
    case 'inet':
      return exportName === '' ? `nbd://${address.host}:${address.port}` : `nbd://${address.host}:${address.port}/${exportName}`;
    case 'fd':
      return undefined;
  }
}
