// Tests of the device catalogue, the source of `-device help`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceCatalogue, isaDebugExitDevice, isaSerialDevice } from './catalogue.ts';

test('names are unique', () => {
  assert.equal(new Set(deviceCatalogue.map(({ name }) => name)).size, deviceCatalogue.length);
});

test('impossible properties are named', () => {
  assert.equal(isaSerialDevice.check({ index: 4 }), 'Max. supported number of ISA serial ports is 4.');
  assert.match(isaSerialDevice.check({ irq: 16 }) ?? '', /irq/);
  assert.match(isaDebugExitDevice.check({ iobase: 0xffff }) ?? '', /do not fit/);
  assert.equal(isaDebugExitDevice.check({ iobase: 0xf4, iosize: 4 }), undefined);
});
