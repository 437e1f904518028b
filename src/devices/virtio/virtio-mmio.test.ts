// Tests of virtio-mmio.ts: a driver that reaches a disk through the registers alone, by the modern and by the legacy interface.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SystemBus } from '../../bus/address-space.ts';
import { MemoryDrive } from '../memory-drive.ts';
import { VIRTIO_STATUS } from './features.ts';
import { VirtioBlk } from './virtio-blk.ts';
import { VirtioMmio, type VirtioMmioFeatures } from './virtio-mmio.ts';

const BASE = 0xfeb0_0000;
const REGISTER = {
  magic: 0x000, version: 0x004, deviceId: 0x008, deviceFeatures: 0x010, deviceFeaturesSelect: 0x014, driverFeatures: 0x020,
  driverFeaturesSelect: 0x024, guestPageSize: 0x028, queueSelect: 0x030, queueNumMax: 0x034, queueNum: 0x038, queueAlign: 0x03c,
  queuePfn: 0x040, queueReady: 0x044, queueNotify: 0x050, interruptStatus: 0x060, interruptAck: 0x064, status: 0x070,
  descriptors: 0x080, driver: 0x090, device: 0x0a0, configGeneration: 0x0fc, config: 0x100,
} as const;
const RAM_BYTES = 0x1_0000;
const QUEUE_SIZE = 8;
const PAGE = 4096;
/** Where the legacy layout puts the parts of a queue of 8 that begins at the first page. */
const PARTS = { descriptors: PAGE, driver: PAGE + 16 * QUEUE_SIZE, device: 2 * PAGE } as const;
const READY = VIRTIO_STATUS.ACKNOWLEDGE | VIRTIO_STATUS.DRIVER | VIRTIO_STATUS.FEATURES_OK;

class Driver {
  readonly ram = new Uint8Array(RAM_BYTES);
  readonly view = new DataView(this.ram.buffer);
  readonly drive = new MemoryDrive({ size: 1 << 20 });
  readonly window: VirtioMmio;
  readonly #bus = new SystemBus();
  level = false;
  #requests = 0;

  constructor(legacy: boolean, features: VirtioMmioFeatures | 'no device' = {}) {
    const memory = {
      view: (address: number, size: number) => (address + size <= RAM_BYTES ? this.ram.subarray(address, address + size) : undefined),
      written: () => {},
    };
    this.window = new VirtioMmio({ bus: this.#bus, base: BASE, irq: { set: (level) => { this.level = level; } }, memory, legacy });
    if (features !== 'no device') this.window.plugIn(new VirtioBlk({ drive: this.drive }), features);
  }

  read(register: number, size = 4): number {
    return this.#bus.mmio.read(BASE + register, size);
  }

  write(register: number, value: number): void {
    this.#bus.mmio.write(BASE + register, 4, value);
  }

  startModern(): void {
    this.write(REGISTER.status, 0);
    this.write(REGISTER.status, VIRTIO_STATUS.ACKNOWLEDGE | VIRTIO_STATUS.DRIVER);
    this.write(REGISTER.driverFeaturesSelect, 1);
    this.write(REGISTER.driverFeatures, 1); // VERSION_1
    this.write(REGISTER.status, READY);
    this.write(REGISTER.queueSelect, 0);
    this.write(REGISTER.queueNum, QUEUE_SIZE);
    this.write(REGISTER.descriptors, PARTS.descriptors);
    this.write(REGISTER.driver, PARTS.driver);
    this.write(REGISTER.device, PARTS.device);
    this.write(REGISTER.queueReady, 1);
    this.write(REGISTER.status, READY | VIRTIO_STATUS.DRIVER_OK);
  }

  startLegacy(): void {
    this.write(REGISTER.guestPageSize, PAGE);
    this.write(REGISTER.status, 0);
    this.write(REGISTER.status, VIRTIO_STATUS.ACKNOWLEDGE | VIRTIO_STATUS.DRIVER);
    this.write(REGISTER.queueSelect, 0);
    this.write(REGISTER.queueNum, QUEUE_SIZE);
    this.write(REGISTER.queueAlign, PAGE);
    this.write(REGISTER.queuePfn, PARTS.descriptors / PAGE);
    this.write(REGISTER.status, VIRTIO_STATUS.ACKNOWLEDGE | VIRTIO_STATUS.DRIVER | VIRTIO_STATUS.DRIVER_OK);
  }

  /** The rings are empty again. */
  forget(): void {
    this.ram.fill(0);
    this.#requests = 0;
  }

  /** One sector to the disk; the status byte that comes back. */
  writeSector(sector: number, fill: number): number {
    const { ram, view } = this;
    const [header, data, status] = [0x4000, 0x4100, 0x4400];
    view.setUint32(header, 1, true);
    view.setUint32(header + 8, sector, true);
    ram.fill(fill, data, data + 512);
    ram[status] = 0xff;
    const describe = (n: number, address: number, size: number, flags: number): void => {
      view.setUint32(PARTS.descriptors + 16 * n, address, true);
      view.setUint32(PARTS.descriptors + 16 * n + 8, size, true);
      view.setUint16(PARTS.descriptors + 16 * n + 12, flags, true);
      view.setUint16(PARTS.descriptors + 16 * n + 14, n + 1, true);
    };
    describe(0, header, 16, 1);
    describe(1, data, 512, 1);
    describe(2, status, 1, 2);
    view.setUint16(PARTS.driver + 4 + 2 * (this.#requests++ % QUEUE_SIZE), 0, true);
    view.setUint16(PARTS.driver + 2, this.#requests, true);
    this.write(REGISTER.queueNotify, 0);
    assert.equal(view.getUint16(PARTS.device + 2, true), this.#requests, 'the request came back');
    return ram[status]!;
  }
}

const CASES = [
  { name: 'modern', legacy: false, version: 2, start: (driver: Driver) => driver.startModern() },
  { name: 'legacy', legacy: true, version: 1, start: (driver: Driver) => driver.startLegacy() },
];

for (const { name, legacy, version, start } of CASES) {
  describe(`virtio over MMIO, ${name} interface`, () => {
    test('a driver finds the disk, writes to it, and is interrupted until it acknowledges', () => {
      const driver = new Driver(legacy);
      const identity = [REGISTER.magic, REGISTER.version, REGISTER.deviceId].map((register) => driver.read(register));
      assert.deepEqual(identity, [0x7472_6976, version, 2]);
      assert.equal(driver.read(REGISTER.config), 2048, 'sectors in the configuration space');
      start(driver);
      for (let round = 0; round < 3 * QUEUE_SIZE; round++) {
        assert.equal(driver.writeSector(round, round + 1), 0);
        assert.deepEqual([driver.level, driver.read(REGISTER.interruptStatus)], [true, 1]);
        driver.write(REGISTER.interruptAck, 1);
        assert.deepEqual([driver.level, driver.read(REGISTER.interruptStatus)], [false, 0]);
        assert.equal(driver.drive.bytes[512 * round], round + 1);
      }
    });

    test('a reset takes the queue and the interrupt away, and the driver can begin again', () => {
      const driver = new Driver(legacy);
      start(driver);
      driver.writeSector(0, 1);
      driver.write(REGISTER.status, 0);
      assert.deepEqual([driver.level, driver.read(REGISTER.status), driver.read(REGISTER.queueReady)], [false, 0, 0]);
      assert.equal(driver.read(REGISTER.queuePfn), 0);
      driver.forget();
      start(driver);
      assert.equal(driver.writeSector(1, 2), 0);
    });

    test('registers of the other interface, odd accesses and sizes that cannot be are not there', () => {
      const driver = new Driver(legacy);
      start(driver);
      assert.equal(driver.read(legacy ? REGISTER.queueReady : REGISTER.queuePfn), 0);
      assert.equal(driver.read(REGISTER.magic, 2), 0);
      driver.write(legacy ? REGISTER.queueReady : REGISTER.queuePfn, 0); // would take the queue away
      driver.write(REGISTER.guestPageSize, 4095);
      driver.write(REGISTER.queueNum, 3); // in use
      assert.equal(driver.writeSector(5, 9), 0);
    });
  });
}

describe('virtio over MMIO', () => {
  test('an empty window has a magic number and no device', () => {
    const driver = new Driver(false, 'no device');
    const registers = [REGISTER.magic, REGISTER.version, REGISTER.deviceId, REGISTER.queueNumMax, REGISTER.config];
    assert.deepEqual(registers.map((register) => driver.read(register)), [0x7472_6976, 2, 0, 0, 0]);
    driver.write(REGISTER.status, 1);
    assert.equal(driver.read(REGISTER.status), 0);
  });

  test('the legacy interface places no queue before it knows the size of a page', () => {
    const driver = new Driver(true);
    driver.write(REGISTER.queueAlign, PAGE);
    driver.write(REGISTER.queuePfn, 1);
    assert.equal(driver.read(REGISTER.queuePfn), 0);
    driver.write(REGISTER.guestPageSize, PAGE);
    driver.write(REGISTER.queuePfn, 1);
    assert.equal(driver.read(REGISTER.queuePfn), 1);
    driver.write(REGISTER.queuePfn, 0);
    assert.equal(driver.read(REGISTER.queuePfn), 0);
  });

  test('features are offered as the window and the properties say', () => {
    const offered = (legacy: boolean, features: VirtioMmioFeatures) => {
      const driver = new Driver(legacy, features);
      return [0, 1].map((select) => {
        driver.write(REGISTER.deviceFeaturesSelect, select);
        return driver.read(REGISTER.deviceFeatures);
      });
    };
    const [INDIRECT, EVENT] = [1 << 28, 1 << 29];
    assert.deepEqual(offered(true, { packed: true })[1], 0);
    assert.deepEqual(offered(false, { packed: true })[1], 1 | (1 << 2));
    assert.equal(offered(false, {})[0]! & (INDIRECT | EVENT), INDIRECT | EVENT);
    assert.equal(offered(false, { eventIndex: false, indirect: false })[0]! & (INDIRECT | EVENT), 0);
  });
});
