// Tests of the layers of a request's time, on traces written by hand: one request at a time, two at once, one merged, one cut off.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineEvents, enableEvents, setTraceClock, setTraceSink, type TraceValues } from './event.ts';
import { LAYER, layersOf, requestLives, type Latencies } from './request-latency.ts';
import type { SimpleTraceRecord } from './simple-format.ts';

const virtio = defineEvents('virtio', { queueNotify: '{name:str}', notify: '{name:str}' });
const queue = defineEvents('virtqueue', { pop: '{request} {name:str}', fill: '{request} {name:str}' });
const blk = defineEvents('virtioBlk', { handleRead: '{request} {bytes}', reqComplete: '{request}' });
const drive = defineEvents('drive', { submit: '{request}', done: '{request}' });
const node = defineEvents('bdrv', { coPreadv: '{request} {operation} {driver:str}', coDone: '{request} {operation}' });
const vcpu = defineEvents('vcpu', { interruptDelivered: '{vector}' });

/** One step after another; each takes the nanoseconds that come with it. */
function livesOf(steps: readonly (readonly [ns: number, action: () => void])[]): Latencies {
  const records: SimpleTraceRecord[] = [];
  let now = 0;
  setTraceClock(() => now);
  const former = setTraceSink((event, atNs, values: TraceValues) => records.push({ event, atNs, pid: 1, values }));
  enableEvents('*');
  for (const [ns, action] of steps) {
    now += ns;
    action();
  }
  enableEvents('*', false);
  setTraceSink(former);
  return requestLives(records);
}

const name = 'virtio-blk';
const doorbell = (): void => virtio.queueNotify?.({ name });
const pop = (request: number) => (): void => queue.pop?.({ request, name });
const handle = (request: number) => (): void => blk.handleRead?.({ request, bytes: 4096 });
const submit = (request: number) => (): void => drive.submit?.({ request });
const read = (request: number, operation: number, driver: string) => (): void => node.coPreadv?.({ request, operation, driver });
const readDone = (request: number, operation: number) => (): void => node.coDone?.({ request, operation });
const done = (request: number) => (): void => drive.done?.({ request });
const fill = (request: number) => (): void => queue.fill?.({ request, name });
const notify = (): void => virtio.notify?.({ name });
const deliver = (): void => vcpu.interruptDelivered?.({ vector: 38 });

test('the layers of one request at a time add up to the time from doorbell to doorbell', () => {
  const { lives, leftOut } = livesOf([
    [0, doorbell], [10, pop(1)], [1, handle(1)], [4, submit(1)], [5, read(1, 7, 'qcow2')], [20, read(1, 8, 'file')],
    [300, readDone(1, 8)], [30, readDone(1, 7)], [6, done(1)], [7, fill(1)], [8, notify], [50, deliver], [1000, doorbell],
    [1, pop(2)],
  ]);
  assert.deepEqual([lives.length, leftOut, lives[0]!.totalNs, lives[0]!.bytes], [1, 1, 1441, 4096]);
  assert.deepEqual(Object.fromEntries(layersOf(lives[0]!)), {
    [LAYER.device]: 10 + 1 + 4 + 7 + 8, [LAYER.drive]: 5 + 6, 'block node: qcow2': 20 + 30, 'block node: file': 300,
    [LAYER.interrupt]: 50, [LAYER.guest]: 1000,
  });
});

test('of two at once the life ends with the interrupt; one that was merged is left out', () => {
  const { lives, leftOut } = livesOf([
    [0, doorbell], [1, pop(1)], [1, submit(1)], [1, doorbell], [1, pop(2)], [1, pop(3)], [1, submit(2)],
    [10, done(1)], [1, fill(1)], [1, notify], [5, deliver], [10, done(2)], [1, fill(2)], [1, fill(3)], [1, notify], [5, deliver],
  ]);
  assert.deepEqual(lives.map(({ request, totalNs }) => [request, totalNs]), [[1, 23], [2, 38]]);
  assert.equal(leftOut, 1);
});
