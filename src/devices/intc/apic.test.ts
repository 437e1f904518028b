// Tests of the local APIC and the I/O APIC: priorities, timer, x2APIC mode, IPIs, level and edge inputs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SystemBus } from '../../bus/address-space.ts';
import { TimerQueue } from '../../bus/timer-queue.ts';
import { ApicBus } from './apic-bus.ts';
import { IOAPIC_BASE, pcIoapic } from './ioapic.ts';
import { LocalApic } from './local-apic.ts';
import { LocalApicMsrs } from './local-apic-registers.ts';

const PAGE = 0xfee0_0000;

function bench(count = 1) {
  const clock = { time: 0, now: () => clock.time };
  const timers = new TimerQueue(clock);
  const bus = new SystemBus();
  const messages = new ApicBus(bus);
  const calls: string[] = [];
  const apics = Array.from({ length: count }, (_, id) => {
    const note = (what: string) => (): void => {
      calls.push(`${what}${id}`);
    };
    const cpu = {
      raise: note('raise'),
      nmi: note('nmi'),
      smi: note('smi'),
      init: note('init'),
      startUp: (vector: number) => {
        calls.push(`sipi${id}:${vector}`);
      },
    };
    return new LocalApic({
      id,
      bootstrap: id === 0,
      timers,
      cpu,
      messages,
      acknowledgePic: () => 0x30,
      timeOfTsc: (low, high) => high * 2 ** 32 + low,
    });
  });
  apics.forEach((apic) => messages.add(apic));
  const ioapic = pcIoapic(bus, { apics: messages, acknowledgePic: () => 0x30 });
  const read = (at: number): number => bus.mmio.read(PAGE + at, 4);
  const write = (at: number, value: number): void => bus.mmio.write(PAGE + at, 4, value);
  const entry = (pin: number, low: number, high = 0): void => {
    [
      [0x10 + 2 * pin + 1, high],
      [0x10 + 2 * pin, low],
    ].forEach(([index, value]) => {
      bus.mmio.write(IOAPIC_BASE, 4, index!);
      bus.mmio.write(IOAPIC_BASE + 0x10, 4, value!);
    });
  };
  const readEntry = (pin: number): number => (bus.mmio.write(IOAPIC_BASE, 4, 0x10 + 2 * pin), bus.mmio.read(IOAPIC_BASE + 0x10, 4));
  const runTo = (time: number): void => {
    while (timers.nextDeadline() <= time) {
      clock.time = timers.nextDeadline();
      timers.runDue(clock.time);
    }
    clock.time = time;
  };
  for (const apic of apics) apic.writeSpurious(0x1ff);
  calls.length = 0;
  return { clock, bus, messages, apics, apic: apics[0]!, ioapic, calls, read, write, entry, readEntry, runTo };
}

test('a self-IPI is pending until acknowledged and in service until ended', () => {
  const { apic, calls, read, write } = bench();
  write(0x300, 0x4_0000 | 0x51);
  assert.ok(calls.includes('raise0'));
  assert.equal(read(0x220), 1 << 17);
  assert.equal(apic.acknowledge(), 0x51);
  assert.equal(read(0x120), 1 << 17);
  assert.equal(read(0xa0), 0x50);
  write(0xb0, 0);
  assert.equal(read(0x120), 0);
  assert.equal(apic.interruptPending(), false);
});

test('task priority holds back lower classes', () => {
  const { apic, write } = bench();
  write(0x80, 0x50);
  write(0x300, 0x4_0000 | 0x5f);
  assert.equal(apic.interruptPending(), false);
  write(0x80, 0x4f);
  assert.equal(apic.acknowledge(), 0x5f);
});

test('the periodic timer keeps its rate, the one-shot fires once', () => {
  const { apic, write, read, runTo } = bench();
  let fired = 0;
  write(0x3e0, 0x3); // divide by 16
  write(0x320, 0x2_0040);
  write(0x380, 62_500); // 1 ms
  for (let ms = 1; ms <= 1000; ms++) {
    runTo(ms * 1e6);
    if (apic.interruptPending()) {
      fired++;
      apic.acknowledge();
      apic.endOfInterrupt();
    }
  }
  assert.equal(fired, 1000);
  runTo(1000.5e6);
  assert.equal(read(0x390), 31_250);
  write(0x320, 0x40);
  write(0x380, 1000);
  runTo(2e9);
  assert.equal(apic.acknowledge(), 0x40);
  assert.equal(read(0x390), 0);
});

test('changing between one-shot and periodic neither resets the count nor revives an expired one', () => {
  const { write, read, runTo } = bench();
  write(0x3e0, 0xb); // divide by 1
  write(0x320, 0x40);
  write(0x380, 1000);
  runTo(600);
  write(0x320, 0x2_0040);
  assert.equal(read(0x390), 400);
  runTo(1100);
  assert.equal(read(0x390), 900);
  write(0x320, 0x40);
  assert.equal(read(0x390), 900);
  runTo(2500);
  write(0x320, 0x2_0040);
  assert.deepEqual([read(0x390), read(0x380)], [0, 1000]);
});

test('a TSC deadline in the past fires at once', () => {
  const { apic, clock, write } = bench();
  const msr = new LocalApicMsrs(apic, 40);
  write(0x320, 0x4_0041);
  clock.time = 5000;
  assert.ok(msr.write(0x6e0, 4000, 0));
  assert.equal(apic.acknowledge(), 0x41);
  assert.ok(msr.read(0x6e0));
  assert.equal(msr.low, 0);
});

test('a one-shot that is over stays at zero when the timer becomes periodic before its alarm has come', () => {
  const { clock, write, read } = bench();
  write(0x3e0, 0xb);
  write(0x320, 0x40);
  write(0x380, 1000);
  clock.time = 1500;
  write(0x320, 0x2_0040);
  assert.equal(read(0x390), 0);
});

test('the TSC deadline fires at its time and reads zero afterwards', () => {
  const { apic, write, runTo } = bench();
  const msr = new LocalApicMsrs(apic, 40);
  write(0x320, 0x4_0041);
  assert.ok(msr.write(0x6e0, 5000, 1));
  assert.ok(msr.read(0x6e0));
  assert.deepEqual([msr.low, msr.high], [5000, 1]);
  runTo(2 ** 32 + 4999);
  assert.equal(apic.interruptPending(), false);
  runTo(2 ** 32 + 5000);
  assert.equal(apic.acknowledge(), 0x41);
  msr.read(0x6e0);
  assert.deepEqual([msr.low, msr.high], [0, 0]);
});

test('x2APIC mode is entered and left in the legal order, and moves the registers to MSRs', () => {
  const { apic, read } = bench();
  const msr = new LocalApicMsrs(apic, 40);
  assert.equal(msr.read(0x802), false);
  assert.ok(msr.write(0x1b, 0xfee0_0d00, 0));
  assert.equal(read(0x30), 0xffff_ffff);
  assert.ok(msr.read(0x803));
  assert.equal(msr.low & 0xff, 0x14);
  assert.equal(msr.write(0x1b, 0xfee0_0900, 0), false, 'not back to xAPIC');
  assert.equal(msr.write(0x80b, 1, 0), false, 'EOI takes zero only');
  assert.equal(msr.read(0x80b), false);
  assert.ok(msr.write(0x83f, 0x77, 0));
  assert.equal(apic.acknowledge(), 0x77);
  assert.ok(msr.write(0x1b, 0xfee0_0100, 0));
  assert.equal(msr.write(0x1b, 0xfee0_0d00, 0), false, 'not from disabled to x2APIC');
  assert.ok(msr.write(0x1b, 0xfee0_0900, 0));
});

test('ExtINT passes the 8259, and the mask of LINT0 stops it', () => {
  const { apic, write } = bench();
  write(0x350, 0x700);
  apic.setLint(0, true);
  assert.equal(apic.acknowledge(), 0x30);
  write(0x350, 0x1_0700);
  assert.equal(apic.interruptPending(), false);
});

test('IPIs reach whom they name: physical, logical flat, all but self, INIT and start-up', () => {
  const { apics, calls, write } = bench(3);
  apics.forEach((apic, id) => {
    apic.state.ldr = (1 << (24 + id)) >>> 0;
  });
  write(0x310, 2 << 24);
  write(0x300, 0x61);
  write(0x310, 0x06 << 24);
  write(0x300, 0x862);
  write(0x300, 0xc_0063);
  assert.deepEqual(
    apics.map((apic) => apic.acknowledge()),
    [-1, 0x63, 0x63],
  );
  write(0x310, 1 << 24);
  write(0x300, 0x4500);
  write(0x300, 0x4699);
  write(0x300, 0x400);
  assert.deepEqual(
    calls.filter((call) => /init|sipi|nmi/.test(call)),
    ['init1', 'sipi1:153', 'nmi1'],
  );
});

test('illegal vectors are in the error status after a write to it', () => {
  const { read, write } = bench();
  write(0x300, 0x4_0005);
  assert.equal(read(0x280), 0);
  write(0x280, 0);
  assert.equal(read(0x280), 0x20);
  write(0x280, 0);
  assert.equal(read(0x280), 0);
});

test('an edge on an I/O APIC pin is delivered once; while masked it is lost', () => {
  const { apic, ioapic, entry } = bench();
  ioapic.setPin(5, true);
  entry(5, 0x45);
  assert.equal(apic.interruptPending(), false);
  ioapic.setPin(5, false);
  ioapic.setPin(5, true);
  assert.equal(apic.acknowledge(), 0x45);
  apic.endOfInterrupt();
  assert.equal(apic.interruptPending(), false);
});

test('a level comes again after the end of interrupt for as long as it is asserted', () => {
  const { apic, ioapic, entry, readEntry } = bench();
  entry(10, 0x804a | 0x2000);
  ioapic.setPin(10, true);
  assert.equal(readEntry(10) & 0x4000, 0x4000);
  assert.equal(apic.acknowledge(), 0x4a);
  assert.equal(apic.interruptPending(), false);
  apic.endOfInterrupt();
  assert.equal(apic.acknowledge(), 0x4a);
  ioapic.setPin(10, false);
  apic.endOfInterrupt();
  assert.equal(apic.interruptPending(), false);
  assert.equal(readEntry(10) & 0x4000, 0);
});

test('a message-signalled interrupt goes straight to the processor', () => {
  const { apic, messages } = bench();
  messages.sendMessage(0xfee0_0000, 0x4055);
  assert.equal(apic.acknowledge(), 0x55);
});
