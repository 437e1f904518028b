// The TLS credentials that --object defines, as the network wants them. Which files they are is checked when they are used.
import type { TlsCredentials } from '../../ports/stream.ts';
import type { ToolObject } from './objects.ts';

/** The credentials of an object; undefined when it is none of that kind. */
export function credentialsOf({ type, values }: ToolObject): TlsCredentials | undefined {
  if (type !== 'tls-creds-x509' && type !== 'tls-creds-psk') return undefined;
  const username = values.get('username');
  return {
    kind: type === 'tls-creds-psk' ? 'psk' : 'x509',
    endpoint: values.get('endpoint') === 'server' ? 'server' : 'client',
    directory: String(values.get('dir') ?? ''),
    verifyPeer: values.get('verify-peer') !== false,
    ...(typeof username === 'string' && { username }),
  };
}
