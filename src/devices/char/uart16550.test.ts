// Tests of the 16550A serial port as a driver sees it: FIFOs, interrupts, loopback and back pressure.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SystemBus } from '../../bus/address-space.ts';
import { IsaBus } from '../../bus/isa-bus.ts';
import { TimerQueue } from '../../bus/timer-queue.ts';
import type { CharFrontEnd } from '../../ports/char-backend.ts';
import { isaSerial } from './isa-serial.ts';

function bench() {
  const clock = { time: 0, now: () => clock.time };
  const timers = new TimerQueue(clock);
  const bus = new SystemBus();
  const seen = { irq: false, sent: [] as number[], room: Infinity, accepted: 0, front: undefined as CharFrontEnd | undefined };
  const lines = Array.from({ length: 16 }, (_, number) => ({ set: (level: boolean) => { if (number === 4) seen.irq = level; } }));
  const backend = {
    connect: (front: CharFrontEnd | undefined) => { seen.front = front; },
    write: (bytes: Uint8Array) => {
      const taken = Math.min(seen.room, bytes.length);
      seen.sent.push(...bytes.subarray(0, taken));
      seen.room -= taken;
      return taken;
    },
    acceptInput: () => { seen.accepted++; },
    close: async () => {},
  };
  const uart = isaSerial(new IsaBus(bus, timers, lines), { iobase: 0x3f8, irq: 4, backend });
  const read = (at: number): number => bus.ports.read(0x3f8 + at, 1);
  const write = (at: number, value: number): void => bus.ports.write(0x3f8 + at, 1, value);
  const receive = (...bytes: number[]): void => seen.front?.receive(Uint8Array.from(bytes));
  return { clock, timers, uart, seen, read, write, receive };
}

test('a transmitted byte raises THRE once, and reading IIR acknowledges it', () => {
  const { seen, read, write } = bench();
  write(1, 0x02);
  assert.equal(read(2), 0x02);
  write(0, 0x41);
  assert.deepEqual([seen.irq, seen.sent], [true, [0x41]]);
  assert.equal(read(2), 0x02);
  assert.equal(seen.irq, false);
  assert.equal(read(2), 0x01);
});

test('a full back end fills the FIFO, and nothing is lost or reordered when it opens', () => {
  const { seen, read, write } = bench();
  write(2, 0x01);
  write(1, 0x02);
  seen.room = 1;
  [1, 2, 3, 4].forEach((byte) => write(0, byte));
  assert.deepEqual(seen.sent, [1]);
  assert.equal(read(5) & 0x60, 0);
  seen.room = Infinity;
  seen.front?.writable?.();
  assert.deepEqual(seen.sent, [1, 2, 3, 4]);
  assert.equal(read(5) & 0x60, 0x60);
  assert.equal(seen.irq, true);
});

test('received bytes interrupt at the trigger level, and earlier after four character times', () => {
  const { clock, timers, seen, read, write, receive } = bench();
  write(2, 0x81); // trigger level 8
  write(1, 0x01);
  write(3, 0x83);
  write(0, 1);
  write(1, 0);
  write(3, 0x03);
  receive(10, 11, 12);
  assert.equal(seen.irq, false);
  clock.time = 400_000;
  timers.runDue(clock.time);
  assert.equal(seen.irq, true);
  assert.equal(read(2), 0xcc);
  assert.deepEqual([read(0), read(0), read(0)], [10, 11, 12]);
  assert.equal(seen.irq, false);
  receive(1, 2, 3, 4, 5, 6, 7, 8);
  assert.equal(read(2), 0xc4);
});

test('without FIFOs there is room for one byte, and reading it asks for more', () => {
  const { seen, read, receive } = bench();
  assert.equal(seen.front?.canReceive(), 1);
  receive(7);
  assert.equal(seen.front?.canReceive(), 0);
  const before = seen.accepted;
  assert.equal(read(0), 7);
  assert.equal(seen.accepted, before + 1);
  assert.equal(seen.front?.canReceive(), 1);
});

test('loopback returns what is sent and shows the outputs as modem inputs', () => {
  const { seen, read, write } = bench();
  write(4, 0x1a);
  assert.equal(read(6) & 0xf0, 0x90);
  write(0, 0x55);
  assert.deepEqual(seen.sent, []);
  assert.equal(read(5) & 1, 1);
  assert.equal(read(0), 0x55);
});

test('a break is a zero byte with a line status error', () => {
  const { seen, read, write } = bench();
  write(1, 0x04);
  seen.front?.event?.('break');
  assert.equal(read(2), 0x06);
  assert.equal(read(5) & 0x11, 0x11);
  assert.equal(seen.irq, false);
});

test('the divisor hides behind DLAB', () => {
  const { read, write, seen } = bench();
  write(3, 0x80);
  write(0, 0x34);
  write(1, 0x12);
  assert.deepEqual([read(0), read(1), seen.sent], [0x34, 0x12, []]);
});
