// TLS over a connected socket, with credentials as files in a folder: `tls-creds-x509` (ca-cert.pem, server-cert.pem, …) and
// `tls-creds-psk` (keys.psk: lines of `user:key in hex`).
import { readFileSync } from 'node:fs';
import { isIP, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect, createSecureContext, createServer, TLSSocket, type ConnectionOptions, type TlsOptions } from 'node:tls';
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { ByteStream, TlsCredentials } from '../../ports/stream.ts';
import { SocketStream } from './streams.ts';
import { isSystemError, systemErrorText } from './system-error.ts';

const HANDSHAKE_MS_MAX = 30_000;
const DEFAULT_PSK_USER = 'qemu';
/** Key exchanges with a shared key, with or without Diffie-Hellman. */
const PSK_CIPHERS = 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:ECDHE-PSK:DHE-PSK:PSK:!eNULL:!aNULL';

interface CredentialFiles {
  readonly ca: string;
  readonly certificate?: string;
  readonly key?: string;
  readonly revoked?: string;
}

function readOptional(directory: string, name: string): string | undefined {
  try {
    return readFileSync(join(directory, name), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new ErrnoFailure('EACCES', `Unable to access credentials ${join(directory, name)}: ${systemErrorText(error)}`, { cause: error });
  }
}

function readRequired(directory: string, name: string): string {
  const text = readOptional(directory, name);
  if (text !== undefined) return text;
  throw new ErrnoFailure('ENOENT', `Unable to access credentials ${join(directory, name)}: No such file or directory`);
}

function credentialFiles({ directory, endpoint }: TlsCredentials): CredentialFiles {
  const ca = readRequired(directory, 'ca-cert.pem');
  const read = endpoint === 'server' ? readRequired : readOptional;
  const certificate = read(directory, `${endpoint}-cert.pem`);
  const key = read(directory, `${endpoint}-key.pem`);
  const revoked = readOptional(directory, 'ca-crl.pem');
  return {
    ca,
    ...(certificate !== undefined && { certificate }),
    ...(key !== undefined && { key }),
    ...(revoked !== undefined && { revoked }),
  };
}

/** The keys of a `keys.psk`. */
function pskKeys(directory: string): ReadonlyMap<string, Buffer> {
  const keys = new Map<string, Buffer>();
  for (const line of readRequired(directory, 'keys.psk').split('\n')) {
    const colon = line.lastIndexOf(':');
    if (line.startsWith('#') || colon < 1) continue;
    const key = line.slice(colon + 1).trim();
    if (/^([0-9a-fA-F]{2})+$/.test(key)) keys.set(line.slice(0, colon), Buffer.from(key, 'hex'));
  }
  return keys;
}

const unknownUser = (user: string, { directory }: TlsCredentials): Failure =>
  new Failure('not-found', `Username ${user} not found in PSK file ${join(directory, 'keys.psk')}`);

/** Checks that the files are there and can be used, before anybody connects. */
export function checkTlsCredentials(credentials: TlsCredentials): void {
  if (credentials.kind === 'psk') {
    const keys = pskKeys(credentials.directory);
    const user = credentials.username ?? DEFAULT_PSK_USER;
    if (credentials.endpoint === 'client' && !keys.has(user)) {
      throw unknownUser(user, credentials);
    }
    return;
  }
  secureContext(credentials);
}

function secureContext(credentials: TlsCredentials): ReturnType<typeof createSecureContext> {
  const { ca, certificate, key, revoked } = credentialFiles(credentials);
  try {
    return createSecureContext({
      ca,
      ...(certificate !== undefined && { cert: certificate }),
      ...(key !== undefined && { key }),
      ...(revoked !== undefined && { crl: revoked }),
    });
  } catch (error) {
    throw new Failure('invalid-format', `Cannot load TLS credentials in ${credentials.directory}: ${messageOf(error)}`, { cause: error });
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function serverOptions(credentials: TlsCredentials): TlsOptions {
  if (credentials.kind === 'x509') {
    const { ca, certificate, key, revoked } = credentialFiles(credentials);
    const own = { ...(certificate !== undefined && { cert: certificate }), ...(key !== undefined && { key }) };
    const verify = credentials.verifyPeer;
    return { ca, ...own, ...(revoked !== undefined && { crl: revoked }), requestCert: verify, rejectUnauthorized: verify };
  }
  const keys = pskKeys(credentials.directory);
  return { ciphers: PSK_CIPHERS, pskCallback: (_socket: TLSSocket, identity: string) => keys.get(identity) ?? null } as TlsOptions;
}

function clientOptions(credentials: TlsCredentials, hostname: string | undefined): ConnectionOptions {
  if (credentials.kind === 'x509') {
    const { verifyPeer } = credentials;
    const named = hostname !== undefined && hostname !== '';
    if (verifyPeer && !named) throw new Failure('invalid-argument', 'No hostname for certificate validation');
    return {
      secureContext: secureContext(credentials),
      rejectUnauthorized: verifyPeer,
      ...(named && { servername: isIP(hostname) === 0 ? hostname : '', host: hostname }),
    };
  }
  const identity = credentials.username ?? DEFAULT_PSK_USER;
  const psk = pskKeys(credentials.directory).get(identity);
  if (psk === undefined) throw unknownUser(identity, credentials);
  const context = createSecureContext({ ciphers: PSK_CIPHERS });
  return { secureContext: context, pskCallback: () => ({ psk, identity }), checkServerIdentity: () => undefined };
}

/** The socket of an encrypted connection, once both sides have shown their credentials. */
export async function startTlsOn(socket: Socket, credentials: TlsCredentials, isServer: boolean, hostname?: string): Promise<TLSSocket> {
  socket.pause();
  let cancel: () => void = () => {};
  const tooLate = new Promise<never>((_resolve, reject) => {
    const timer = setTimeout(() => reject(handshakeFailure('timed out')), HANDSHAKE_MS_MAX);
    cancel = () => clearTimeout(timer);
  });
  try {
    const encrypting = isServer ? accept(socket, credentials) : offer(socket, clientOptions(credentials, hostname), hostname);
    return await Promise.race([encrypting, tooLate]);
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    cancel();
  }
}

/** The library's server knows how to judge a client's certificate, so the connection is handed to one. */
function accept(socket: Socket, credentials: TlsCredentials): Promise<TLSSocket> {
  const server = createServer(serverOptions(credentials));
  return new Promise((resolve, reject) => {
    server.once('secureConnection', resolve);
    server.once('tlsClientError', (error) => reject(describe(error)));
    server.emit('connection', socket);
  });
}

function offer(socket: Socket, options: ConnectionOptions, hostname: string | undefined): Promise<TLSSocket> {
  const encrypted = connect({ socket, ...options });
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(describe(error, hostname));
    encrypted.once('error', failed).once('close', () => reject(handshakeFailure(CUT_OFF)));
    encrypted.once('secureConnect', () => {
      encrypted.removeListener('error', failed).removeAllListeners('close');
      resolve(encrypted);
    });
  });
}

const CUT_OFF = 'The TLS connection was non-properly terminated.';

const handshakeFailure = (words: string, cause?: unknown): Failure => new ErrnoFailure('EIO', `TLS handshake failed: ${words}`, { cause });

// prettier-ignore
const VERDICTS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'The certificate has expired', CERT_NOT_YET_VALID: 'The certificate is not yet activated',
  CERT_REVOKED: 'The certificate has been revoked', UNABLE_TO_GET_ISSUER_CERT: "The certificate hasn't got a known issuer",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "The certificate hasn't got a known issuer", DEPTH_ZERO_SELF_SIGNED_CERT: "The certificate hasn't got a known issuer",
  SELF_SIGNED_CERT_IN_CHAIN: "The certificate hasn't got a known issuer", UNABLE_TO_VERIFY_LEAF_SIGNATURE: "The certificate hasn't got a known issuer",
  CA_MD_TOO_WEAK: 'The certificate uses an insecure algorithm', ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: 'Verify failed: No certificate was found.',
};

/** What a failed handshake means, without the library's own place names. */
function describe(error: Error, hostname = ''): Failure {
  const { code, reason } = error as { code?: string; reason?: string };
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return new Failure('invalid-argument', `Certificate does not match the hostname ${hostname}`, { cause: error });
  }
  const verdict = code === undefined ? undefined : VERDICTS[code];
  if (verdict !== undefined) return new Failure('invalid-argument', verdict, { cause: error });
  if (code === 'ECONNRESET') return handshakeFailure(CUT_OFF, error);
  if (reason?.includes(' alert ')) return handshakeFailure('A TLS fatal alert has been received.', error);
  return handshakeFailure(reason ?? (isSystemError(error) ? systemErrorText(error) : opensslReason(error.message)), error);
}

/** `…:error:0A0000FD:SSL routines:FUNCTION:REASON:FILE:LINE:` */
const opensslReason = (message: string): string => /error:[0-9A-F]+:[^:]*:[^:]*:([^:\n]+)/.exec(message)?.[1] ?? message.trim();

/** The name in the peer's certificate, its parts in their order there; undefined without a certificate. */
export function peerName(stream: ByteStream): string | undefined {
  if (!(stream instanceof SocketStream) || !(stream.socket instanceof TLSSocket)) return undefined;
  const subject = stream.socket.getPeerX509Certificate()?.subject;
  return subject?.split('\n').join(',');
}
