// Rows of `nandu top` out of two readings.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tableText, topRows, type ProcessFigures } from './top.ts';

const ns = { turns: 0, slices: 0, devices: 0, timers: 0, completions: 0, translating: 0, compiling: 0 };
const figures = (more: Partial<ProcessFigures>): ProcessFigures => ({
  version: 1, name: 'a\x1b[2Jb', state: 'running', ramBytes: 1 << 28, instructions: 0, exits: 0, deviceAccesses: 0, ns, drives: [],
  cpuSeconds: 1, residentBytes: 2e8, upSeconds: 5, ...more,
});
const latencies = (slot: number, count: number): number[] => Array.from({ length: 160 }, (_, n) => (n === slot ? count : 0));
const drive = (reads: number, count: number): ProcessFigures['drives'][number] =>
  ({ name: 'd', reads, writes: 0, readBytes: reads * 4096, writtenBytes: 0, latencies: latencies(60, count) });

test('rates are differences over the time between', () => {
  const before = [{ pid: 7, atNs: 0, figures: figures({ drives: [drive(10, 3)] }) }];
  const now = figures({
    cpuSeconds: 2, instructions: 400e6, exits: 2000, deviceAccesses: 10, drives: [drive(30, 8)],
    ns: { ...ns, slices: 1.5e9, devices: 0.2e9, timers: 0.1e9, translating: 0.3e9 },
  });
  const [row] = topRows(before, [{ pid: 7, atNs: 2e9, figures: now }]);
  assert.deepEqual(
    [row!.cpuPercent, row!.guestPercent, row!.devicePercent, row!.translatePercent, row!.mips, row!.exitsPerSecond, row!.readsPerSecond]
      .map((value) => Math.round(value!)),
    [50, 50, 15, 15, 200, 1000, 10],
  );
  assert.equal(row!.p99Us, 2 ** (61 / 4) / 1000);
});

test('a machine that has just come, or does not answer, has a row without rates', () => {
  const rows = topRows([], [{ pid: 7, atNs: 0, figures: figures({}) }, { pid: 8, atNs: 0, figures: undefined }]);
  const [, first, second] = tableText(rows, 400);
  assert.match(first!, /^ +7 +- .*268\.4M +5s +running +a\?\[2Jb$/);
  assert.match(second!, /^ +8 .*no answer/);
  assert.deepEqual(tableText([], 400).slice(1), ['no machine runs here']);
});
