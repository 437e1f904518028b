// Tests of firmware-path.ts: the names that SeaBIOS and OVMF derive themselves and compare with.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SystemBus } from '../bus/address-space.ts';
import { PciBus } from '../bus/pci-bus.ts';
import { pciFirmwarePath } from './firmware-path.ts';

test('a function is named after its class, or after vendor and device', () => {
  const pci = new PciBus({ bus: new SystemBus(), pirqs: [0, 1, 2, 3].map(() => ({ set: () => {} })) });
  pci.add(10, 0, { name: 'disk', vendorId: 0x1af4, deviceId: 0x1001, classCode: 0x01_0000 });
  pci.add(1, 1, { name: 'ide', vendorId: 0x8086, deviceId: 0x7010, classCode: 0x01_0180 });
  pci.add(31, 2, { name: 'nvme', vendorId: 0x1b36, deviceId: 0x0010, classCode: 0x01_0802 });
  assert.equal(pciFirmwarePath(pci, 10, 0), '/pci@i0cf8/scsi@a');
  assert.equal(pciFirmwarePath(pci, 1, 1), '/pci@i0cf8/ide@1,1');
  assert.equal(pciFirmwarePath(pci, 31, 2), '/pci@i0cf8/pci1b36,0010@1f,2');
});
