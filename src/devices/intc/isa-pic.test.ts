// Tests of the pair of 8259A interrupt controllers, as wired in a PC.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SystemBus } from '../../bus/address-space.ts';
import { IsaPic } from './isa-pic.ts';

function bench() {
  const seen = { int: false };
  const bus = new SystemBus();
  const pic = new IsaPic(bus, { int: { set: (level) => { seen.int = level; } } });
  const out = (port: number, ...values: number[]): void => values.forEach((value) => bus.ports.write(port, 1, value));
  const initialize = (icw4 = 1): void => {
    out(0x20, 0x11);
    out(0x21, 0x20, 0x04, icw4, 0x00);
    out(0xa0, 0x11);
    out(0xa1, 0x28, 0x02, icw4, 0x00);
  };
  initialize();
  return { pic, bus, seen, out, initialize };
}

test('an edge asks once: acknowledged, ended, and not asked again while the line stays high', () => {
  const { pic, seen, out } = bench();
  pic.line(4).set(true);
  assert.equal(seen.int, true);
  assert.equal(pic.acknowledge(), 0x24);
  out(0x20, 0x20);
  assert.equal(seen.int, false);
  pic.line(4).set(false);
  pic.line(4).set(true);
  assert.equal(seen.int, true);
});

test('a slave request passes the cascade and needs two ends of interrupt', () => {
  const { pic, seen, out } = bench();
  pic.line(12).set(true);
  assert.equal(pic.acknowledge(), 0x2c);
  pic.line(14).set(true);
  assert.equal(seen.int, false);
  out(0xa0, 0x20);
  assert.equal(seen.int, false, 'the master still serves the cascade');
  out(0x20, 0x20);
  assert.equal(pic.acknowledge(), 0x2e);
});

test('a higher request interrupts the service of a lower one, not the other way round', () => {
  const { pic, seen } = bench();
  pic.line(5).set(true);
  pic.acknowledge();
  pic.line(6).set(true);
  assert.equal(seen.int, false);
  pic.line(1).set(true);
  assert.equal(seen.int, true);
  assert.equal(pic.acknowledge(), 0x21);
});

test('a masked request waits for the mask', () => {
  const { pic, seen, out } = bench();
  out(0x21, 0x08);
  pic.line(3).set(true);
  assert.equal(seen.int, false);
  out(0x21, 0x00);
  assert.equal(seen.int, true);
});

test('an acknowledge without a request gives the spurious vector 7 and no service', () => {
  const { pic, bus, out } = bench();
  assert.equal(pic.acknowledge(), 0x27);
  out(0x20, 0x0b);
  assert.equal(bus.ports.read(0x20, 1), 0);
});

test('a level-triggered request asks again after its end while the line is high', () => {
  const { pic, seen, out } = bench();
  out(0x4d1, 0x02);
  pic.line(9).set(true);
  assert.equal(pic.acknowledge(), 0x29);
  out(0xa0, 0x20);
  out(0x20, 0x20);
  assert.equal(seen.int, true);
  pic.line(9).set(false);
  assert.equal(seen.int, false);
});

test('automatic end of interrupt leaves nothing in service', () => {
  const { pic, bus, out, initialize } = bench();
  initialize(3);
  pic.line(1).set(true);
  assert.equal(pic.acknowledge(), 0x21);
  out(0x20, 0x0b);
  assert.equal(bus.ports.read(0x20, 1), 0);
});

test('rotation on end of interrupt makes the served request the lowest', () => {
  const { pic, out } = bench();
  pic.line(0).set(true);
  pic.acknowledge();
  out(0x20, 0xa0);
  pic.line(0).set(false);
  pic.line(0).set(true);
  pic.line(7).set(true);
  assert.equal(pic.acknowledge(), 0x27);
});

test('special mask mode lets lower requests through a masked service', () => {
  const { pic, seen, out } = bench();
  pic.line(1).set(true);
  pic.acknowledge();
  out(0x21, 0x02);
  out(0x20, 0x68);
  pic.line(6).set(true);
  assert.equal(seen.int, true);
  assert.equal(pic.acknowledge(), 0x26);
});

test('a poll acknowledges and names the request', () => {
  const { pic, bus, out } = bench();
  pic.line(3).set(true);
  out(0x20, 0x0c);
  assert.equal(bus.ports.read(0x20, 1), 0x83);
  out(0x20, 0x0b);
  assert.equal(bus.ports.read(0x20, 1), 0x08);
  out(0x20, 0x0c);
  assert.equal(bus.ports.read(0x20, 1), 0);
});
