// The options of LUKS volumes, as `create -o` and `amend -o` take them; qcow2 has the same under `encrypt.`.
import { Failure } from '../../base/failure.ts';
import type { HashName } from '../../ports/codec.ts';
import type { CreateOption, CreateValues } from '../driver.ts';
import { isHashName } from './luks-header.ts';
import { CIPHER_MODES, CIPHER_NAMES, IV_GENERATORS, type CipherName, type CipherSpec } from './sector-cipher.ts';

// prettier-ignore
const CREATE_ROWS: readonly CreateOption[] = [
  { name: 'key-secret',     type: 'str', help: 'ID of the secret that provides the keyslot passphrase' },
  { name: 'cipher-alg',     type: 'str', help: 'Name of encryption cipher algorithm' },
  { name: 'cipher-mode',    type: 'str', help: 'Name of encryption cipher mode' },
  { name: 'ivgen-alg',      type: 'str', help: 'Name of IV generator algorithm' },
  { name: 'ivgen-hash-alg', type: 'str', help: 'Name of IV generator hash algorithm' },
  { name: 'hash-alg',       type: 'str', help: 'Name of encryption hash algorithm' },
  { name: 'iter-time',      type: 'num', help: 'Time to spend in PBKDF in milliseconds' },
];

// prettier-ignore
const AMEND_ROWS: readonly CreateOption[] = [
  { name: 'iter-time',  type: 'num', help: 'Time to spend in PBKDF in milliseconds' },
  { name: 'keyslot',    type: 'num', help: 'Select a single keyslot to modify explicitly' },
  { name: 'new-secret', type: 'str', help: 'New secret to set in the matching keyslots. Empty string to erase' },
  { name: 'old-secret', type: 'str', help: 'Select all keyslots that match this password' },
  { name: 'state',      type: 'str', help: 'Select new state of affected keyslots (active/inactive)' },
];

const prefixed = (rows: readonly CreateOption[], prefix: string): CreateOption[] =>
  rows.map((row) => ({ ...row, name: prefix + row.name }));

export const luksCreateOptions = (prefix = ''): CreateOption[] => prefixed(CREATE_ROWS, prefix);
export const luksAmendOptions = (prefix = ''): CreateOption[] => prefixed(AMEND_ROWS, prefix);

export interface LuksCreate {
  readonly spec: CipherSpec;
  readonly hash: HashName;
  readonly iterTimeMs: number;
  readonly keySecret: string;
}

const ITER_TIME_MS = 2000;
/** Ciphers that are refused by name. */
const OTHER_CIPHERS = ['des', '3des'] as const;

const notAccepted = (name: string, value: string): Failure =>
  new Failure('invalid-argument', `Parameter '${name}' does not accept value '${value}'`);

function word<const T extends string>(values: CreateValues, prefix: string, name: string, words: readonly T[], fallback: T): T {
  const value = values.get(prefix + name);
  if (value === undefined) return fallback;
  const found = words.find((candidate) => candidate === value);
  if (found === undefined) throw notAccepted(name, String(value));
  return found;
}

function hashOption(values: CreateValues, prefix: string, name: string): HashName | undefined {
  const value = values.get(prefix + name);
  if (value === undefined) return undefined;
  if (!isHashName(String(value))) throw notAccepted(name, String(value));
  return String(value) as HashName;
}

function cipherOption(values: CreateValues, prefix: string): CipherName {
  const name = word(values, prefix, 'cipher-alg', [...CIPHER_NAMES, ...OTHER_CIPHERS], 'aes-256');
  const cipher = CIPHER_NAMES.find((candidate) => candidate === name);
  if (cipher === undefined) throw new Failure('unsupported', `Algorithm '${name}' not supported`);
  return cipher;
}

/** Failure in the reference's words for what is not a value of its option. */
export function luksCreateFrom(values: CreateValues, prefix = ''): LuksCreate {
  const keySecret = values.get(`${prefix}key-secret`);
  const cipher = cipherOption(values, prefix);
  const mode = word(values, prefix, 'cipher-mode', CIPHER_MODES, 'xts');
  const ivGenerator = word(values, prefix, 'ivgen-alg', IV_GENERATORS, 'plain64');
  const ivHash = hashOption(values, prefix, 'ivgen-hash-alg') ?? (ivGenerator === 'essiv' ? 'sha256' : undefined);
  const hash = hashOption(values, prefix, 'hash-alg') ?? 'sha256';
  if (keySecret === undefined) throw new Failure('invalid-argument', `Parameter '${prefix}key-secret' is required for cipher`);
  const iterTimeMs = values.get(`${prefix}iter-time`);
  return {
    spec: { cipher, mode, ivGenerator, ivHash },
    hash,
    iterTimeMs: typeof iterTimeMs === 'number' ? iterTimeMs : ITER_TIME_MS,
    keySecret: String(keySecret),
  };
}

export interface LuksAmend {
  readonly state: 'active' | 'inactive';
  readonly newSecret: string | undefined;
  readonly oldSecret: string | undefined;
  readonly keySlot: number | undefined;
  readonly iterTimeMs: number | undefined;
}

function amendNumber(options: ReadonlyMap<string, string>, key: string, name: string): number | undefined {
  const value = options.get(key);
  if (value === undefined) return undefined;
  if (!/^[+-]?\d{1,15}$/.test(value)) throw new Failure('invalid-argument', `Parameter '${name}' expects a number`);
  return Number(value);
}

export function luksAmendFrom(options: ReadonlyMap<string, string>, prefix = ''): LuksAmend {
  const keySlot = amendNumber(options, `${prefix}keyslot`, 'keyslot');
  const iterTimeMs = amendNumber(options, `${prefix}iter-time`, 'iter-time');
  const state = options.get(`${prefix}state`);
  if (state === undefined) throw new Failure('invalid-argument', "Parameter 'state' is missing");
  if (state !== 'active' && state !== 'inactive') throw notAccepted('state', state);
  return { state, newSecret: options.get(`${prefix}new-secret`), oldSecret: options.get(`${prefix}old-secret`), keySlot, iterTimeMs };
}

export const AMEND_ITER_TIME_MS = ITER_TIME_MS;
