// The image's lock: who asks first gets it first, and sections that never wait are done together.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Mutex } from './mutex.ts';

test('sections that never wait are done in one go, in their turn', async () => {
  const lock = new Mutex();
  const order: string[] = [];
  assert.equal(lock.acquire(), undefined);
  lock.enqueue(() => order.push('a'));
  lock.enqueue(() => {
    order.push('b');
    lock.enqueue(() => order.push('d')); // behind those that wait already
  });
  const waiter = lock.run(async () => {
    order.push('c');
    await Promise.resolve();
    assert.equal(lock.isFree, false);
    order.push('end of c');
  });
  assert.deepEqual(order, []);
  lock.release();
  assert.deepEqual(order, ['a', 'b']);
  assert.equal(lock.isFree, false); // the waiter has it
  await waiter;
  assert.deepEqual(order, ['a', 'b', 'c', 'end of c', 'd']);
  assert.equal(lock.isFree, true);
});

test('a section changes what may be read beside the lock only while it runs', () => {
  const lock = new Mutex();
  assert.equal(lock.acquire(false), undefined);
  assert.equal(lock.isReadable, true);
  let isReadable = true;
  lock.enqueue(() => (isReadable = lock.isReadable));
  lock.release();
  assert.deepEqual([isReadable, lock.isFree, lock.isReadable], [false, true, true]);
});
