// Tests of the port and memory buses, interrupt lines and reset.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SystemBus, type Region } from './address-space.ts';
import { fanOut, WiredOr } from './irq.ts';
import { RegisterFile } from './register-file.ts';

function region(base: number, size: number, rest: Partial<Region> = {}): Region & { readonly log: string[] } {
  const log: string[] = [];
  const read = (at: number, width: number): number => (log.push(`r${at}.${width}`), 0x10 + at);
  return { base, size, name: 'sample', read, write: (at, width, value) => { log.push(`w${at}.${width}=${value}`); }, log, ...rest };
}

test('nothing there reads as ones of the width', () => {
  const { ports, mmio } = new SystemBus();
  assert.deepEqual([ports.read(0x1234, 1), ports.read(0x1234, 2), mmio.read(0xdead_0000, 4)], [0xff, 0xffff, 0xffff_ffff]);
  ports.write(0x1234, 4, 0);
});

test('a wide access to a narrow device is split, lowest byte first', () => {
  const { ports } = new SystemBus();
  const sample = region(0x100, 4);
  ports.claim(sample);
  assert.equal(ports.read(0x100, 4), 0x1312_1110);
  ports.write(0x102, 2, 0xabcd);
  assert.deepEqual(sample.log.slice(4), ['w2.1=205', 'w3.1=171']);
});

test('an access across the end of a region goes to both neighbours', () => {
  const { ports } = new SystemBus();
  ports.claim(region(0x100, 2, { widthMax: 4 }));
  ports.claim(region(0x102, 2, { widthMax: 4 }));
  assert.equal(ports.read(0x101, 2), 0x1011);
  assert.equal(ports.read(0x103, 2), 0xff11);
  assert.equal(ports.read(0xffff, 4), 0xffff_ffff);
});

test('the region of higher priority answers, and the other one when it is gone', () => {
  const { ports, mmio } = new SystemBus();
  for (const space of [ports, mmio]) {
    space.claim(region(0x1000, 0x100, { read: () => 1, priority: -1 }));
    const over = space.claim(region(0x1010, 1, { read: () => 2 }));
    assert.deepEqual([space.read(0x100f, 1), space.read(0x1010, 1), space.read(0x1011, 1)], [1, 2, 1]);
    over.map(0x1020);
    assert.deepEqual([space.read(0x1010, 1), space.read(0x1020, 1)], [1, 2]);
    over.unmap();
    assert.equal(space.read(0x1020, 1), 1);
  }
});

test('a page that a region covers in part has nothing in the rest', () => {
  const { mmio } = new SystemBus();
  mmio.claim(region(0xfed0_0000, 0x400, { widthMax: 4 }));
  assert.equal(mmio.read(0xfed0_03fc, 4), 0x40c);
  assert.equal(mmio.read(0xfed0_0400, 4), 0xffff_ffff);
});

test('plain registers are masks: writable bits, bits cleared by ones, the rest kept', () => {
  const device = { state: { value: 0xf0, flags: 0xff } };
  const file = new RegisterFile<typeof device>('sample', 1, [
    { at: 0, name: 'VALUE', field: 'value', writable: 0x0f },
    { at: 1, name: 'FLAGS', field: 'flags', w1c: 0x3c },
    { at: 2, name: 'ID', constant: 0x42 },
  ]);
  file.write(device, 0, 0xff);
  file.write(device, 1, 0x0f);
  file.write(device, 2, 0);
  assert.deepEqual([0, 1, 2, 3].map((at) => file.read(device, at)), [0xff, 0xf3, 0x42, 0xff]);
  assert.deepEqual(file.inspect(device), [{ name: 'VALUE', value: 0xff }, { name: 'FLAGS', value: 0xf3 }]);
});

test('a row that could never be reached is an error of declaration', () => {
  const rows = [{ at: 0, name: 'A', constant: 1 }, { at: 0, name: 'B', constant: 2 }];
  assert.throws(() => new RegisterFile<{ state: object }>('sample', 1, rows), /can be reached/);
});

test('a shared line is high while any driver is', () => {
  const levels: boolean[] = [];
  const line = new WiredOr({ set: (level) => { levels.push(level); } });
  const [a, b] = [line.input(), line.input()];
  fanOut(a, b).set(true);
  a.set(false);
  b.set(false);
  assert.deepEqual(levels, [true, true, true, false]);
});
