// Tests of firmware-files.ts: a small ROM of the test's own reads the files, follows the table loader's script and gets the
// tables that a direct boot places itself; the boot order and the numbers are as firmware expects them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FwCfg, KEY } from '../devices/firmware/fw-cfg.ts';
import { pcAcpi } from './acpi/board-hardware.ts';
import { describeToFirmware, type FirmwareFilesConfig } from './firmware-files.ts';
import { placeFirmwareTables } from './firmware-tables.ts';

const BOOT = { menu: false, strict: false, paths: [] };
const CONFIG: FirmwareFilesConfig = {
  hardware: pcAcpi({ pic: true }), ramBytes: 16 << 20, cpuCount: 1, hpet: true, serialPorts: 1, identity: {}, graphics: false, boot: BOOT,
};

function read(fwCfg: FwCfg, key: number, count: number): Uint8Array {
  fwCfg.select(key);
  return Uint8Array.from({ length: count }, () => fwCfg.readByte());
}

const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes).replace(/\0.*$/s, '');

function files(config: FirmwareFilesConfig, current?: FirmwareFilesConfig): { fwCfg: FwCfg; named: Map<string, Uint8Array> } {
  const fwCfg = new FwCfg({});
  describeToFirmware(fwCfg, config, () => current ?? config);
  const count = new DataView(read(fwCfg, KEY.FILE_DIR, 4).buffer).getUint32(0);
  const directory = read(fwCfg, KEY.FILE_DIR, 4 + 64 * count);
  const view = new DataView(directory.buffer);
  const entries = Array.from({ length: count }, (_, index) => {
    const at = 4 + 64 * index;
    return [latin1(directory.subarray(at + 8, at + 64)), read(fwCfg, view.getUint16(at + 4), view.getUint32(at))] as const;
  });
  return { fwCfg, named: new Map(entries) };
}

/** Follows the script as QEMU's bios-linker-loader.h describes it, with the allocations at the given addresses. */
function followScript(named: ReadonlyMap<string, Uint8Array>, addresses: Readonly<Record<string, number>>): Map<string, Uint8Array> {
  const placed = new Map<string, Uint8Array>();
  const script = named.get('etc/table-loader')!;
  for (let at = 0; at < script.length; at += 128) {
    const view = new DataView(script.buffer, at, 128);
    const name = latin1(script.subarray(at + 4, at + 60));
    const command = view.getUint32(0, true);
    if (command === 1) placed.set(name, named.get(name)!.slice());
    const bytes = placed.get(name)!;
    if (command === 2) {
      const [offset, sizeBytes] = [view.getUint32(116, true), view.getUint8(120)];
      const target = new DataView(bytes.buffer);
      const address = addresses[latin1(script.subarray(at + 60, at + 116))]!;
      target.setUint32(offset, target.getUint32(offset, true) + address, true);
      assert.ok(sizeBytes === 4 || target.getUint32(offset + 4, true) === 0);
    }
    if (command === 3) {
      const [offset, start, length] = [view.getUint32(60, true), view.getUint32(64, true), view.getUint32(68, true)];
      bytes[offset] = bytes[offset]! - bytes.subarray(start, start + length).reduce((sum, byte) => sum + byte, 0);
    }
  }
  return placed;
}

test('the table loader makes the tables of a direct boot', () => {
  const ram = new Uint8Array(CONFIG.ramBytes);
  const { memory, rsdpAddress } = placeFirmwareTables((physical, bytes) => ram.set(bytes, physical), CONFIG);
  const { named } = files(CONFIG);
  const placed = followScript(named, { 'etc/acpi/tables': memory.tableAddress, 'etc/acpi/rsdp': rsdpAddress });
  const [area, root] = [placed.get('etc/acpi/tables')!, placed.get('etc/acpi/rsdp')!];
  assert.deepEqual(area.subarray(0, memory.tableBytes), ram.subarray(memory.tableAddress, memory.tableAddress + memory.tableBytes));
  assert.deepEqual(root, ram.subarray(rsdpAddress, rsdpAddress + root.length));
});

test('without ACPI there is no table loader, and the memory map is whole', () => {
  const { named } = files({ ...CONFIG, acpi: false });
  assert.equal(named.has('etc/table-loader'), false);
  assert.deepEqual(named.get('etc/e820'), Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0));
});

test('the boot order ends in HALT when it is strict', () => {
  const paths = ['/pci@i0cf8/scsi@4/disk@0,0'];
  const { fwCfg, named } = files({ ...CONFIG, boot: { menu: true, menuTimeoutMs: 0x1234, retryMs: 5, strict: true, paths } });
  assert.equal(String.fromCharCode(...named.get('bootorder')!), '/pci@i0cf8/scsi@4/disk@0,0\nHALT\0');
  assert.deepEqual(named.get('etc/boot-menu-wait'), Uint8Array.of(0x34, 0x12));
  assert.deepEqual(named.get('etc/boot-fail-wait'), Uint8Array.of(5, 0, 0, 0));
  assert.deepEqual([read(fwCfg, KEY.BOOT_MENU, 2), read(fwCfg, KEY.NOGRAPHIC, 2)], [Uint8Array.of(1, 0), Uint8Array.of(1, 0)]);
  assert.equal(files(CONFIG).named.get('bootorder')!.length, 0);
});

test('the tables name the power management block where the ROM has put it', () => {
  const { named } = files(CONFIG, { ...CONFIG, pmPort: 0xb000 });
  const area = named.get('etc/acpi/tables')!;
  const at = latin1(area.map((byte) => byte || 0x20)).indexOf('FACP');
  const view = new DataView(area.buffer, at);
  assert.deepEqual([56, 64, 76].map((offset) => view.getUint32(offset, true)), [0xb000, 0xb004, 0xb008]);
});
