// Descriptions of character back ends, from `-chardev kind,id=ID,...` and from the short form of -serial and -monitor
// (`mon:stdio`, `file:P`, `unix:P,server=on,wait=off`, `tcp:host:port,...`). Only data: opening them is the platform's.
import { Failure } from '../base/failure.ts';
import { bool, identifier, propertiesFromText, size, str, type Properties, type PropertyValues } from '../schema/property.ts';

export type CharSpec =
  | { readonly kind: 'null' }
  | { readonly kind: 'stdio'; /** Ctrl-C and Ctrl-\ act on this program instead of going to the guest. */ readonly signal: boolean }
  | { readonly kind: 'file'; readonly path: string; readonly append: boolean }
  | { readonly kind: 'ringbuf'; readonly sizeBytes: number }
  | { readonly kind: 'socket'; readonly address: SocketAddress; readonly server: boolean; readonly wait: boolean };

export type SocketAddress =
  | { readonly family: 'unix'; readonly path: string }
  | { readonly family: 'tcp'; readonly host: string; readonly port: number };

export interface CharDeclaration {
  readonly spec: CharSpec;
  /** Several front ends share the back end; Ctrl-A c goes from one to the next. */
  readonly mux: boolean;
}

const invalid = (message: string): Failure => new Failure('invalid-argument', message);

// Every kind's members in one table, because -chardev refuses an unknown name before it looks at the kind.
const CHARDEV = {
  backend: { type: str },
  id: { type: identifier },
  mux: { type: bool },
  signal: { type: bool },
  path: { type: str },
  append: { type: bool },
  size: { type: size() },
  host: { type: str },
  port: { type: str },
  server: { type: bool },
  wait: { type: bool },
  nodelay: { type: bool },
} as const satisfies Properties;
type CharValues = PropertyValues<typeof CHARDEV>;

const RINGBUF_BYTES = 64 * 1024;

const builders: Readonly<Record<string, (values: CharValues) => CharSpec>> = {
  null: () => ({ kind: 'null' }),
  stdio: ({ signal = true }) => ({ kind: 'stdio', signal }),
  file({ path, append = false }) {
    if (path === undefined) throw invalid('chardev: file: no filename given');
    return { kind: 'file', path, append };
  },
  ringbuf({ size: sizeBytes = RINGBUF_BYTES }) {
    if (sizeBytes < 1 || !Number.isInteger(Math.log2(sizeBytes))) throw invalid('size of ringbuf chardev must be power of two');
    return { kind: 'ringbuf', sizeBytes };
  },
  socket: socketSpec,
};

/** Known, but not here; said plainly instead of "not a valid name". */
const LATER = new Set(['pty', 'udp', 'pipe', 'vc', 'serial', 'tty', 'parallel', 'parport', 'msmouse', 'wctablet', 'testdev', 'braille']);

function socketSpec({ path, host, port, server = false, wait }: CharValues): CharSpec {
  if (path === undefined && host === undefined && port === undefined) throw invalid('chardev: socket: no path or port given');
  if (wait !== undefined && !server) throw invalid("'wait' option is incompatible with socket in client connect mode");
  const rest = { kind: 'socket', server, wait: server && (wait ?? true) } as const;
  if (path !== undefined) return { ...rest, address: { family: 'unix', path } };
  if (port === undefined) throw invalid('chardev: socket: no port given');
  if (host === undefined && !server) throw invalid('chardev: socket: no host given');
  if (!/^\d+$/.test(port) || Number(port) > 65535) throw invalid(`chardev: socket: invalid port '${port}'`);
  return { ...rest, address: { family: 'tcp', host: host ?? '', port: Number(port) } };
}

export const CHARDEV_HELP = `Available chardev backend types: \n${Object.keys(builders).sort().map((kind) => `  ${kind}\n`).join('')}`;

/** The argument of -chardev. */
export function parseChardev(text: string): { readonly id: string } & CharDeclaration {
  const values = propertiesFromText(CHARDEV, text, { impliedName: 'backend' });
  const { id, backend = '', mux = false } = values;
  if (id === undefined) throw invalid('chardev: no id specified');
  return { id, mux, spec: build(backend, values, `'${backend}' is not a valid char driver name`) };
}

function build(kind: string, values: CharValues, unknown: string): CharSpec {
  if (LATER.has(kind)) throw new Failure('unsupported', `chardev '${kind}' is not supported yet`);
  if (!Object.hasOwn(builders, kind)) throw invalid(unknown);
  return builders[kind]!(values);
}

/** What -serial, -monitor, -parallel and -debugcon name. */
export type CharTarget =
  | { readonly kind: 'none' }
  | { readonly kind: 'chardev'; readonly id: string }
  | ({ readonly kind: 'new'; /** `mon:`: the human monitor shares it. */ readonly monitor: boolean } & CharDeclaration);

export function parseCharTarget(text: string): CharTarget {
  if (text === 'none') return { kind: 'none' };
  if (text.startsWith('chardev:')) return { kind: 'chardev', id: text.slice('chardev:'.length) };
  if (!text.startsWith('mon:')) return { kind: 'new', monitor: false, mux: false, spec: shortForm(text) };
  const spec = shortForm(text.slice('mon:'.length));
  // With the monitor there is another way out, so that Ctrl-C can go to the guest.
  return { kind: 'new', monitor: true, mux: true, spec: spec.kind === 'stdio' ? { ...spec, signal: false } : spec };
}

function shortForm(text: string): CharSpec {
  const colon = text.indexOf(':');
  const kind = colon < 0 ? text : text.slice(0, colon);
  const rest = text.slice(colon + 1);
  if (kind === 'vc') return { kind: 'null' }; // a text window of a display that is not there
  if (colon < 0 && (kind === 'null' || kind === 'stdio')) return build(kind, {}, '');
  if (colon < 0 && !LATER.has(kind)) throw invalid(`'${text}' is not a valid char driver`);
  if (kind === 'file') return build('file', { path: rest }, '');
  if (kind === 'unix') return socketSpec(propertiesFromText(CHARDEV, rest, { impliedName: 'path' }));
  if (kind === 'tcp') return tcpShortForm(rest);
  return build(kind, {}, `'${text}' is not a valid char driver`);
}

function tcpShortForm(text: string): CharSpec {
  const match = /^(?<host>\[[^\]]*\]|[^:,]*):(?<port>\d+)(?:,(?<rest>.*))?$/.exec(text);
  if (match === null) throw invalid(`'tcp:${text}' is not a valid char driver`);
  const { host = '', port = '', rest } = match.groups!;
  const bare = host.replace(/^\[|\]$/g, '');
  return socketSpec({ ...propertiesFromText(CHARDEV, rest ?? ''), port, host: bare });
}
