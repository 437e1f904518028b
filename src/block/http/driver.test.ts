// The http driver against a web server that is a function.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HttpRange, HttpRequest } from '../../ports/stream.ts';
import type { OpenContext } from '../driver.ts';
import type { BlockHost } from '../host.ts';
import { OptionDict, type OptionValue } from '../options.ts';
import { DEFAULT_FLAGS } from '../open-flags.ts';
import { http } from './driver.ts';

const DATA = Uint8Array.from({ length: 10_000 }, (_, n) => n % 251);

interface Server {
  readonly requests: HttpRequest[];
  answer(request: HttpRequest): HttpRange;
}

function plainServer(): Server {
  const requests: HttpRequest[] = [];
  return {
    requests,
    answer(request) {
      requests.push(request);
      const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers['Range'] ?? '');
      const [start, end] = match === null ? [0, DATA.length] : [Number(match[1]), Number(match[2]) + 1];
      const body = request.method === 'HEAD' ? new Uint8Array(0) : DATA.slice(start, end);
      const headers = new Map([['accept-ranges', 'bytes'], ['content-length', String(end - start)]]);
      headers.set('content-range', `bytes ${start}-${end - 1}/${DATA.length}`);
      return { status: match === null ? 200 : 206, headers, body };
    },
  };
}

async function open(server: Server, options: Record<string, OptionValue> = {}): ReturnType<typeof http.open> {
  const host = {
    network: { http: async (request: HttpRequest) => server.answer(request) },
    secret: () => new TextEncoder().encode('pass'),
  } as unknown as BlockHost;
  const all = new OptionDict(Object.entries({ url: 'http://h/x', ...options }));
  return http.open({ host, options: all, flags: { ...DEFAULT_FLAGS, readOnly: true } } as unknown as OpenContext);
}

test('reads ranges, and what was read ahead only once', async () => {
  const server = plainServer();
  const image = await open(server, { readahead: 4096 });
  assert.equal(image.size, 10_240);
  const target = new Uint8Array(1000);
  for (const offset of [0, 1000, 2000, 4000]) {
    await image.read(offset, target, 0);
    assert.deepEqual(target, DATA.subarray(offset, offset + 1000));
  }
  const asked = server.requests.map(({ method, headers }) => [method, headers['Range']]);
  assert.deepEqual(asked, [['HEAD', undefined], ['GET', 'bytes=0-5095']]);
  await image.read(9500, target, 0);
  assert.deepEqual([...target.subarray(0, 500)], [...DATA.subarray(9500)]);
  assert.ok(target.subarray(500).every((byte) => byte === 0));
});

test('servers that cannot be used', async () => {
  const refusals: [Partial<HttpRange>, string][] = [
    [{ status: 404 }, 'The requested URL returned error: 404'],
    [{ headers: new Map([['content-length', '5']]) }, "Server does not support 'range' (byte ranges)."],
    [{ headers: new Map([['accept-ranges', 'bytes']]) }, "Server didn't report file size."],
  ];
  for (const [answer, message] of refusals) {
    const server: Server = { requests: [], answer: () => ({ status: 200, headers: new Map(), body: new Uint8Array(0), ...answer }) };
    await assert.rejects(open(server), { message: `CURL: Error opening file: ${message}` });
  }
});

test('a short or wrong answer is an I/O error, and is asked for again', async () => {
  const server = plainServer();
  const image = await open(server);
  const { answer } = server;
  server.answer = (request) => ({ ...answer(request), body: new Uint8Array(5) });
  await assert.rejects(async () => image.read(0, new Uint8Array(512), 0), { errno: 'EIO' });
  server.answer = (request) => ({ ...answer(request), status: 200, body: DATA.slice(0, 512) });
  await assert.rejects(async () => image.read(1024, new Uint8Array(512), 0), { errno: 'EIO' });
  server.answer = answer;
  await image.read(0, new Uint8Array(512), 0);
});

test('credentials stay with the server they are for', async () => {
  const server = plainServer();
  const { answer } = server;
  server.answer = (request) => {
    if (request.url !== 'http://h/x') return answer(request);
    server.requests.push(request);
    return { status: 302, headers: new Map([['location', 'http://other/y']]), body: new Uint8Array(0) };
  };
  await open(server, { username: 'user', 'password-secret': 's', cookie: 'a=b' });
  assert.deepEqual(server.requests.map(({ headers }) => headers['Authorization']), ['Basic dXNlcjpwYXNz', undefined]);
  assert.deepEqual(server.requests.map(({ headers }) => headers['Cookie']), ['a=b', undefined]);
});

test('wrong options', async () => {
  const server = plainServer();
  await assert.rejects(open(server, { readahead: 100 }), { message: 'HTTP_READAHEAD_SIZE 100 is not a multiple of 512' });
  await assert.rejects(open(server, { timeout: 99_999 }), { message: 'timeout parameter is too large or negative' });
  const otherScheme = "http curl driver cannot handle the URL 'foo://h' (does not start with 'http://')";
  await assert.rejects(open(server, { url: 'foo://h' }), { message: otherScheme });
  const twoCookies = 'curl driver cannot handle both cookie and cookie secret';
  await assert.rejects(open(server, { cookie: 'a', 'cookie-secret': 'b' }), { message: twoCookies });
});
