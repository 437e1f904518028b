// Every device on a small bench of its own, for the conformance checks and the fuzzer.
import { SystemBus } from '../bus/address-space.ts';
import { notConnected } from '../bus/irq.ts';
import { IsaBus } from '../bus/isa-bus.ts';
import { PciBus } from '../bus/pci-bus.ts';
import { TimerQueue } from '../bus/timer-queue.ts';
import { Prng } from '../base/prng.ts';
import type { CharBackend, CharFrontEnd } from '../ports/char-backend.ts';
import type { DmaMemory } from '../ports/dma.ts';
import { AtaDisk } from './ata/ata-disk.ts';
import { AtapiCd } from './ata/atapi-cd.ts';
import { piix3Ide } from './ata/piix3-ide.ts';
import { isaDebugcon } from './char/debugcon.ts';
import { isaSerial } from './char/isa-serial.ts';
import { i440fx } from './chipset/i440fx.ts';
import { piix3, PIIX3_ROUTES } from './chipset/piix3.ts';
import { piix4Pm } from './chipset/piix4-pm.ts';
import { PirqRouter } from './chipset/pirq-router.ts';
import { isaResetControl } from './chipset/reset-control.ts';
import type { ConformanceSubject } from './conformance.ts';
import { isaFwCfg, KEY } from './firmware/fw-cfg.ts';
import { isaPs2 } from './input/i8042.ts';
import { ApicBus } from './intc/apic-bus.ts';
import { pcIoapic } from './intc/ioapic.ts';
import { IsaPic } from './intc/isa-pic.ts';
import { LocalApic } from './intc/local-apic.ts';
import { LocalApicMsrs } from './intc/local-apic-registers.ts';
import { MemoryDrive } from './memory-drive.ts';
import { isaDebugExit } from './misc/debug-exit.ts';
import { pcTestdev } from './misc/pc-testdev.ts';
import { isaPort92 } from './misc/port92.ts';
import { MmcDrive } from './scsi/mmc-drive.ts';
import { pcHpet } from './timer/hpet.ts';
import { isaPit } from './timer/i8254.ts';
import { isaRtc } from './timer/mc146818.ts';

function bench(timeNs: number) {
  const clock = { timeNs, now: () => clock.timeNs };
  const timers = new TimerQueue(clock);
  const bus = new SystemBus();
  const irqs = Array.from({ length: 24 }, () => notConnected);
  return { clock, timers, bus, irqs, isa: new IsaBus(bus, timers, irqs.slice(0, 16)) };
}

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

function hpet(timeNs: number): ConformanceSubject {
  const base = bench(timeNs);
  const device = pcHpet(base.bus, { timers: base.timers, irq0: notConnected, irq8: notConnected, pins: base.irqs, sendMessage: () => {} });
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

/** RAM with something of everything in it, so that what a guest points at by chance is now and then a descriptor. */
function smallRam(): DmaMemory {
  const ram = new Uint8Array(1 << 16);
  const random = new Prng(1);
  for (let at = 0; at < ram.length; at += 4) ram[at + random.below(4)] = random.below(random.oneIn(2) ? 8 : 256);
  return { view: (address, size) => (address + size <= ram.length ? ram.subarray(address, address + size) : undefined), written: () => {} };
}

const ataIdentity = { model: 'SAMPLE', serial: 'S1', firmware: '1', wwn: 1n, physicalBlockBytes: 4096, rotationRate: 1 };

function drivesForStress(slow: boolean) {
  const disk = new MemoryDrive({ size: 1 << 20, slow });
  const disc = new MemoryDrive({ size: 64 << 11, readOnly: true, slow });
  const logicalUnit = new MmcDrive({ drive: disc, vendor: 'SAMPLE', product: 'CD', revision: '1', serial: 'C1' });
  const finish = [() => disk.finishOne(), () => disc.finishOne()];
  return { disk, disc, logicalUnit, stimuli: slow ? finish : [] };
}

const ide = (slow: boolean) => (timeNs: number): ConformanceSubject => {
  const base = bench(timeNs);
  const pci = new PciBus({ bus: base.bus, pirqs: base.irqs.slice(0, 4) });
  const { disk, logicalUnit, stimuli } = drivesForStress(slow);
  const parts = piix3Ide(pci, { memory: smallRam(), irqs: [base.isa.irq(14), base.isa.irq(15)] });
  const cd = new AtapiCd({ logicalUnit, identity: ataIdentity, serialAta: false });
  const hd = new AtaDisk({ drive: disk, identity: ataIdentity, serialAta: false });
  parts.channels[0].units[0] = hd;
  parts.channels[1].units[1] = cd;
  const { ports } = base.bus;
  const commands = [0x20, 0x24, 0x25, 0x30, 0x35, 0x06, 0xc4, 0xc5, 0xc8, 0xca, 0xec, 0xa0, 0xa1, 0xb0, 0x2f, 0xe7, 0x90, 0x08];
  const start = commands.flatMap((code) => [0x1f7, 0x177].map((port) => () => ports.write(port, 1, code)));
  const drain = [0x1f0, 0x170].flatMap((port) => [
    () => { for (let index = 0; index < 300; index++) ports.read(port, 2); },
    () => { for (let index = 0; index < 300; index++) ports.write(port, 2, index & 7 ? 0 : 0x28); },
  ]);
  return {
    ...base,
    stimuli: [...stimuli, ...start, ...drain, () => parts.function.writeConfig(0x20, 4, 0xc001), () => parts.function.writeConfig(4, 2, 5)],
    devices: {
      function: parts.function, hd, cd, logicalUnit, channel0: parts.channels[0], channel1: parts.channels[1],
      master0: parts.masters[0], master1: parts.masters[1], pci,
    },
  };
};

/** Every device by name, at a guest time. */
export const deviceSubjects: Readonly<Record<string, (timeNs: number) => ConformanceSubject>> = {
  pic,
  pit,
  rtc,
  apics,
  serial: serialOpen,
  chipset,
  ps2,
  firmware,
  hpet,
  misc,
  ide: ide(false),
};

/** Devices whose state depends on an outside that a fresh bench does not have: only "never throws" is asked of them. */
export const stressSubjects: Readonly<Record<string, (timeNs: number) => ConformanceSubject>> = { serial, ide: ide(true) };
