// Every device on a small bench of its own, for the conformance checks and the fuzzer.
import { notConnected } from '../bus/irq.ts';
import { PciBus } from '../bus/pci-bus.ts';
import type { CharBackend, CharFrontEnd } from '../ports/char-backend.ts';
import type { Drive } from '../ports/disk.ts';
import { isaDebugcon } from './char/debugcon.ts';
import { isaSerial } from './char/isa-serial.ts';
import { i440fx } from './chipset/i440fx.ts';
import { ICH9, ich9Lpc, ich9Route, ICH9_ROUTES, ICH9_SLOT } from './chipset/ich9-lpc.ts';
import { mch, MCH_PAM, PCIEXBAR } from './chipset/mch.ts';
import { piix3, PIIX3_ROUTES } from './chipset/piix3.ts';
import { piix4Pm } from './chipset/piix4-pm.ts';
import { PirqRouter } from './chipset/pirq-router.ts';
import { isaResetControl } from './chipset/reset-control.ts';
import { bench } from './conformance-bench.ts';
import type { ConformanceSubject } from './conformance.ts';
import { diskStressSubjects, diskSubjects } from './disk-subjects.ts';
import { claimFlash, PflashCfi01 } from './flash/pflash-cfi01.ts';
import { isaFwCfg, KEY } from './firmware/fw-cfg.ts';
import { isaPs2 } from './input/i8042.ts';
import { ApicBus } from './intc/apic-bus.ts';
import { pcIoapic } from './intc/ioapic.ts';
import { IsaPic } from './intc/isa-pic.ts';
import { LocalApic } from './intc/local-apic.ts';
import { LocalApicMsrs } from './intc/local-apic-registers.ts';
import { isaDebugExit } from './misc/debug-exit.ts';
import { pcTestdev } from './misc/pc-testdev.ts';
import { isaPort92 } from './misc/port92.ts';
import { pcHpet } from './timer/hpet.ts';
import { isaPit } from './timer/i8254.ts';
import { isaRtc } from './timer/mc146818.ts';

/** A back end that is full every now and then. */
class FussyBackend implements CharBackend {
  frontEnd: CharFrontEnd | undefined;
  open = true;

  connect(frontEnd: CharFrontEnd | undefined): void {
    this.frontEnd = frontEnd;
  }

  write(bytes: Uint8Array): number {
    return this.open ? bytes.length : 0;
  }

  acceptInput(): void {}

  async close(): Promise<void> {}

  send(): void {
    if ((this.frontEnd?.canReceive() ?? 0) > 0) this.frontEnd?.receive(Uint8Array.of(0x41));
  }

  toggle(): void {
    this.open = !this.open;
    if (this.open) this.frontEnd?.writable?.();
  }
}

const cpu = { raise: () => {}, nmi: () => {}, smi: () => {}, init: () => {}, startUp: () => {} };
const a20 = notConnected;
const reset = (): void => {};

function pic(timeNs: number): ConformanceSubject {
  const { isa: _isa, ...base } = bench(timeNs);
  const pair = new IsaPic(base.bus, { int: notConnected });
  const stimuli = [0, 1, 3, 7, 8, 15].flatMap((irq) => [true, false].map((level) => () => pair.line(irq).set(level)));
  return { ...base, devices: { master: pair.master, slave: pair.slave }, stimuli: [...stimuli, () => pair.acknowledge()], kept: [] };
}

function pit(timeNs: number): ConformanceSubject {
  const base = bench(timeNs);
  return { ...base, devices: { pit: isaPit(base.bus, { timers: base.timers, irq: notConnected }) } };
}

function rtc(timeNs: number): ConformanceSubject {
  const base = bench(timeNs);
  const wall = { nowMs: () => 1_700_000_000_000 + base.clock.timeNs / 1e6 };
  const device = isaRtc(base.bus, { timers: base.timers, wall, irq: notConnected });
  return { ...base, devices: { rtc: device }, kept: ['cmos', 'offsetMs', 'seenMs', 'periodSeenNs'] };
}

function apics(timeNs: number): ConformanceSubject {
  const base = bench(timeNs);
  const messages = new ApicBus(base.bus);
  const pair = new IsaPic(base.bus, { int: { set: (level) => local[0]!.setLint(0, level) } });
  const options = {
    timers: base.timers,
    cpu,
    messages,
    acknowledgePic: () => pair.acknowledge(),
    timeOfTsc: (low: number, high: number) => high * 2 ** 32 + low,
  };
  const local = [0, 1].map((id) => new LocalApic({ ...options, id, bootstrap: id === 0 }));
  for (const apic of local) messages.add(apic);
  const ioapic = pcIoapic(base.bus, { apics: messages, acknowledgePic: () => pair.acknowledge() });
  const msrs = local.map((apic) => new LocalApicMsrs(apic, 40));
  let turn = 0;
  const stimuli = [
    ...[0, 4, 9, 23].flatMap((pin) => [true, false].map((level) => () => ioapic.setPin(pin, level))),
    ...[true, false].map((level) => () => pair.line(4).set(level)),
    ...local.map((apic) => () => {
      if (apic.interruptPending()) apic.acknowledge();
    }),
    ...local.map((apic) => () => apic.endOfInterrupt()),
    () => {
      messages.current = local[turn++ & 1];
    },
    ...msrs.flatMap((msr) =>
      Array.from({ length: 64 }, (_, index) => () => {
        if (msr.read(0x800 + index)) msr.write(0x800 + index, msr.low, msr.high);
      }),
    ),
    ...msrs.flatMap((msr) => [0x900, 0xd00, 0x800, 0x100, 0].map((mode) => () => msr.write(0x1b, 0xfee0_0000 + mode, 0))),
    () => msrs[0]!.write(0x6e0, base.clock.timeNs + 1000, 0),
  ];
  return {
    ...base,
    stimuli,
    devices: { apic0: local[0]!, apic1: local[1]!, ioapic, master: pair.master, slave: pair.slave },
    kept: ['inputs', 'lint0'],
  };
}

function serial(timeNs: number): ConformanceSubject {
  const base = bench(timeNs);
  const backend = new FussyBackend();
  const uart = isaSerial(base.isa, { iobase: 0x3f8, irq: 4, backend });
  return {
    ...base,
    devices: { uart },
    stimuli: [() => backend.send(), () => backend.frontEnd?.event?.('break'), () => backend.toggle(), () => backend.send()],
  };
}

/** A full back end keeps bytes, and a restored machine has another back end: so here it never is. */
const serialOpen = (timeNs: number): ConformanceSubject => {
  const subject = serial(timeNs);
  return { ...subject, stimuli: [subject.stimuli![0]!, subject.stimuli![1]!] };
};

function chipset(timeNs: number): ConformanceSubject {
  const base = bench(timeNs);
  const router = new PirqRouter({ irqs: Array.from({ length: 16 }, (_, irq) => base.isa.irq(irq)), registers: PIIX3_ROUTES });
  const pci = new PciBus({ bus: base.bus, pirqs: PIIX3_ROUTES.map((_, pirq) => router.line(pirq)) });
  const host = i440fx(pci, { pamChanged: () => {} });
  const bridge = piix3(pci, router);
  const resetControl = isaResetControl(base.bus, reset);
  const { pm, function: power } = piix4Pm(base.bus, pci, { timers: base.timers, sci: base.isa.irq(9), sleep: () => {} });
  const card = pci.add(3, 0, {
    name: 'card',
    vendorId: 0x1234,
    deviceId: 1,
    classCode: 0xff_0000,
    interruptPin: 1,
    bars: [
      { index: 0, space: 'io', region: { size: 16, name: 'card-io', widthMax: 4, read: () => 0, write: () => {} } },
      { index: 1, space: 'memory', region: { size: 4096, name: 'card-memory', widthMax: 4, read: () => 0, write: () => {} } },
    ],
  });
  // A guest selects registers of functions that exist more often than by chance.
  const select = [0, 0x800, 0xb00, 0x1800].flatMap((address) =>
    [0x04, 0x10, 0x14, 0x40, 0x58, 0x60, 0x80].map(
      (register) => () => base.bus.ports.write(0xcf8, 4, (0x8000_0000 | address | register) >>> 0),
    ),
  );
  const stimuli = [
    ...select,
    () => card.setInterrupt(true),
    () => card.setInterrupt(false),
    () => pm.pressPowerButton(),
    () => pm.raiseGpe(2),
  ];
  return { ...base, stimuli, devices: { pci, host, bridge, router, resetControl, power, pm, card } };
}

function q35(timeNs: number): ConformanceSubject {
  const base = bench(timeNs);
  const router = new PirqRouter({ irqs: Array.from({ length: 16 }, (_, irq) => base.isa.irq(irq)), registers: ICH9_ROUTES });
  const pci = new PciBus({ bus: base.bus, pirqs: ICH9_ROUTES.map((_, pirq) => router.line(pirq)), route: ich9Route });
  const host = mch(pci, { pamChanged: () => {} });
  const { bridge, pm, lpc } = ich9Lpc(base.bus, pci, { router, timers: base.timers, sci: base.isa.irq(9), sleep: () => {} });
  const place = (slot: number, at: number, value: number) => () => pci.writeConfig(slot << 3, at, 4, value);
  const stimuli = [
    place(0, PCIEXBAR, 0xb000_0001), place(0, PCIEXBAR, 0xe000_0003), place(0, PCIEXBAR, 0), place(0, MCH_PAM, 0x3333_3330),
    place(ICH9_SLOT, ICH9.PMBASE, 0x601), place(ICH9_SLOT, ICH9.ACPI_CONTROL, 0x80), place(ICH9_SLOT, ICH9.RCBA, 0xfed1_c001),
    place(ICH9_SLOT, ICH9_ROUTES[4], 0x0a0b_0a0b), () => router.line(5).set(true), () => router.line(5).set(false),
  ];
  return { ...base, stimuli, devices: { pci, host, bridge, router, pm, lpc } };
}

function ps2(timeNs: number): ConformanceSubject {
  const base = bench(timeNs);
  const { controller, keyboard, mouse } = isaPs2(base.isa, { a20, reset });
  const stimuli = [
    () => keyboard.key('a', true),
    () => keyboard.key('up', false),
    () => mouse.move(300, -5, 1, 1),
    () => mouse.move(0, 0, 0, 0),
  ];
  return {
    ...base,
    stimuli: stimuli.map((run) => () => {
      run();
    }),
    devices: { controller, keyboard, mouse },
  };
}

function firmware(timeNs: number): ConformanceSubject {
  const base = bench(timeNs);
  const ram = new Uint8Array(4096);
  const view = (address: number, bytes: number): Uint8Array | undefined =>
    address + bytes <= ram.length ? ram.subarray(address, address + bytes) : undefined;
  const fwCfg = isaFwCfg(base.bus, { memory: { view, written: () => {} } });
  fwCfg.addFile('etc/sample', () => Uint8Array.of(1, 2, 3));
  fwCfg.set(KEY.NB_CPUS, Uint8Array.of(1, 0));
  return { ...base, devices: { fwCfg } };
}

function flash(timeNs: number): ConformanceSubject {
  const base = bench(timeNs);
  const contents = new Uint8Array(0x2000).fill(0xff);
  const drive = { name: 'flash', size: contents.length, readOnly: false, write: () => {} } as unknown as Drive;
  const chip = new PflashCfi01({ name: 'flash', contents, showArray: () => {}, drive });
  claimFlash(base.bus, 0xffff_e000, chip, contents.length);
  const commands = [0x10, 0x20, 0xe8, 0x60, 0x70, 0x90, 0x98, 0xd0, 0xff, 0x50];
  return { ...base, stimuli: commands.map((command) => () => chip.write(command, 1, command)), devices: { chip } };
}

function hpet(timeNs: number): ConformanceSubject {
  const base = bench(timeNs);
  const lines = { irq0: notConnected, irq8: notConnected, pins: base.irqs };
  const device = pcHpet(base.bus, { timers: base.timers, ...lines, sendMessage: () => {}, pitHeard: () => {} });
  return {
    ...base,
    devices: { hpet: device },
    stimuli: [() => device.pitInput.set(true), () => device.rtcInput.set(true)],
    kept: ['pit', 'rtc'],
  };
}

function misc(timeNs: number): ConformanceSubject {
  const base = bench(timeNs);
  isaDebugcon(base.isa, {});
  isaDebugExit(base.isa, { iobase: 0xf4, iosize: 4, exit: () => {} });
  return { ...base, devices: { port92: isaPort92(base.bus, { a20, reset }), testdev: pcTestdev(base.bus, { irqs: base.irqs }) } };
}

/** Every device by name, at a guest time. */
export const deviceSubjects: Readonly<Record<string, (timeNs: number) => ConformanceSubject>> = {
  pic,
  pit,
  rtc,
  apics,
  serial: serialOpen,
  chipset,
  q35,
  ps2,
  firmware,
  flash,
  hpet,
  misc,
  ...diskSubjects,
};

/** Devices whose state depends on an outside that a fresh bench does not have: only "never throws" is asked of them. */
export const stressSubjects: Readonly<Record<string, (timeNs: number) => ConformanceSubject>> = { serial, ...diskStressSubjects };
