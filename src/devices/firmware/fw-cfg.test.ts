// Tests of fw_cfg: selectors, the file directory and DMA.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SystemBus } from '../../bus/address-space.ts';
import { isaFwCfg, KEY } from './fw-cfg.ts';

function bench() {
  const bus = new SystemBus();
  const ram = new Uint8Array(4096);
  const written: number[][] = [];
  const view = (address: number, bytes: number): Uint8Array | undefined =>
    address + bytes <= ram.length ? ram.subarray(address, address + bytes) : undefined;
  const fwCfg = isaFwCfg(bus, { memory: { view, written: (address, bytes) => written.push([address, bytes]) } });
  const readItem = (key: number, count: number): number[] => {
    bus.ports.write(0x510, 2, key);
    return Array.from({ length: count }, () => bus.ports.read(0x511, 1));
  };
  const dma = (control: number, length: number, address: number): number => {
    const descriptor = new DataView(ram.buffer, 16, 16);
    [control, length, 0, address].forEach((word, index) => descriptor.setUint32(4 * index, word));
    bus.ports.write(0x514, 4, 0);
    bus.ports.write(0x518, 4, 0x1000_0000); // 16, big-endian
    return descriptor.getUint32(0);
  };
  return { bus, ram, fwCfg, readItem, dma, written };
}

const text = (bytes: readonly number[]): string => String.fromCharCode(...bytes);

test('the signature and the interface version', () => {
  const { readItem, bus } = bench();
  assert.equal(text(readItem(KEY.SIGNATURE, 4)), 'QEMU');
  assert.deepEqual(readItem(KEY.ID, 5), [3, 0, 0, 0, 0]);
  assert.equal(bus.ports.read(0x514, 4), 0x554d_4551); // "QEMU" as it lies in memory
});

test('the directory lists files by name with size and key, and files are made on demand', () => {
  const { fwCfg, readItem } = bench();
  let made = 0;
  fwCfg.addFile('etc/second', () => {
    made++;
    return Uint8Array.of(7, 8);
  });
  fwCfg.addFile('bootorder', Uint8Array.of(9));
  assert.equal(made, 0);
  const directory = readItem(KEY.FILE_DIR, 4 + 2 * 64);
  assert.deepEqual(directory.slice(0, 4), [0, 0, 0, 2]);
  assert.deepEqual(directory.slice(4, 10), [0, 0, 0, 1, 0, 0x21]);
  assert.equal(text(directory.slice(12, 21)), 'bootorder');
  assert.deepEqual(readItem(0x20, 3), [7, 8, 0]);
  assert.equal(made, 1);
});

test('DMA selects, skips and reads into guest memory, and refuses what is not RAM', () => {
  const { fwCfg, dma, ram, written } = bench();
  fwCfg.set(0x1234, Uint8Array.of(1, 2, 3, 4, 5));
  assert.equal(dma((0x1234 << 16) | 8 | 4, 1, 0), 0);
  assert.equal(dma(2, 6, 100), 0);
  assert.deepEqual([...ram.subarray(100, 106)], [2, 3, 4, 5, 0, 0]);
  assert.ok(written.some(([address, bytes]) => address === 100 && bytes === 6));
  assert.equal(dma(2, 10, 4090), 1);
});
