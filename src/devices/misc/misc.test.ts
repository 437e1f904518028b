// Tests of the small devices: debug exit, debug console, port 92 and the test device.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SystemBus } from '../../bus/address-space.ts';
import { IsaBus } from '../../bus/isa-bus.ts';
import { notConnected } from '../../bus/irq.ts';
import { TimerQueue } from '../../bus/timer-queue.ts';
import { isaDebugcon } from '../char/debugcon.ts';
import { isaDebugExit } from './debug-exit.ts';
import { pcTestdev } from './pc-testdev.ts';
import { isaPort92 } from './port92.ts';

function bench() {
  const bus = new SystemBus();
  const timers = new TimerQueue({ now: () => 0 });
  return { bus, ports: bus.ports, isa: new IsaBus(bus, timers, new Array(16).fill(notConnected)) };
}

test('debug-exit gives twice the value plus one', () => {
  const { isa, ports } = bench();
  const statuses: number[] = [];
  isaDebugExit(isa, { iobase: 0xf4, iosize: 4, exit: (status) => statuses.push(status) });
  ports.write(0xf4, 4, 0);
  ports.write(0xf4, 1, 16);
  assert.deepEqual(statuses, [1, 33]);
});

test('debugcon prints and reads back its signature', () => {
  const { isa, ports } = bench();
  const sent: number[] = [];
  const backend = { connect: () => {}, write: (bytes: Uint8Array) => sent.push(...bytes), acceptInput: () => {}, close: async () => {} };
  isaDebugcon(isa, { backend });
  assert.equal(ports.read(0xe9, 1), 0xe9);
  ports.write(0xe9, 1, 0x21);
  assert.deepEqual(sent, [0x21]);
});

test('port 92 drives A20 and pulses reset on a rising bit', () => {
  const { bus, ports } = bench();
  const seen = { a20: true, resets: 0 };
  const wires = {
    a20: { set: (level: boolean) => void (seen.a20 = level) },
    reset: () => void seen.resets++,
  };
  isaPort92(bus, wires);
  assert.equal(ports.read(0x92, 1), 2);
  ports.write(0x92, 1, 0);
  assert.equal(seen.a20, false);
  ports.write(0x92, 1, 3);
  ports.write(0x92, 1, 3);
  assert.deepEqual(seen, { a20: true, resets: 1 });
});

test('the test device keeps bytes, words and double words, and drives lines', () => {
  const { bus, ports } = bench();
  const levels: boolean[] = [];
  const irqs = Array.from({ length: 16 }, (_, irq) => ({ set: (level: boolean) => void (levels[irq] = level) }));
  pcTestdev(bus, { irqs });
  ports.write(0xe0, 4, 0x1234_5678);
  assert.deepEqual(
    [ports.read(0xe0, 1), ports.read(0xe0, 2), ports.read(0xe0, 4), ports.read(0xe8, 4)],
    [0x78, 0x5678, 0x1234_5678, 0x1234_5678],
  );
  ports.write(0x200e, 1, 1);
  assert.equal(levels[14], true);
  bus.mmio.write(0xff00_0010, 4, 0xcafe_f00d);
  assert.equal(bus.mmio.read(0xff00_0012, 2), 0xcafe);
});
