// Tests of firmware-tables.ts and the ACPI tables, walked as a guest does and read by the ACPI compiler where there is one.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pcAcpi, q35Acpi } from './acpi/board-hardware.ts';
import { tableHeader } from './acpi/tables.ts';
import { placeFirmwareTables, type FirmwareConfig, type FirmwareTables } from './firmware-tables.ts';

const RAM_BYTES = 16 << 20;
const CONFIG: FirmwareConfig = {
  hardware: pcAcpi({ pic: true }), ramBytes: RAM_BYTES, cpuCount: 2, hpet: true, serialPorts: 2, identity: {},
};

function place(config: FirmwareConfig): { ram: Uint8Array; tables: FirmwareTables; view: DataView } {
  const ram = new Uint8Array(config.ramBytes);
  const tables = placeFirmwareTables((physical, bytes) => ram.set(bytes, physical), config);
  return { ram, tables, view: new DataView(ram.buffer) };
}

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => total + byte, 0) & 0xff;

/** A table by address, its checksum checked. */
function tableAt(ram: Uint8Array, address: number): Uint8Array {
  const { length } = tableHeader.decode(ram, address);
  const table = ram.subarray(address, address + length);
  assert.equal(sum(table), 0);
  return table;
}

const signature = (table: Uint8Array): string => String.fromCharCode(...table.subarray(0, 4));

test('every table is reached from the RSDP, by RSDT and XSDT alike', () => {
  const { ram, tables, view } = place(CONFIG);
  assert.equal(String.fromCharCode(...ram.subarray(tables.rsdpAddress, tables.rsdpAddress + 8)), 'RSD PTR ');
  assert.equal(sum(ram.subarray(tables.rsdpAddress, tables.rsdpAddress + 20)), 0);
  assert.equal(sum(ram.subarray(tables.rsdpAddress, tables.rsdpAddress + 36)), 0);
  const rsdt = tableAt(ram, view.getUint32(tables.rsdpAddress + 16, true));
  const xsdt = tableAt(ram, Number(view.getBigUint64(tables.rsdpAddress + 24, true)));
  const listed: number[] = [];
  for (let at = 36; at < rsdt.length; at += 4) listed.push(new DataView(rsdt.buffer, rsdt.byteOffset).getUint32(at, true));
  const listed64: number[] = [];
  for (let at = 36; at < xsdt.length; at += 8) listed64.push(Number(new DataView(xsdt.buffer, xsdt.byteOffset).getBigUint64(at, true)));
  assert.deepEqual(listed, listed64);
  assert.deepEqual(listed.map((address) => signature(tableAt(ram, address))), ['FACP', 'APIC', 'HPET']);
  const facp = listed[0]!;
  assert.equal(signature(tableAt(ram, view.getUint32(facp + 40, true))), 'DSDT');
  const facs = view.getUint32(facp + 36, true);
  assert.equal(signature(ram.subarray(facs)), 'FACS');
  assert.equal(facs % 64, 0);
});

test('all tables lie in what the memory map reserves', () => {
  const { tables } = place(CONFIG);
  const { memory, acpiAddresses } = tables;
  for (const address of Object.values(acpiAddresses)) assert.ok(address >= memory.tableAddress && address < memory.lowRamBytes);
});

test('without ACPI no RSDP is found', () => {
  const { ram, tables } = place({ ...CONFIG, acpi: false });
  assert.equal(tables.rsdpAddress, 0);
  assert.equal(ram[0xf0000], 0);
});

test('the BIOS data area names serial ports and the EBDA', () => {
  const { view } = place({ ...CONFIG, serialPorts: 1 });
  assert.deepEqual([view.getUint16(0x400, true), view.getUint16(0x402, true)], [0x3f8, 0]);
  assert.equal(view.getUint16(0x40e, true) * 16, 0x9fc00);
});

test('the ACPI compiler reads the tables and compiles them again', (t) => {
  if (spawnSync('iasl', ['-v']).status !== 0) return t.skip('no iasl on this host');
  const folder = mkdtempSync(join(tmpdir(), 'nandu-acpi-'));
  try {
    const q35 = { ...CONFIG, hardware: q35Acpi({ pic: true }), ecam: { start: 0xb000_0000, sizeBytes: 0x1000_0000 } };
    for (const config of [CONFIG, { ...CONFIG, hpet: false, serialPorts: 0, cpuCount: 1 }, q35]) {
      const { ram, tables } = place(config);
      for (const [name, address] of Object.entries(tables.acpiAddresses)) {
        const { length } = tableHeader.decode(ram, address);
        writeFileSync(join(folder, `${name}.aml`), ram.subarray(address, address + length));
        const read = spawnSync('iasl', ['-d', `${name}.aml`], { cwd: folder, encoding: 'utf8' });
        assert.doesNotMatch(read.stdout + read.stderr, /error|incorrect|invalid/i, name);
        const compiled = spawnSync('iasl', ['-p', `${name}-again`, `${name}.dsl`], { cwd: folder, encoding: 'utf8' });
        assert.equal(compiled.status, 0, compiled.stdout);
        assert.match(compiled.stdout, /0 Errors, 0 Warnings/, name);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
