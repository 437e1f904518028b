// Nothing that was promised is lost when the process is killed. More rounds by hand: kill-rounds.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killRounds } from './kill-rounds.ts';

test('three kills at random times lose no flushed write and leave a clean image', async () => {
  const { promised, problems } = await killRounds(3, Date.now() % 1_000_000);
  assert.deepEqual(problems, []);
  assert(promised > 0);
});
