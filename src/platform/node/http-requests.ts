// Single HTTP requests for the http and https block drivers, over connections that are kept. A body is taken up to the caller's
// bound and no further.
import { Agent as PlainAgent, request as plainRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { ErrnoFailure, errnoOf } from '../../base/errno.ts';
import type { HttpRange, HttpRequest } from '../../ports/stream.ts';
import { systemErrorText } from './system-error.ts';

const CONNECTIONS_MAX = 8;
const IDLE_MS_MAX = 30_000;

const agents = {
  plain: new PlainAgent({ keepAlive: true, maxSockets: CONNECTIONS_MAX, timeout: IDLE_MS_MAX }),
  verified: new TlsAgent({ keepAlive: true, maxSockets: CONNECTIONS_MAX, timeout: IDLE_MS_MAX }),
  unverified: new TlsAgent({ keepAlive: true, maxSockets: CONNECTIONS_MAX, timeout: IDLE_MS_MAX, rejectUnauthorized: false }),
};

export async function requestHttp(request: HttpRequest): Promise<HttpRange> {
  try {
    return await requestOnce(request);
  } catch (error) {
    // The server may have closed a kept connection just as we began to use it.
    if (error instanceof StaleConnection) return requestOnce(request);
    throw error;
  }
}

class StaleConnection extends ErrnoFailure {}

function requestOnce(request: HttpRequest): Promise<HttpRange> {
  const isPlain = request.url.startsWith('http:');
  const send = isPlain ? plainRequest : tlsRequest;
  const agent = isPlain ? agents.plain : request.verifyPeer ? agents.verified : agents.unverified;
  const options: RequestOptions = { method: request.method, headers: { ...request.headers }, agent };
  const startMs = performance.now();
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      clearTimeout(timer);
      sent.destroy();
      reject(httpFailure(request.url, performance.now() - startMs, error, sent.reusedSocket));
    };
    const sent = send(request.url, options, (response) => {
      readBody(response, request.maxBytes).then((body) => {
        clearTimeout(timer);
        resolve({ status: response.statusCode ?? 0, headers: headersOf(response), body });
      }, fail);
    });
    const timer = setTimeout(
      () => fail(new ErrnoFailure('ETIMEDOUT', `Operation timed out after ${request.timeoutMs} milliseconds with 0 bytes received`)),
      request.timeoutMs,
    );
    sent.on('error', fail);
    sent.end();
  });
}

function readBody(response: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let count = 0;
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      count += chunk.length;
      if (count < maxBytes || response.complete) return;
      resolve(Buffer.concat(chunks, count).subarray(0, maxBytes));
      if (count > maxBytes) response.destroy(); // more than was asked for: the connection is of no more use
    });
    response.on('end', () => resolve(Buffer.concat(chunks, count).subarray(0, maxBytes)));
    response.on('error', reject);
    response.on('aborted', () => reject(new ErrnoFailure('ECONNRESET', 'transfer closed with outstanding read data remaining')));
  });
}

function headersOf(response: IncomingMessage): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (const [name, value] of Object.entries(response.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value);
  }
  return headers;
}

/** Errors in the words of curl, which people know from everywhere. */
function httpFailure(url: string, elapsedMs: number, error: unknown, isReused: boolean): ErrnoFailure {
  if (error instanceof ErrnoFailure) return error;
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const { syscall, code } = first as NodeJS.ErrnoException;
  const { hostname, port, protocol } = new URL(url);
  const say = (message: string): ErrnoFailure => new ErrnoFailure(errnoOf(first), message, { cause: error });
  if (syscall === 'getaddrinfo') return say(`Could not resolve host: ${hostname}`);
  if (syscall === 'connect') {
    const number = port !== '' ? port : protocol === 'https:' ? '443' : '80';
    return say(`Failed to connect to ${hostname} port ${number} after ${Math.floor(elapsedMs)} ms: Couldn't connect to server`);
  }
  if (code === 'ECONNRESET' && isReused) return new StaleConnection('ECONNRESET', 'Empty reply from server', { cause: error });
  if (code === 'ECONNRESET') return say('Empty reply from server');
  return say(systemErrorText(first));
}
