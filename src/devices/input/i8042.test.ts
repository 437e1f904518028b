// Tests of the 8042 keyboard controller with its keyboard and mouse.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SystemBus } from '../../bus/address-space.ts';
import { IsaBus } from '../../bus/isa-bus.ts';
import { TimerQueue } from '../../bus/timer-queue.ts';
import { isaPs2 } from './i8042.ts';

function bench() {
  const timers = new TimerQueue({ now: () => 0 });
  const bus = new SystemBus();
  const { ports } = bus;
  const seen = { irqs: new Array<boolean>(16).fill(false), a20: false, resets: 0 };
  const lines = seen.irqs.map((_, irq) => ({
    set: (level: boolean) => {
      seen.irqs[irq] = level;
    },
  }));
  const parts = isaPs2(new IsaBus(bus, timers, lines), {
    a20: {
      set: (level) => {
        seen.a20 = level;
      },
    },
    reset: () => {
      seen.resets++;
    },
  });
  /** Everything in the output buffer, in order. */
  const drain = (): number[] => {
    const bytes: number[] = [];
    while ((ports.read(0x64, 1) & 1) !== 0) bytes.push(ports.read(0x60, 1));
    return bytes;
  };
  const command = (value: number, ...data: number[]): void => {
    ports.write(0x64, 1, value);
    data.forEach((byte) => ports.write(0x60, 1, byte));
  };
  return { ...parts, ports, seen, drain, command };
}

test('the self test, the port tests and the configuration byte answer', () => {
  const { command, drain } = bench();
  command(0xaa);
  assert.deepEqual(drain(), [0x55]);
  command(0xab);
  assert.deepEqual(drain(), [0]);
  command(0x60, 0x61);
  command(0x20);
  assert.deepEqual(drain(), [0x61]);
});

test('a key arrives translated into set 1, with an interrupt', () => {
  const { keyboard, seen, drain } = bench();
  keyboard.key('a', true);
  assert.equal(seen.irqs[1], true);
  keyboard.key('a', false);
  keyboard.key('up', true);
  keyboard.key('f7', false);
  assert.deepEqual(drain(), [0x1e, 0x9e, 0xe0, 0x48, 0xc1]);
  assert.equal(seen.irqs[1], false);
});

test('without translation the codes are those of set 2', () => {
  const { keyboard, command, drain } = bench();
  command(0x60, 0x05);
  keyboard.key('a', false);
  assert.deepEqual(drain(), [0xf0, 0x1c]);
});

test('the keyboard identifies itself and resets', () => {
  const { ports, drain } = bench();
  ports.write(0x60, 1, 0xf2);
  assert.deepEqual(drain(), [0xfa, 0xab, 0x41]);
  ports.write(0x60, 1, 0xff);
  assert.deepEqual(drain(), [0xfa, 0xaa]);
});

test('the mouse becomes a wheel mouse after the knock, and reports movement on interrupt 12', () => {
  const { mouse, seen, command, drain } = bench();
  for (const rate of [200, 100, 80]) {
    command(0xd4, 0xf3);
    command(0xd4, rate);
  }
  command(0xd4, 0xf2);
  assert.deepEqual(drain().slice(-2), [0xfa, 3]);
  command(0xd4, 0xf4);
  drain();
  mouse.move(5, 3, -1, 1);
  assert.equal(seen.irqs[12], true);
  assert.deepEqual(drain(), [0x29, 5, 0xfd, 0xff]);
});

test('the output port drives A20 and resets the machine', () => {
  const { command, seen } = bench();
  command(0xd1, 0x01);
  assert.equal(seen.a20, false);
  command(0xdf);
  assert.equal(seen.a20, true);
  command(0xfe);
  assert.equal(seen.resets, 1);
});
