// Tests of the 8254 timer: its modes, its rate over long times, latching and port 61h.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SystemBus } from '../../bus/address-space.ts';
import { TimerQueue } from '../../bus/timer-queue.ts';
import { isaPit } from './i8254.ts';

const HZ = 1_193_182;
const nsOf = (ticks: number): number => Math.ceil((ticks * 1e9) / HZ);

function bench() {
  const clock = { time: 0, now: () => clock.time };
  const timers = new TimerQueue(clock);
  const bus = new SystemBus();
  const edges: number[] = [];
  let level = false;
  const irq = { set: (next: boolean) => { if (next && !level) edges.push(clock.time); level = next; } };
  const pit = isaPit(bus, { timers, irq });
  const out = (port: number, ...values: number[]): void => values.forEach((value) => bus.ports.write(port, 1, value));
  const read16 = (port: number): number => bus.ports.read(port, 1) | (bus.ports.read(port, 1) << 8);
  /** Lets time pass, firing each alarm exactly at its deadline. */
  const runTo = (time: number): void => {
    while (timers.nextDeadline() <= time) {
      clock.time = timers.nextDeadline();
      timers.runDue(clock.time);
    }
    clock.time = time;
  };
  return { clock, timers, bus, pit, edges, out, read16, runTo, level: () => level };
}

test('mode 2 ticks at exactly its rate for an hour', () => {
  const { out, runTo, edges } = bench();
  const count = 11_932;
  out(0x43, 0x34);
  out(0x40, count & 0xff, count >> 8);
  edges.length = 0;
  runTo(3600e9);
  assert.equal(edges.length, Math.floor((3600 * HZ) / count));
  assert.equal(edges.at(-1), nsOf(edges.length * count));
});

test('late ticks are all delivered, faster than usual, and the grid is reached again', () => {
  const { clock, timers, out, runTo, edges } = bench();
  out(0x43, 0x34);
  out(0x40, 11_932 & 0xff, 11_932 >> 8);
  edges.length = 0;
  clock.time = 95e6; // nobody looked for nine ticks
  timers.runDue(clock.time);
  runTo(1e9);
  assert.equal(edges.length, 99);
  assert.equal(edges.at(-1), nsOf(99 * 11_932));
});

test('mode 0 raises its output once, when the count is over', () => {
  const { out, runTo, edges, level } = bench();
  out(0x43, 0x30);
  assert.equal(level(), false);
  edges.length = 0;
  out(0x40, 0xe8, 0x03);
  runTo(1e9);
  assert.deepEqual(edges, [nsOf(1000)]);
});

test('mode 4, the one-shot of Linux, gives one interrupt for each count written', () => {
  const { clock, out, runTo, edges } = bench();
  out(0x43, 0x38);
  edges.length = 0;
  out(0x40, 0xe8, 0x03);
  runTo(50e6);
  const start = clock.time;
  out(0x40, 0xe8, 0x03);
  runTo(100e6);
  assert.deepEqual(edges, [nsOf(1001), start + nsOf(1001)]);
});

test('a latched count stays while the counter runs on', () => {
  const { clock, out, read16 } = bench();
  out(0x43, 0x34);
  out(0x40, 0x00, 0x00);
  clock.time = nsOf(100);
  out(0x43, 0x00);
  clock.time = nsOf(5000);
  assert.equal(read16(0x40), 65_536 - 100);
  assert.equal(read16(0x40), 65_536 - 5000);
});

test('read-back gives status and count of the channels asked for', () => {
  const { clock, bus, out } = bench();
  out(0x43, 0x34);
  assert.equal((out(0x43, 0xe2), bus.ports.read(0x40, 1)) & 0x40, 0x40, 'no count yet');
  out(0x40, 0x10, 0x27);
  clock.time = nsOf(10);
  out(0x43, 0xc2);
  assert.equal(bus.ports.read(0x40, 1), 0x80 | 0x34);
  assert.equal(bus.ports.read(0x40, 1) | (bus.ports.read(0x40, 1) << 8), 10_000 - 10);
});

test('channel 2 counts while its gate is open, and port 61h shows its output', () => {
  const { clock, bus, out } = bench();
  out(0x61, 0x00);
  out(0x43, 0xb0);
  out(0x42, 0x88, 0x13);
  clock.time = 1e9;
  assert.equal(bus.ports.read(0x61, 1) & 0x20, 0, 'the gate is closed');
  out(0x61, 0x01);
  clock.time = 1e9 + nsOf(4999) - 1000;
  assert.equal(bus.ports.read(0x61, 1) & 0x20, 0);
  clock.time = 1e9 + nsOf(5000);
  assert.equal(bus.ports.read(0x61, 1) & 0x20, 0x20);
});

test('counts are decimal in BCD mode', () => {
  const { clock, out, read16 } = bench();
  out(0x43, 0x35);
  out(0x40, 0x00, 0x10);
  clock.time = nsOf(1);
  assert.equal(read16(0x40), 0x0999);
});

test('a count written during a period of mode 2 takes over at its end', () => {
  const { out, runTo, edges } = bench();
  out(0x43, 0x34);
  out(0x40, 0xe8, 0x03);
  edges.length = 0;
  runTo(nsOf(1500));
  out(0x40, 0xf4, 0x01);
  runTo(nsOf(3100));
  assert.deepEqual(edges.slice(0, 4).map((time) => Math.round((time * HZ) / 1e9)), [1000, 2000, 2500, 3000]);
});

test('where nobody hears the interrupt nobody wakes up for it, and the grid goes on when it is heard again', () => {
  const { timers, pit, out, runTo, edges } = bench();
  out(0x43, 0x34);
  out(0x40, 0xe8, 0x03);
  pit.setHeard(false);
  assert.equal(timers.nextDeadline(), Infinity);
  runTo(nsOf(10_400));
  edges.length = 0;
  pit.setHeard(true);
  runTo(nsOf(13_000));
  assert.deepEqual(edges.filter((time) => time > nsOf(10_400)), [11_000, 12_000, 13_000].map(nsOf));
});
