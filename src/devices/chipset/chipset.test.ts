// Tests of the i440FX and PIIX3/PIIX4 functions: configuration space, PIRQ routing, PAM, port CF9 and ACPI power management.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SystemBus } from '../../bus/address-space.ts';
import { PciBus } from '../../bus/pci-bus.ts';
import { TimerQueue } from '../../bus/timer-queue.ts';
import { ACPI } from './acpi-pm.ts';
import { i440fx } from './i440fx.ts';
import type { PamRegion } from './pam.ts';
import { piix3, PIIX3_ROUTES } from './piix3.ts';
import { PIIX4_ACPI, piix4Pm } from './piix4-pm.ts';
import { PirqRouter } from './pirq-router.ts';
import { isaResetControl } from './reset-control.ts';

function bench() {
  const clock = { time: 0, now: () => clock.time };
  const timers = new TimerQueue(clock);
  const bus = new SystemBus();
  const seen = { resets: 0, pam: [] as readonly PamRegion[], sleeps: [] as number[], irqs: new Array<boolean>(16).fill(false), sci: false };
  const irqs = seen.irqs.map((_, irq) => ({
    set: (level: boolean) => {
      seen.irqs[irq] = level;
    },
  }));
  const router = new PirqRouter({ irqs, registers: PIIX3_ROUTES });
  const pci = new PciBus({ bus, pirqs: PIIX3_ROUTES.map((_, pirq) => router.line(pirq)) });
  i440fx(pci, {
    pamChanged: (regions) => {
      seen.pam = regions;
    },
  });
  piix3(pci, router);
  isaResetControl(bus, () => {
    seen.resets++;
  });
  const { pm } = piix4Pm(bus, pci, {
    timers,
    sci: {
      set: (level) => {
        seen.sci = level;
      },
    },
    sleep: (type) => seen.sleeps.push(type),
  });
  const card = pci.add(3, 0, {
    name: 'card',
    vendorId: 0x1234,
    deviceId: 0x5678,
    classCode: 0x02_0000,
    interruptPin: 1,
    bars: [
      { index: 0, space: 'io', region: { size: 32, name: 'card-io', widthMax: 4, read: (at) => at, write: () => {} } },
      { index: 1, space: 'memory', region: { size: 4096, name: 'card-memory', widthMax: 4, read: (at) => at + 1, write: () => {} } },
    ],
  });
  const { ports, mmio } = bus;
  const config = (slot: number, fn: number, at: number): void =>
    ports.write(0xcf8, 4, (0x8000_0000 | (slot << 11) | (fn << 8) | (at & 0xfc)) >>> 0);
  const readConfig = (slot: number, fn: number, at: number, size = 4): number => (config(slot, fn, at), ports.read(0xcfc + (at & 3), size));
  const writeConfig = (slot: number, fn: number, at: number, size: number, value: number): void => {
    config(slot, fn, at);
    ports.write(0xcfc + (at & 3), size, value);
  };
  const placePm = (base: number): void => {
    writeConfig(1, 3, 0x40, 4, base | 1);
    writeConfig(1, 3, 0x80, 1, 1);
  };
  return { placePm, clock, timers, ports, mmio, seen, card, pm, readConfig, writeConfig };
}

test('a scan finds the functions and ones elsewhere', () => {
  const { readConfig, ports } = bench();
  assert.deepEqual(
    [readConfig(0, 0, 0), readConfig(1, 0, 0), readConfig(1, 3, 0), readConfig(3, 0, 0)],
    [0x1237_8086, 0x7000_8086, 0x7113_8086, 0x5678_1234],
  );
  assert.equal(readConfig(7, 0, 0), 0xffff_ffff);
  assert.equal(readConfig(1, 0, 0x0e, 1), 0x80);
  ports.write(0xcf8, 4, 0);
  assert.equal(ports.read(0xcfc, 4), 0xffff_ffff);
});

test('a base address register tells its size, maps where it is put and moves', () => {
  const { ports, mmio, readConfig, writeConfig } = bench();
  writeConfig(3, 0, 0x10, 4, 0xffff_ffff);
  assert.equal(readConfig(3, 0, 0x10), 0xffff_ffe1);
  writeConfig(3, 0, 0x14, 4, 0xffff_ffff);
  assert.equal(readConfig(3, 0, 0x14), 0xffff_f000);
  writeConfig(3, 0, 0x10, 4, 0xc000);
  writeConfig(3, 0, 0x14, 4, 0xe000_0000);
  assert.equal(ports.read(0xc004, 1), 0xff, 'not before the command register allows it');
  writeConfig(3, 0, 4, 2, 3);
  assert.deepEqual([ports.read(0xc004, 1), mmio.read(0xe000_0010, 4)], [4, 0x11]);
  writeConfig(3, 0, 0x10, 4, 0xc100);
  assert.deepEqual([ports.read(0xc004, 1), ports.read(0xc104, 1)], [0xff, 4]);
});

test('a 64-bit base address register maps above 4 GiB', () => {
  const bus = new SystemBus();
  const pci = new PciBus({ bus, pirqs: [0, 1, 2, 3].map(() => ({ set: () => {} })) });
  const region = { size: 0x4000, name: 'wide', widthMax: 4, read: (at: number) => at, write: () => {} } as const;
  const bars = [{ index: 4, space: 'memory', wide: true, region }] as const;
  pci.add(3, 0, { name: 'wide', vendorId: 0x1234, deviceId: 1, classCode: 0xff_0000, bars });
  const write = (at: number, value: number): void => pci.writeConfig(3 << 3, at, 4, value);
  write(4, 2);
  write(0x20, 0x8000_4000);
  write(0x24, 0xe0);
  assert.deepEqual([bus.mmio.read(0xe0_8000_4010, 4), bus.mmio.read(0x8000_4010, 4)], [0x10, 0xffff_ffff]);
  write(0x24, 0x100);
  assert.equal(bus.mmio.read(0x100_8000_4010, 4), 0xffff_ffff, 'beyond the physical address space');
  write(0x24, 0);
  assert.deepEqual([bus.mmio.read(0xe0_8000_4010, 4), bus.mmio.read(0x8000_4010, 4)], [0xffff_ffff, 0x10]);
});

test('an INTx goes through the PIRQ of its slot to the routed interrupt', () => {
  const { seen, card, writeConfig, readConfig } = bench();
  card.setInterrupt(true);
  assert.ok(!seen.irqs.includes(true));
  writeConfig(1, 0, 0x62, 1, 11); // slot 3 INTA is PIRQC
  assert.equal(seen.irqs.indexOf(true), 11);
  assert.equal(readConfig(3, 0, 6, 2) & 8, 8);
  writeConfig(3, 0, 4, 2, 0x400);
  assert.ok(!seen.irqs.includes(true));
  writeConfig(3, 0, 4, 2, 0);
  card.setInterrupt(false);
  assert.ok(!seen.irqs.includes(true));
});

test('PAM registers report which parts are RAM', () => {
  const { seen, writeConfig } = bench();
  writeConfig(0, 0, 0x59, 1, 0x30);
  writeConfig(0, 0, 0x5a, 1, 0x21);
  const part = (start: number): PamRegion | undefined => seen.pam.find((region) => region.start === start);
  assert.deepEqual(part(0xf_0000), { start: 0xf_0000, bytes: 0x1_0000, readable: true, writable: true });
  assert.deepEqual([part(0xc_0000)?.readable, part(0xc_0000)?.writable], [true, false]);
  assert.deepEqual([part(0xc_4000)?.readable, part(0xc_4000)?.writable], [false, true]);
  assert.equal(
    seen.pam.reduce((sum, { bytes }) => sum + bytes, 0),
    0x4_0000,
  );
});

test('port cf9 resets on a rising CPU reset bit', () => {
  const { ports, seen } = bench();
  ports.write(0xcf9, 1, 0x02);
  assert.equal(seen.resets, 0);
  ports.write(0xcf9, 1, 0x06);
  assert.equal(seen.resets, 1);
});

test('the PM timer counts at 3.579545 MHz in 24 bits', () => {
  const { clock, ports, placePm } = bench();
  placePm(ACPI.PM_BASE);
  clock.time = 1e9;
  assert.equal(ports.read(ACPI.PM_BASE + 8, 4), 3_579_545);
  clock.time = 10e9;
  assert.equal(ports.read(ACPI.PM_BASE + 8, 4), 35_795_450 % 2 ** 24);
});

test('ACPI is enabled by command, the power button raises SCI, and S5 is reported', () => {
  const { ports, pm, seen, placePm } = bench();
  placePm(ACPI.PM_BASE);
  ports.write(ACPI.SMI_COMMAND, 1, PIIX4_ACPI.ENABLE);
  assert.equal(ports.read(ACPI.PM_BASE + 4, 2) & 1, 1);
  ports.write(ACPI.PM_BASE + 2, 2, 0x100);
  pm.pressPowerButton();
  assert.equal(seen.sci, true);
  ports.write(ACPI.PM_BASE, 2, 0x100);
  assert.equal(seen.sci, false);
  ports.write(ACPI.PM_BASE + 4, 2, 0x2001);
  assert.deepEqual(seen.sleeps, [0]);
});

test('the PM timer overflow sets its status when half a turn is over', () => {
  const { clock, timers, ports, seen, placePm } = bench();
  placePm(ACPI.PM_BASE);
  ports.write(ACPI.SMI_COMMAND, 1, PIIX4_ACPI.ENABLE);
  ports.write(ACPI.PM_BASE + 2, 2, 1);
  clock.time = timers.nextDeadline();
  assert.equal(Math.floor(clock.time / 1e6), 2343);
  timers.runDue(clock.time);
  assert.equal(seen.sci, true);
});

test('the PM block follows its base register', () => {
  const { ports, readConfig, placePm } = bench();
  assert.deepEqual([readConfig(1, 3, 0x40), ports.read(0x604, 2)], [1, 0xffff], 'nowhere before firmware places it');
  placePm(0x600);
  assert.deepEqual([readConfig(1, 3, 0x40), ports.read(0x604, 2)], [0x601, 0]);
  placePm(0xb000);
  assert.equal(ports.read(0x604, 2), 0xffff);
  assert.equal(ports.read(0xb004, 2), 0);
});
