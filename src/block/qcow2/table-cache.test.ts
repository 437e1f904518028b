// Tests of table-cache.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TableCache } from './table-cache.ts';

const BYTES = 512;

/** Two caches over one log of what reaches the file. */
function bench(capacity = 4): { readonly first: TableCache; readonly second: TableCache; readonly log: string[] } {
  const log: string[] = [];
  const cache = (name: string): TableCache =>
    new TableCache({
      read: (offset, target) => void target.fill(offset / BYTES),
      write: (offset) => void log.push(`${name} ${offset / BYTES}`),
      flush: () => Promise.resolve(void log.push('flush')),
    }, BYTES, capacity);
  return { first: cache('first'), second: cache('second'), log };
}

test('what was read is not read again, and the slice used longest ago goes first', async () => {
  const { first } = bench(2);
  await first.get(BYTES);
  await first.get(2 * BYTES);
  assert.equal(first.peek(BYTES)?.bytes[0], 1);
  await first.get(3 * BYTES);
  assert.equal(first.peek(2 * BYTES), undefined);
  assert.equal(first.peek(BYTES)?.bytes[0], 1);
});

test('a dirty slice is written when its place is needed', async () => {
  const { first, log } = bench(2);
  first.markDirty(await first.get(BYTES));
  await first.get(2 * BYTES);
  await first.get(3 * BYTES);
  assert.deepEqual(log, ['first 1']);
});

test('what a cache depends on is on the medium before it is written', async () => {
  const { first, second, log } = bench();
  first.markDirty(await first.get(BYTES));
  second.markDirty(await second.get(2 * BYTES));
  await first.dependOn(second);
  await first.writeBack();
  await first.writeBack();
  assert.deepEqual(log, ['second 2', 'flush', 'first 1']);
});

test('a cycle of dependencies is settled when it would begin', async () => {
  const { first, second, log } = bench();
  first.markDirty(await first.get(BYTES));
  second.markDirty(await second.get(2 * BYTES));
  await first.dependOn(second);
  await second.dependOn(first);
  assert.deepEqual(log, ['second 2', 'flush']);
  await first.writeBack();
  assert.deepEqual(log, ['second 2', 'flush', 'first 1']);
});

test('data are flushed before entries that refer to them', async () => {
  const { first, log } = bench();
  first.markDirty(await first.get(BYTES));
  first.dependOnFlush();
  await first.writeBack();
  assert.deepEqual(log, ['flush', 'first 1']);
});

test('a freed table is not written any more', async () => {
  const { first, log } = bench();
  first.markDirty(await first.getEmpty(BYTES));
  first.forget(BYTES);
  await first.flush();
  assert.deepEqual(log, ['flush']);
});

test('unused clean slices go, others stay', async () => {
  const { first } = bench();
  await first.get(BYTES);
  first.markDirty(await first.get(2 * BYTES));
  first.clean();
  await first.get(3 * BYTES);
  first.clean();
  assert.equal(first.peek(BYTES), undefined);
  assert.notEqual(first.peek(2 * BYTES), undefined);
  assert.notEqual(first.peek(3 * BYTES), undefined);
});
