// Tests of the Q35's host bridge and the ICH9's LPC bridge: memory-mapped configuration space, routing, the PM block.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SystemBus } from '../../bus/address-space.ts';
import { PciBus } from '../../bus/pci-bus.ts';
import { TimerQueue } from '../../bus/timer-queue.ts';
import { ICH9, ich9Lpc, ich9Route, ICH9_ACPI, ICH9_ROUTES, ICH9_SLOT } from './ich9-lpc.ts';
import { mch, PCIEXBAR } from './mch.ts';
import { PirqRouter } from './pirq-router.ts';

function bench() {
  const bus = new SystemBus();
  const irqs = new Array<boolean>(16).fill(false);
  const lines = irqs.map((_, irq) => ({ set: (level: boolean) => { irqs[irq] = level; } }));
  const router = new PirqRouter({ irqs: lines, registers: ICH9_ROUTES });
  const pci = new PciBus({ bus, pirqs: ICH9_ROUTES.map((_, pirq) => router.line(pirq)), route: ich9Route });
  mch(pci, { pamChanged: () => {} });
  const sci = { set: () => {} };
  const { pm } = ich9Lpc(bus, pci, { router, timers: new TimerQueue({ now: () => 0 }), sci, sleep: () => {} });
  const card = pci.add(2, 0, { name: 'card', vendorId: 0x1234, deviceId: 0x5678, classCode: 0x02_0000, interruptPin: 1 });
  const configure = (slot: number, at: number, value: number, size = 4): void => pci.writeConfig(slot << 3, at, size, value);
  return { bus, pci, pm, card, irqs, configure };
}

test('configuration spaces appear in memory where PCIEXBAR says', () => {
  const { bus, configure } = bench();
  assert.equal(bus.mmio.read(0xb001_0000, 4), 0xffff_ffff);
  configure(0, PCIEXBAR, 0xb000_0001);
  assert.equal(bus.mmio.read(0xb001_0000, 4), 0x5678_1234);
  assert.equal(bus.mmio.read(0xb00f_8002, 2), 0x2918);
  assert.equal(bus.mmio.read(0xb001_0100, 4), 0xffff_ffff, 'no extended configuration space');
  assert.equal(bus.mmio.read(0xb010_0000, 4), 0xffff_ffff, 'nothing on bus 1');
  bus.mmio.write(0xb001_003c, 1, 7);
  assert.equal(bus.mmio.read(0xb001_003c, 1), 7);
  configure(0, PCIEXBAR, 0xe000_0003);
  assert.deepEqual([bus.mmio.read(0xb001_0000, 4), bus.mmio.read(0xe001_0000, 4)], [0xffff_ffff, 0x5678_1234]);
});

test("a card's interrupt rotates through PIRQE..H, chipset functions use A..D", () => {
  const { card, irqs, configure } = bench();
  assert.deepEqual([ich9Route(0, 0), ich9Route(2, 0), ich9Route(31, 1), ich9Route(30, 1)], [4, 6, 1, 5]);
  card.setInterrupt(true);
  assert.ok(!irqs.includes(true));
  configure(ICH9_SLOT, ICH9_ROUTES[6], 11, 1);
  assert.equal(irqs.indexOf(true), 11);
});

test('the PM block has ACPI registers, GPE0 and the watchdog', () => {
  const { bus, pm, configure } = bench();
  configure(ICH9_SLOT, ICH9.PMBASE, 0x601);
  assert.equal(bus.ports.read(0x604, 2), 0xffff);
  configure(ICH9_SLOT, ICH9.ACPI_CONTROL, 0x80, 1);
  bus.ports.write(0xb2, 1, ICH9_ACPI.ENABLE);
  assert.equal(bus.ports.read(0x604, 2), 1);
  pm.raiseGpe(2);
  assert.equal(bus.ports.read(0x620, 4), 4);
  bus.ports.write(0x620, 1, 4);
  bus.ports.write(0x628, 4, 0x0204);
  assert.deepEqual([bus.ports.read(0x620, 4), bus.ports.read(0x628, 4)], [0, 0x0204]);
  bus.ports.write(0x672, 2, 0x123);
  assert.deepEqual([bus.ports.read(0x672, 2), bus.ports.read(0x668, 2) & 0x0800], [0x123, 0x0800]);
});
