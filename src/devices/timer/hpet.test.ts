// Tests of the HPET: counter, periodic and one-shot comparators, legacy replacement and message interrupts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SystemBus } from '../../bus/address-space.ts';
import { TimerQueue } from '../../bus/timer-queue.ts';
import { HPET_BASE, pcHpet } from './hpet.ts';

function bench() {
  const clock = { time: 0, now: () => clock.time };
  const timers = new TimerQueue(clock);
  const bus = new SystemBus();
  const edges: string[] = [];
  const levels = new Map<string, boolean>();
  const line = (name: string) => ({
    set: (level: boolean) => {
      if (level && levels.get(name) !== true) edges.push(`${name}@${clock.time}`);
      levels.set(name, level);
    },
  });
  const hpet = pcHpet(bus, {
    timers,
    irq0: line('irq0'),
    irq8: line('irq8'),
    pins: Array.from({ length: 24 }, (_, pin) => line(`pin${pin}`)),
    sendMessage: (_at, data) => edges.push(`msi${data}@${clock.time}`),
    pitHeard: (isHeard) => levels.set('PIT is heard', isHeard),
  });
  const read = (at: number): number => bus.mmio.read(HPET_BASE + at, 4);
  const write = (at: number, value: number): void => bus.mmio.write(HPET_BASE + at, 4, value);
  const runTo = (time: number): void => {
    while (timers.nextDeadline() <= time) {
      clock.time = timers.nextDeadline();
      timers.runDue(clock.time);
    }
    clock.time = time;
  };
  return { clock, timers, hpet, edges, levels, read, write, runTo };
}

test('the counter runs at 100 MHz while enabled, with 64 bits', () => {
  const { clock, read, write } = bench();
  assert.equal(read(4), 10_000_000);
  write(0xf0, 0xffff_fff0);
  write(0x10, 1);
  clock.time = 1000;
  assert.deepEqual([read(0xf0), read(0xf4)], [84, 1]);
  write(0x10, 0);
  clock.time = 5000;
  assert.equal(read(0xf0), 84);
});

test('a periodic timer set the way Linux does keeps its grid on interrupt 0', () => {
  const { read, write, runTo, edges } = bench();
  write(0x10, 3);
  write(0x100, 0x4c | 0x100); // interrupt, periodic, set value, 32 bits
  write(0x108, read(0xf0) + 100_000);
  write(0x108, 100_000);
  runTo(10e9);
  assert.equal(edges.length, 10_000);
  assert.equal(edges.at(-1), 'irq0@10000000000');
});

test('a one-shot comparator fires once, at its pin', () => {
  const { write, runTo, edges } = bench();
  write(0x10, 1);
  write(0x120, 0x04 | (20 << 9));
  write(0x128, 5000);
  write(0x12c, 0);
  runTo(1e9);
  assert.deepEqual(edges, ['pin20@50000']);
});

test('a level-triggered timer holds its line until its status is cleared', () => {
  const { read, write, runTo, levels } = bench();
  write(0x10, 1);
  write(0x140, 0x06 | (21 << 9));
  write(0x148, 100);
  write(0x14c, 0);
  runTo(1e6);
  assert.deepEqual([levels.get('pin21'), read(0x20)], [true, 4]);
  write(0x20, 4);
  assert.deepEqual([levels.get('pin21'), read(0x20)], [false, 0]);
});

test('legacy replacement cuts off PIT and RTC, and gives the lines back', () => {
  const { hpet, write, levels } = bench();
  hpet.pitInput.set(true);
  assert.equal(levels.get('irq0'), true);
  write(0x10, 3);
  hpet.pitInput.set(false);
  assert.equal(levels.get('irq0'), true);
  write(0x10, 0);
  assert.equal(levels.get('irq0'), false);
});

test('a timer can signal by message', () => {
  const { write, runTo, edges } = bench();
  write(0x10, 1);
  write(0x100, 0x4104);
  write(0x110, 77);
  write(0x108, 10);
  runTo(1000);
  assert.deepEqual(edges, ['msi77@100']);
});

/** Linux leaves its timer like this when it has found a better one. */
test('a periodic timer that may not interrupt wakes nobody, and its comparator and status are what they would be', () => {
  const { clock, timers, read, write, runTo, edges } = bench();
  write(0x10, 3);
  write(0x100, 0x4e | 0x100); // interrupt, level, periodic, set value, 32 bits
  write(0x108, 100_000);
  write(0x108, 100_000);
  runTo(1.5e6);
  assert.deepEqual([edges, read(0x20)], [['irq0@1000000'], 1]);
  write(0x20, 1);
  write(0x100, 0x0a | 0x100);
  assert.equal(timers.nextDeadline(), Infinity);
  assert.deepEqual([read(0x108), read(0x20)], [200_000, 0]);
  clock.time = 7.5e6;
  assert.deepEqual([read(0x108), read(0x20)], [800_000, 1]);
  write(0x20, 1);
  write(0x100, 0x0e | 0x100);
  runTo(9.5e6);
  assert.deepEqual(edges, ['irq0@1000000', 'irq0@8000000']);
});

test('the PIT is not heard while legacy replacement is on', () => {
  const { write, levels } = bench();
  write(0x10, 3);
  assert.equal(levels.get('PIT is heard'), false);
  write(0x10, 1);
  assert.equal(levels.get('PIT is heard'), true);
});
