// TLS for nandu-nbd: the credentials and the authorization that its options name among the objects of --object.
import { readFileSync } from 'node:fs';
import { Failure } from '../../base/failure.ts';
import type { ByteStream, TlsCredentials } from '../../ports/stream.ts';
import { checkTlsCredentials, peerName } from '../../platform/node/tls-stream.ts';
import type { ToolObject, ToolObjects } from '../image-tools/objects.ts';
import { credentialsOf } from '../image-tools/tls-credentials.ts';

const wrong = (message: string): Failure => new Failure('invalid-argument', message);

/** What --tls-creds names, checked. */
export function findTlsCredentials(objects: ToolObjects, id: string, endpoint: 'client' | 'server'): TlsCredentials {
  const object = objects.get(id);
  if (object === undefined) throw wrong(`Failed to get TLS creds: No TLS credentials with id '${id}'`);
  const credentials = credentialsOf(object);
  if (credentials === undefined) throw wrong(`Failed to get TLS creds: Object with id '${id}' is not TLS credentials`);
  if (credentials.endpoint !== endpoint) throw wrong(`Failed to get TLS creds: Expected TLS credentials for a ${endpoint} endpoint`);
  checkTlsCredentials(credentials);
  return credentials;
}

// Authorization -----------------------------------------------------------------------------------------------------------

interface Rule {
  readonly match: string;
  readonly policy: 'allow' | 'deny';
  readonly format: 'exact' | 'glob';
}

/** Shell patterns: `*` and `?`. */
function globMatches(pattern: string, text: string): boolean {
  const source = pattern.replace(/[.+^${}()|\\]/g, '\\$&').replaceAll('*', '.*').replaceAll('?', '.');
  return new RegExp(`^${source}$`, 's').test(text);
}

function ruleOf(object: Readonly<Record<string, unknown>>): Rule {
  const { match, policy = 'deny', format = 'exact' } = object;
  if (typeof match !== 'string') throw wrong("Parameter 'match' is missing");
  if (policy !== 'allow' && policy !== 'deny') throw wrong(`Parameter 'policy' does not accept value '${String(policy)}'`);
  if (format !== 'exact' && format !== 'glob') throw wrong(`Parameter 'format' does not accept value '${String(format)}'`);
  return { match, policy, format };
}

function rulesFromValues(values: ToolObject['values']): Rule[] {
  const rules: Rule[] = [];
  for (let index = 0; ; index++) {
    const prefix = `rules.${index}.`;
    const entries = [...values].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => [key.slice(prefix.length), value]);
    if (entries.length === 0) return rules;
    rules.push(ruleOf(Object.fromEntries(entries) as Record<string, unknown>));
  }
}

function readRules(path: string): { rules: Rule[]; policy: Rule['policy'] } {
  let content: { rules?: unknown; policy?: unknown };
  try {
    content = JSON.parse(readFileSync(path, 'utf8')) as typeof content;
  } catch (error) {
    throw new Failure('invalid-format', `Unable to read access control list ${path}`, { cause: error });
  }
  const rules = Array.isArray(content.rules) ? content.rules.map((rule) => ruleOf(rule as Record<string, unknown>)) : [];
  return { rules, policy: content.policy === 'allow' ? 'allow' : 'deny' };
}

function isAllowed({ type, values }: ToolObject, identity: string): boolean {
  if (type === 'authz-simple') return values.get('identity') === identity;
  const list =
    type === 'authz-list-file'
      ? readRules(String(values.get('filename') ?? ''))
      : { rules: rulesFromValues(values), policy: values.get('policy') ?? 'deny' };
  const fits = ({ match, format }: Rule): boolean => (format === 'glob' ? globMatches(match, identity) : match === identity);
  return (list.rules.find(fits)?.policy ?? list.policy) === 'allow';
}

/** The check of --tls-authz: throws for a client that is not let in. */
export function authorizer(objects: ToolObjects, id: string | undefined): ((stream: ByteStream) => void) | undefined {
  if (id === undefined) return undefined;
  return (stream) => {
    const object = objects.get(id);
    if (object === undefined) throw wrong(`Cannot load authorization with id '${id}'`);
    if (!object.type.startsWith('authz-')) throw wrong(`Object with id '${id}' is not authorization`);
    const identity = peerName(stream);
    if (identity === undefined || !isAllowed(object, identity)) throw wrong(`TLS x509 authz check for ${identity ?? 'the peer'} is denied`);
  };
}
