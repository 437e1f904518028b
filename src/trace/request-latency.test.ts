// Tests of the layers of a request's time, on traces written by hand: one request at a time, two at once, one merged, one cut off.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineEvents, enableEvents, setTraceClock, setTraceSink, type TraceValues } from './event.ts';
import { LAYER, layersInOrder, layersOf, requestLives, type GuestStamps, type Latencies } from './request-latency.ts';
import type { SimpleTraceRecord } from './simple-format.ts';

const virtio = defineEvents('virtio', { queueNotify: '{name:str}', notify: '{name:str}' });
const queue = defineEvents('virtqueue', { pop: '{request} {name:str}', fill: '{request} {name:str}' });
const blk = defineEvents('virtioBlk', { handleRead: '{request} {bytes}', reqComplete: '{request}' });
const drive = defineEvents('drive', { submit: '{request} {operation:str} {offset} {count}', done: '{request}' });
const host = defineEvents('hostFile', { read: '{request} {call}', done: '{request} {call} {pooled}' });
const nvme = defineEvents('nvme', {
  doorbell: '{queue} {completion}', command: '{request} {queue}', completion: '{request} {queue}', interrupt: '{queue}',
});
const char = defineEvents('sampleChar', { stamp: '{byte}' });
const node = defineEvents('bdrv', { coPreadv: '{request} {operation} {driver:str}', coDone: '{request} {operation}' });
const vcpu = defineEvents('vcpu', { interruptDelivered: '{vector}' });

/** One step after another; each takes the nanoseconds that come with it. */
function livesOf(steps: readonly (readonly [ns: number, action: () => void])[], stamps?: GuestStamps): Latencies {
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
  return requestLives(records, stamps);
}

const name = 'virtio-blk';
const doorbell = (): void => virtio.queueNotify?.({ name });
const pop = (request: number) => (): void => queue.pop?.({ request, name });
const handle = (request: number) => (): void => blk.handleRead?.({ request, bytes: 4096 });
const submit = (request: number, offset = 0) => (): void => drive.submit?.({ request, operation: 'read', offset, count: 4096 });
const read = (request: number, operation: number, driver: string) => (): void => node.coPreadv?.({ request, operation, driver });
const readDone = (request: number, operation: number) => (): void => node.coDone?.({ request, operation });
const done = (request: number) => (): void => drive.done?.({ request });
const fill = (request: number) => (): void => queue.fill?.({ request, name });
const notify = (): void => virtio.notify?.({ name });
const deliver = (): void => vcpu.interruptDelivered?.({ vector: 38 });
const timer = (): void => vcpu.interruptDelivered?.({ vector: 236 });
const stamp = (byte: number) => (): void => char.stamp?.({ byte });
const hostRead = (request: number) => (): void => host.read?.({ request, call: 1 });
const hostDone = (request: number, pooled: boolean) => (): void => host.done?.({ request, call: 1, pooled });

test('the layers of one request at a time add up to the time from doorbell to doorbell', () => {
  const { lives, leftOut } = livesOf([
    [0, doorbell], [10, pop(1)], [1, handle(1)], [4, submit(1)], [5, read(1, 7, 'qcow2')], [20, read(1, 8, 'file')],
    [300, readDone(1, 8)], [30, readDone(1, 7)], [6, done(1)], [7, fill(1)], [8, notify], [50, deliver], [1000, doorbell],
    [1, pop(2)],
  ]);
  assert.deepEqual([lives.length, leftOut, lives[0]!.totalNs, lives[0]!.bytes], [1, 1, 1441, 4096]);
  assert.deepEqual(Object.fromEntries(layersOf(lives[0]!)), {
    [LAYER.device]: 10 + 1 + 4 + 7 + 8, [LAYER.drive]: 5 + 6, 'block node: qcow2': 20 + 30, 'block node: file': 300,
    [LAYER.interrupt]: 50, [LAYER.next]: 1000,
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

/** 100 begins a pass, 1 and 2 are slots that begin, 11 and 12 that end, 20 to 35 nibbles of the guest's clock. */
const stampsAt = (offsets: readonly number[]): GuestStamps => ({
  offsets, event: 'sample_char_stamp',
  meaning: (byte) => byte === 100 ? { kind: 'pass', pass: 0 } : byte >= 20 ? { kind: 'nibble', value: byte - 20 }
    : byte > 10 ? { kind: 'done', slot: byte - 10 } : { kind: 'begin', slot: byte },
});

test('stamps of the guest: its share before and after, the host by thread, the timer is nobody, requests of others are not counted', () => {
  const { lives, passes, leftOut } = livesOf([
    [0, stamp(100)], [5, stamp(1)], [50, () => nvme.doorbell?.({ queue: 1, completion: false })],
    [3, () => nvme.command?.({ request: 4, queue: 1 })], [2, submit(4, 8192)], [1, read(4, 1, 'raw')], [1, read(4, 2, 'file')],
    [1, hostRead(4)], [300, hostDone(4, true)], [1, readDone(4, 2)], [1, readDone(4, 1)], [1, done(4)],
    [1, () => nvme.completion?.({ request: 4, queue: 1 })], [2, () => nvme.interrupt?.({ queue: 1 })], [4, timer], [6, deliver],
    [70, stamp(11)], [9, stamp(1)], [1, () => nvme.doorbell?.({ queue: 1, completion: true })],
    [1, () => nvme.doorbell?.({ queue: 1, completion: false })], [1, () => nvme.command?.({ request: 5, queue: 1 })], [1, submit(5, 512)],
    [1, done(5)], [1, () => nvme.completion?.({ request: 5, queue: 1 })], [1, () => nvme.interrupt?.({ queue: 1 })], [1, deliver],
    [8, stamp(11)], [0, stamp(21)], [0, stamp(25)],
    [9, () => nvme.interrupt?.({ queue: 1 })], [1, deliver],
  ], stampsAt([8192, 12288]));
  assert.equal(lives.length, 1);
  assert.deepEqual(Object.fromEntries(layersOf(lives[0]!)), {
    [LAYER.before]: 50, [LAYER.device]: 3 + 2 + 1 + 2, [LAYER.drive]: 1 + 1, 'block node: raw': 1 + 1, 'block node: file': 1 + 1,
    [LAYER.pooled]: 300, [LAYER.interrupt]: 10, [LAYER.after]: 70,
  });
  const { drive: driveLayer, device, pooled, interrupt, after, before } = LAYER;
  assert.deepEqual(layersInOrder(lives), [pooled, 'block node: file', 'block node: raw', driveLayer, device, interrupt, after, before]);
  assert.deepEqual([passes[0]!.totals, passes[0]!.betweenNs, passes[0]!.ticks, leftOut], [[444, 16], 9, 0x15, 1]);
});

test('before a request the guest\'s program ran since the return of the one before, unless others were on their way', () => {
  const command = (request: number) => () => nvme.command?.({ request, queue: 1 });
  const ring = () => nvme.doorbell?.({ queue: 1, completion: false });
  const end = (request: number) => () => nvme.completion?.({ request, queue: 1 });
  const raise = () => nvme.interrupt?.({ queue: 1 });
  const whole = (request: number, offset: number): Parameters<typeof livesOf>[0] =>
    [[1, ring], [1, command(request)], [1, submit(request, offset)], [1, done(request)], [1, end(request)], [1, raise], [1, deliver]];
  const { lives } = livesOf([
    [0, stamp(100)], [5, stamp(1)], ...whole(1, 0), [3, stamp(11)], [9, stamp(1)], ...whole(2, 512), [3, stamp(11)],
    [20, stamp(1)], [2, stamp(2)], ...whole(3, 1024), [3, stamp(11)], ...whole(4, 1536), [3, stamp(12)],
  ], stampsAt([0, 512, 1024, 1536]));
  assert.deepEqual(lives.map(({ programNs, totalNs }) => [programNs, totalNs]), [[undefined, 10], [9, 10], [20, 12], [undefined, 20]]);
});
