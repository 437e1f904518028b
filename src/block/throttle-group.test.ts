// Throttle groups in simulated time: rates, bursts, turns.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Failure } from '../base/failure.ts';
import type { BlockHost } from './host.ts';
import { ThrottleGroup } from './throttle-group.ts';
import { checkLimits, noLimits, type ThrottleLimits } from './throttle-limits.ts';

/** A host whose time passes only while somebody sleeps. */
function simulatedHost(): { readonly host: BlockHost; readonly nowMs: () => number } {
  let nowNs = 0;
  const host = {
    nowNs: () => nowNs,
    sleep: async (ms: number) => {
      nowNs += ms * 1e6;
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
  return { host: host as unknown as BlockHost, nowMs: () => nowNs / 1e6 };
}

function limits(set: (limits: ThrottleLimits) => void): ThrottleLimits {
  const made = noLimits();
  set(made);
  return made;
}

describe('a throttle group', () => {
  test('without limits keeps nobody waiting', () => {
    const member = new ThrottleGroup('g', simulatedHost().host, noLimits()).join();
    for (let index = 0; index < 100; index++) assert.equal(member.enter('write', 1 << 20), undefined);
  });

  test('lets operations through at their rate, after a short burst', async () => {
    const { host, nowMs } = simulatedHost();
    const member = new ThrottleGroup(
      'g',
      host,
      limits((made) => (made.limits['iops-total'].average = 100)),
    ).join();
    for (let index = 0; index < 210; index++) await member.enter('read', 512);
    assert(nowMs() > 1900 && nowMs() < 2200, `${nowMs()} ms`);
  });

  test('counts bytes of each direction apart', async () => {
    const { host, nowMs } = simulatedHost();
    const member = new ThrottleGroup(
      'g',
      host,
      limits((made) => (made.limits['bps-write'].average = 1000)),
    ).join();
    for (let index = 0; index < 50; index++) assert.equal(member.enter('read', 1000), undefined);
    for (let index = 0; index < 11; index++) await member.enter('write', 500);
    assert(nowMs() > 4500 && nowMs() < 5500, `${nowMs()} ms`);
  });

  test('a burst lasts as long as it may, then the average holds', async () => {
    const { host, nowMs } = simulatedHost();
    const rate = limits((made) => Object.assign(made.limits['iops-total'], { average: 10, max: 100, maxLength: 2 }));
    const member = new ThrottleGroup('g', host, rate).join();
    for (let index = 0; index < 200; index++) await member.enter('read', 1);
    assert(nowMs() < 2500, `200 in a burst: ${nowMs()} ms`);
    const before = nowMs();
    for (let index = 0; index < 50; index++) await member.enter('read', 1);
    assert(nowMs() - before > 2500, `50 afterwards: ${nowMs() - before} ms`);
  });

  test('big requests count as several operations', async () => {
    const { host, nowMs } = simulatedHost();
    const rate = limits((made) => {
      made.limits['iops-total'].average = 10;
      made.operationSize = 4096;
    });
    const member = new ThrottleGroup('g', host, rate).join();
    await member.enter('read', 40960);
    await member.enter('read', 512);
    assert(nowMs() >= 900, `${nowMs()} ms`);
  });

  test('members take turns', async () => {
    const group = new ThrottleGroup(
      'g',
      simulatedHost().host,
      limits((made) => (made.limits['iops-total'].average = 100)),
    );
    const [a, b] = [group.join(), group.join()];
    const order: string[] = [];
    const requests: unknown[] = [];
    for (let index = 0; index < 40; index++) requests.push(Promise.resolve(a.enter('read', 1)).then(() => order.push('a')));
    for (let index = 0; index < 5; index++) requests.push(Promise.resolve(b.enter('read', 1)).then(() => order.push('b')));
    await Promise.all(requests);
    assert(order.lastIndexOf('b') < 25, order.join(''));
  });

  test('nothing waits while the graph is drained', async () => {
    const member = new ThrottleGroup(
      'g',
      simulatedHost().host,
      limits((made) => (made.limits['iops-total'].average = 1)),
    ).join();
    const requests = [member.enter('read', 1), member.enter('read', 1), member.enter('read', 1)];
    member.drainBegin();
    assert.equal(member.enter('read', 1), undefined);
    await Promise.all(requests);
    member.leave();
  });
});

test('limits that contradict each other', () => {
  const refused = (set: (made: ThrottleLimits['limits']) => void, text: string): void =>
    assert.throws(
      () => checkLimits(limits(({ limits: made }) => set(made))),
      (error) => error instanceof Failure && error.message === text,
    );
  refused((made) => Object.assign(made['bps-total'], { average: 1e15 + 1 }), 'bps/iops/max values must be within [0, 1000000000000000]');
  refused((made) => Object.assign(made['bps-total'], { max: 5 }), 'bps_max/iops_max require corresponding bps/iops values');
  refused((made) => Object.assign(made['iops-read'], { average: 5, max: 4 }), 'bps_max/iops_max cannot be lower than bps/iops');
  refused((made) => Object.assign(made['iops-read'], { average: 5, maxLength: 4 }), 'burst length set without burst rate');
  refused((made) => {
    made['iops-read'].average = 5;
    made['iops-total'].average = 5;
  }, 'bps/iops/max total values and read/write values cannot be used at the same time');
});
