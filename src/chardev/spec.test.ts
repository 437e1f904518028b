// Tests of spec.ts: the short form of -serial and the long one of -chardev.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseChardev, parseCharTarget } from './spec.ts';

const unix = (path: string, server: boolean, wait: boolean): object => ({
  kind: 'socket',
  address: { family: 'unix', path },
  server,
  wait,
});
const tcp = (host: string, port: number, server: boolean, wait: boolean): object => ({
  kind: 'socket',
  address: { family: 'tcp', host, port },
  server,
  wait,
});

// prettier-ignore
const shortForms: readonly [text: string, target: object][] = [
  ['none', { kind: 'none' }],
  ['chardev:a', { kind: 'chardev', id: 'a' }],
  ['null', { kind: 'new', monitor: false, mux: false, spec: { kind: 'null' } }],
  ['stdio', { kind: 'new', monitor: false, mux: false, spec: { kind: 'stdio', signal: true } }],
  ['mon:stdio', { kind: 'new', monitor: true, mux: true, spec: { kind: 'stdio', signal: false } }],
  ['file:/a,b', { kind: 'new', monitor: false, mux: false, spec: { kind: 'file', path: '/a,b', append: false } }],
  ['unix:/a', { kind: 'new', monitor: false, mux: false, spec: unix('/a', false, false) }],
  ['unix:/a,server', { kind: 'new', monitor: false, mux: false, spec: unix('/a', true, true) }],
  ['unix:/a,server,nowait', { kind: 'new', monitor: false, mux: false, spec: unix('/a', true, false) }],
  ['unix:/a,server=on,wait=off', { kind: 'new', monitor: false, mux: false, spec: unix('/a', true, false) }],
  ['mon:tcp::4444,server=on', { kind: 'new', monitor: true, mux: true, spec: tcp('', 4444, true, true) }],
  ['tcp:[::1]:22', { kind: 'new', monitor: false, mux: false, spec: tcp('::1', 22, false, false) }],
];
for (const [text, target] of shortForms) {
  test(`-serial ${text}`, () => assert.deepEqual(parseCharTarget(text), target));
}

// prettier-ignore
const longForms: readonly [text: string, declaration: object][] = [
  ['stdio,id=a,signal=off,mux=on', { id: 'a', mux: true, spec: { kind: 'stdio', signal: false } }],
  ['file,id=a,path=x,append=on', { id: 'a', mux: false, spec: { kind: 'file', path: 'x', append: true } }],
  ['ringbuf,id=a', { id: 'a', mux: false, spec: { kind: 'ringbuf', sizeBytes: 65536 } }],
  ['socket,id=a,host=h,port=1', { id: 'a', mux: false, spec: tcp('h', 1, false, false) }],
  ['socket,id=a,path=/p,server=on,wait=off', { id: 'a', mux: false, spec: unix('/p', true, false) }],
];
for (const [text, declaration] of longForms) {
  test(`-chardev ${text}`, () => assert.deepEqual(parseChardev(text), declaration));
}

test('what is not there yet says so', () => {
  assert.throws(() => parseCharTarget('pty'), { kind: 'unsupported', message: "chardev 'pty' is not supported yet" });
  assert.throws(() => parseChardev('udp,id=a'), { kind: 'unsupported' });
});
