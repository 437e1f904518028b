// The objects of --object: secrets, throttle groups, TLS credentials, authorization. Declared as data, so that the complaints
// about wrong properties and `TYPE,help` follow from the table. What an object does is its user's affair (image encryption,
// the throttle filter, NBD).
import { createDecipheriv } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { errnoOf, errnoText, isErrno } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { splitAtCommas } from '../../schema/key-value.ts';
import type { TlsCredentials } from '../../ports/stream.ts';
import { credentialsOf } from './tls-credentials.ts';
import type { ToolIo } from './tool-io.ts';

type ValueType = 'string' | 'bool' | 'int' | readonly string[];

interface PropertyRow {
  readonly name: string;
  readonly type: ValueType;
  /** As `TYPE,help` shows the type. */
  readonly label: string;
}

export interface ObjectType {
  readonly properties: readonly PropertyRow[];
  /** Names that are accepted beside the properties: members of structures. */
  readonly nested?: RegExp;
  /** Checks made when the object is created. */
  complete?(object: ToolObject, objects: ToolObjects): void;
}

export interface ToolObject {
  readonly type: string;
  readonly id: string;
  readonly values: ReadonlyMap<string, string | number | boolean>;
}

/** What a block graph's host is told of the objects. */
export interface HostOptions {
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  readonly objects: ReadonlyMap<string, ToolObject>;
  readonly tlsCredentials: (id: string) => TlsCredentials | undefined;
}

const wrong = (message: string): Failure => new Failure('invalid-argument', message);
const text = (name: string): PropertyRow => ({ name, type: 'string', label: 'string' });
const flag = (name: string): PropertyRow => ({ name, type: 'bool', label: 'bool' });

const endpoint: PropertyRow = { name: 'endpoint', type: ['client', 'server'], label: 'QCryptoTLSCredsEndpoint' };
const THROTTLE_LIMITS = ['bps', 'iops'].flatMap((what) =>
  ['total', 'read', 'write'].flatMap((which) => ['', '-max', '-max-length'].map((suffix) => `${what}-${which}${suffix}`)),
);

const TYPES: Readonly<Record<string, ObjectType>> = {
  'authz-list': { properties: [{ name: 'policy', type: ['deny', 'allow'], label: 'QAuthZListPolicy' }, text('rules')], nested: /^rules\./ },
  'authz-list-file': { properties: [text('filename'), flag('refresh')] },
  'authz-simple': { properties: [text('identity')] },
  secret: {
    properties: [
      text('data'),
      text('file'),
      { name: 'format', type: ['raw', 'base64'], label: 'QCryptoSecretFormat' },
      text('iv'),
      text('keyid'),
    ],
    complete: (object, objects) => objects.secrets.set(object.id, secretValue(object, objects)),
  },
  'throttle-group': {
    properties: [
      { name: 'limits', type: 'string', label: 'ThrottleLimits' },
      ...[...THROTTLE_LIMITS, 'iops-size'].map((name): PropertyRow => ({ name: `x-${name}`, type: 'int', label: 'int' })),
    ],
    nested: new RegExp(`^limits\\.(${[...THROTTLE_LIMITS, 'iops-size'].join('|')})$`),
  },
  'tls-creds-anon': { properties: [text('dir'), endpoint, text('priority'), flag('verify-peer')] },
  'tls-creds-psk': {
    properties: [text('dir'), endpoint, text('priority'), text('username'), flag('verify-peer')],
    complete: (object) => checkCredentials(object, ['keys.psk']),
  },
  'tls-creds-x509': {
    properties: [text('dir'), endpoint, text('passwordid'), text('priority'), flag('sanity-check'), flag('verify-peer')],
    complete: (object) =>
      checkCredentials(
        object,
        object.values.get('endpoint') === 'server' ? ['ca-cert.pem', 'server-cert.pem', 'server-key.pem'] : ['ca-cert.pem'],
      ),
  },
};

/** Objects of machines alone: accepted, for there is one thread that all devices share. */
export const MACHINE_OBJECT_TYPES: Readonly<Record<string, ObjectType>> = {
  iothread: {
    properties: ['aio-max-batch', 'poll-grow', 'poll-max-ns', 'poll-shrink', 'thread-pool-max', 'thread-pool-min'].map((name) => ({
      name, type: 'int', label: 'int',
    })),
  },
};

const IDENTIFIER = /^[A-Za-z][A-Za-z0-9._-]*$/;

/** Ends the command after a help text. */
export class ObjectHelp extends Error {}

export class ToolObjects {
  readonly secrets = new Map<string, Uint8Array>();
  readonly #objects = new Map<string, ToolObject>();
  readonly #io: Pick<ToolIo, 'out'>;
  readonly #types: Readonly<Record<string, ObjectType>>;

  constructor(io: Pick<ToolIo, 'out'>, further: Readonly<Record<string, ObjectType>> = {}) {
    this.#io = io;
    this.#types = { ...TYPES, ...further };
  }

  ofType(type: string): ToolObject[] {
    return [...this.#objects.values()].filter((object) => object.type === type);
  }

  /** What the block layer's host needs of them. */
  hostOptions(): HostOptions {
    return { secrets: this.secrets, objects: this.#objects, tlsCredentials: (id) => this.tlsCredentials(id) };
  }

  tlsCredentials(id: string): TlsCredentials | undefined {
    const object = this.#objects.get(id);
    return object === undefined ? undefined : credentialsOf(object);
  }

  get(id: string): ToolObject | undefined {
    return this.#objects.get(id);
  }

  /** `TYPE,id=ID,…` or the same as JSON. */
  add(definition: string): void {
    const raw = definition.startsWith('{') ? fromJson(definition) : this.#fromText(definition);
    const object = typed(raw, this.#types);
    this.#types[object.type]!.complete?.(object, this);
    if (this.#objects.has(object.id)) throw wrong(`attempt to add duplicate property '${object.id}' to object (type 'container')`);
    this.#objects.set(object.id, object);
  }

  #fromText(definition: string): Map<string, string> {
    const items = splitAtCommas(definition);
    const isHelp = (item: string | undefined): boolean => item === 'help' || item === '?';
    const typeNames = Object.keys(this.#types).sort();
    if (isHelp(items[0])) throw this.#help(['List of user creatable objects:', ...typeNames.map((name) => `  ${name}`)]);
    const values = new Map<string, string>();
    for (const [index, item] of items.entries()) {
      const equals = item.indexOf('=');
      if (equals >= 0) values.set(item.slice(0, equals), item.slice(equals + 1));
      else if (index === 0) {
        if (item === '' && items.length > 1) throw wrong("Invalid parameter ''");
        if (item !== '') values.set('qom-type', item);
      } else if (isHelp(item) && Object.hasOwn(this.#types, items[0]!)) throw this.#help(typeHelp(items[0]!, this.#types));
      else throw wrong(`Expected '=' after parameter '${item}'`);
    }
    return values;
  }

  #help(lines: readonly string[]): ObjectHelp {
    this.#io.out(lines.map((line) => `${line}\n`).join(''));
    return new ObjectHelp();
  }
}

const typeHelp = (type: string, types: Readonly<Record<string, ObjectType>>): string[] => [
  `${type} options:`,
  ...types[type]!.properties.map(({ name, label }) => `  ${name}=<${label}>`).sort(),
];

function fromJson(definition: string): Map<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(definition);
  } catch {
    const word = /^\{\s*([A-Za-z]+)/.exec(definition)?.[1];
    throw wrong(word === undefined ? 'JSON parse error, expecting value' : `JSON parse error, invalid keyword '${word}'`);
  }
  return new Map(flatten(value as Record<string, unknown>, ''));
}

function flatten(object: Record<string, unknown>, prefix: string): [string, unknown][] {
  return Object.entries(object).flatMap(([key, value]): [string, unknown][] =>
    typeof value === 'object' && value !== null
      ? flatten(value as Record<string, unknown>, `${prefix}${key}.`)
      : [[`${prefix}${key}`, value]],
  );
}

function takeText(raw: Map<string, unknown>, name: string): string {
  const value = raw.get(name);
  if (value === undefined) throw wrong(`Parameter '${name}' is missing`);
  if (typeof value !== 'string') throw wrong(`Invalid parameter type for '${name}', expected: string`);
  raw.delete(name);
  return value;
}

function typed(raw: Map<string, unknown>, types: Readonly<Record<string, ObjectType>>): ToolObject {
  const type = takeText(raw, 'qom-type');
  const declared = Object.hasOwn(types, type) ? types[type] : undefined;
  if (declared === undefined) throw wrong(`Parameter 'qom-type' does not accept value '${type}'`);
  const id = takeText(raw, 'id');
  const values = new Map<string, string | number | boolean>();
  for (const [name, value] of raw) {
    const row = declared.properties.find((property) => property.name === name);
    if (row === undefined && !declared.nested?.test(name)) throw wrong(`Parameter '${name}' is unexpected`);
    values.set(name, convert(name, row?.type ?? (type === 'throttle-group' ? 'int' : 'string'), value));
  }
  if (!IDENTIFIER.test(id)) {
    throw wrong("Parameter 'id' expects an identifier\nIdentifiers consist of letters, digits, '-', '.', '_', starting with a letter.");
  }
  return { type, id, values };
}

function convert(name: string, type: ValueType, value: unknown): string | number | boolean {
  if (type === 'int') {
    const number = typeof value === 'string' && /^[+-]?(0[xX][0-9a-fA-F]+|\d+)$/.test(value) ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isSafeInteger(number)) throw wrong(`Parameter '${name}' expects integer`);
    return number;
  }
  if (type === 'bool') {
    if (value === true || value === 'on' || value === 'yes' || value === 'true' || value === 'y') return true;
    if (value === false || value === 'off' || value === 'no' || value === 'false' || value === 'n') return false;
    throw wrong(`Parameter '${name}' expects 'on' or 'off'`);
  }
  if (typeof value !== 'string') throw wrong(`Invalid parameter type for '${name}', expected: string`);
  if (typeof type === 'object' && !type.includes(value)) throw wrong(`Parameter '${name}' does not accept value '${value}'`);
  return value;
}

function fileContent(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    const why = isErrno(code) ? errnoText(code) : errnoText(errnoOf(error));
    throw wrong(`Unable to read ${path}: Failed to open file “${path}”: ${why}`);
  }
}

function secretValue({ values }: ToolObject, { secrets }: ToolObjects): Uint8Array {
  const data = values.get('data') as string | undefined;
  const file = values.get('file') as string | undefined;
  if (data !== undefined && file !== undefined) throw wrong("'file' and 'data' are mutually exclusive");
  if (data === undefined && file === undefined) throw wrong("Either 'file' or 'data' must be provided");
  const content = data === undefined ? fileContent(file!) : new TextEncoder().encode(data);
  const keyId = values.get('keyid') as string | undefined;
  if (keyId !== undefined) return decrypt(content, keyId, values, secrets);
  return values.get('format') === 'base64' ? base64(content) : content;
}

function base64(content: Uint8Array): Uint8Array {
  const characters = new TextDecoder().decode(content).replace(/[\n\r]/g, '');
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(characters)) throw wrong('Base64 data contains invalid characters');
  return Buffer.from(characters, 'base64');
}

/** The secret was encrypted with AES-256-CBC under another one. */
function decrypt(content: Uint8Array, keyId: string, values: ToolObject['values'], secrets: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const key = secrets.get(keyId);
  if (key === undefined) throw wrong(`No secret with id '${keyId}'`);
  const keyBytes = base64(key);
  if (keyBytes.length !== 32) throw wrong(`Key should be 32 bytes in length`);
  const ivText = values.get('iv');
  if (typeof ivText !== 'string') throw wrong('IV is required to decrypt secret');
  const iv = base64(new TextEncoder().encode(ivText));
  if (iv.length !== 16) throw wrong(`IV should be 16 bytes in length not ${iv.length}`);
  const cipher = createDecipheriv('aes-256-cbc', keyBytes, iv);
  try {
    return Buffer.concat([cipher.update(values.get('format') === 'base64' ? base64(content) : content), cipher.final()]);
  } catch {
    throw wrong('Incorrect number of padding bytes found on decrypted data');
  }
}

function checkCredentials({ values }: ToolObject, files: readonly string[]): void {
  const folder = values.get('dir');
  if (typeof folder !== 'string') throw wrong("Missing 'dir' property value");
  const missing = files.find((name) => !existsSync(`${folder}/${name}`));
  if (missing !== undefined) throw wrong(`Unable to access credentials ${folder}/${missing}: No such file or directory`);
}
