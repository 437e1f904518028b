// Tests of the MC146818 clock: dates, alarms, periodic interrupts and the CMOS memory.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SystemBus } from '../../bus/address-space.ts';
import { TimerQueue } from '../../bus/timer-queue.ts';
import { civilFromSeconds, secondsFromCivil } from './calendar.ts';
import { cmosMemorySizes, isaRtc } from './mc146818.ts';

function bench(date = Date.UTC(2024, 1, 29, 23, 59, 58, 500)) {
  const clock = { time: 0, now: () => clock.time };
  const timers = new TimerQueue(clock);
  const bus = new SystemBus();
  const edges: number[] = [];
  let level = false;
  const irq = { set: (next: boolean) => { if (next && !level) edges.push(clock.time); level = next; } };
  const rtc = isaRtc(bus, { timers, irq, wall: { nowMs: () => date + clock.time / 1e6 }, cmos: cmosMemorySizes(512 * 2 ** 20, 0) });
  const read = (index: number): number => (bus.ports.write(0x70, 1, index), bus.ports.read(0x71, 1));
  const write = (index: number, value: number): void => { bus.ports.write(0x70, 1, index); bus.ports.write(0x71, 1, value); };
  const runTo = (time: number): void => {
    while (timers.nextDeadline() <= time) {
      clock.time = timers.nextDeadline();
      timers.runDue(clock.time);
    }
    clock.time = time;
  };
  const date6 = (): number[] => [0x32, 9, 8, 7, 4, 2, 0].map(read);
  return { clock, bus, rtc, read, write, runTo, edges, date6, level: () => level };
}

test('civil dates agree with the host for four centuries', () => {
  for (let seconds = -2e9; seconds < 11e9; seconds += 86_399 * 97) {
    const civil = civilFromSeconds(seconds);
    const date = new Date(seconds * 1000);
    const expected = [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate(), date.getUTCDay() + 1, date.getUTCHours()];
    assert.deepEqual([civil.year, civil.month, civil.day, civil.weekday, civil.hour], expected);
    assert.equal(secondsFromCivil(civil), seconds);
  }
});

test('the date is the wall clock in BCD, over a leap day too', () => {
  const { date6, clock } = bench();
  assert.deepEqual(date6(), [0x20, 0x24, 0x02, 0x29, 0x23, 0x59, 0x58]);
  clock.time = 1.6e9;
  assert.deepEqual(date6(), [0x20, 0x24, 0x03, 0x01, 0x00, 0x00, 0x00]);
});

test('a guest sets the date, in 12-hour binary form', () => {
  const { write, read, clock } = bench();
  write(11, 0x84);
  [[0x32, 19], [9, 99], [8, 12], [7, 31], [4, 0x80 | 11], [2, 30], [0, 15]].forEach(([index, value]) => write(index!, value!));
  clock.time = 60e9;
  assert.equal(read(0), 15, 'the clock stands while SET is on');
  write(11, 0x04);
  clock.time += 10e9;
  assert.deepEqual([0x32, 9, 8, 7, 4, 2, 0].map(read), [19, 99, 12, 31, 0x80 | 11, 30, 25]);
});

test('the periodic interrupt comes at its rate and is acknowledged by reading C', () => {
  const { write, read, runTo, edges, level } = bench();
  write(10, 0x26);
  write(11, 0x42);
  for (let time = 0; time <= 1e9; time += 100e3) {
    runTo(time);
    if (level()) assert.equal(read(12) & 0xc0, 0xc0);
  }
  assert.equal(edges.length, 1024);
});

test('an alarm fires once at its time', () => {
  const { write, read, runTo, edges } = bench();
  [[1, 0x05], [3, 0x00], [5, 0x00]].forEach(([index, value]) => write(index!, value!));
  read(12);
  write(11, 0x22);
  runTo(60e9);
  assert.deepEqual(edges.map((time) => Math.round(time / 1e6)), [6500]);
  assert.equal(read(12) & 0xa0, 0xa0);
});

test('update flags appear in C without an interrupt being enabled', () => {
  const { read, clock } = bench();
  read(12);
  assert.equal(read(12) & 0x10, 0);
  clock.time = 0.6e9;
  assert.equal(read(12) & 0x90, 0x10);
});

test('memory sizes are in CMOS, and reset keeps what is on battery', () => {
  const { rtc, read, write } = bench();
  assert.equal(read(0x34) | (read(0x35) << 8), (512 - 16) * 16);
  write(0x0f, 0x0a);
  write(11, 0x42);
  rtc.reset('enter');
  rtc.reset('settle');
  assert.deepEqual([read(0x0f), read(11)], [0x0a, 0x02]);
});
