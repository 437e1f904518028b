// A PC board: interrupt controllers, timers, serial ports, a chipset, and what -device adds. Wiring only: what leads where.
// The chipsets are in pc-chipset.ts and its neighbours, behaviour is in devices/, time and the processor's loop in vm/.
import type { SystemBus } from '../bus/address-space.ts';
import { SystemBus as Bus } from '../bus/address-space.ts';
import { IsaBus } from '../bus/isa-bus.ts';
import { fanOut, notConnected, WiredOr } from '../bus/irq.ts';
import type { PciBus } from '../bus/pci-bus.ts';
import { ResetTree } from '../bus/reset-tree.ts';
import type { AcpiPm } from '../devices/chipset/acpi-pm.ts';
import { ISA_SERIAL_DEFAULTS, isaSerial } from '../devices/char/isa-serial.ts';
import { isaDma } from '../devices/dma/i8237.ts';
import type { I82077 } from '../devices/floppy/i82077.ts';
import { FDC_IRQ, isaFdc } from '../devices/floppy/isa-fdc.ts';
import { ApicBus } from '../devices/intc/apic-bus.ts';
import { pcIoapic } from '../devices/intc/ioapic.ts';
import { IsaPic } from '../devices/intc/isa-pic.ts';
import { LocalApic, type LocalApicCpu } from '../devices/intc/local-apic.ts';
import { LocalApicMsrs } from '../devices/intc/local-apic-registers.ts';
import { isaFwCfg, type FwCfg } from '../devices/firmware/fw-cfg.ts';
import { isaPs2, type Ps2Parts } from '../devices/input/i8042.ts';
import { pcLegacyPorts } from '../devices/misc/legacy-ports.ts';
import { isaPort92 } from '../devices/misc/port92.ts';
import { pcHpet } from '../devices/timer/hpet.ts';
import { isaPit } from '../devices/timer/i8254.ts';
import { cmosMemorySizes, isaRtc, type Mc146818 } from '../devices/timer/mc146818.ts';
import type { PhysicalMap } from '../memory/physical-map.ts';
import type { BootDrive } from '../ports/boot-drive.ts';
import type { CharBackend } from '../ports/char-backend.ts';
import type { Timers, WallClock } from '../ports/clock.ts';
import type { IrqLine } from '../ports/irq-line.ts';
import type { Chipset, ChipsetBuilder } from './chipset.ts';
import { ShadowMemory } from './shadow-memory.ts';

const PHYSICAL_ADDRESS_BITS = 40;
const IOAPIC_PINS = 24;

export interface PcOptions {
  readonly chipset: ChipsetBuilder;
  readonly memory: PhysicalMap;
  readonly timers: Timers;
  readonly wall: WallClock;
  readonly serials: readonly (CharBackend | undefined)[];
  readonly cpu: LocalApicCpu;
  readonly timeOfTsc: (low: number, high: number) => number;
  /** The gate of address line 20: true passes it. */
  readonly a20: (open: boolean) => void;
  readonly reset: () => void;
  readonly hpet: boolean;
  /** A sleep state of the chipset: 0 is soft off. */
  readonly sleep: (type: number) => void;
}

export class PcBoard {
  readonly bus: SystemBus = new Bus();
  readonly devices = new ResetTree();
  readonly isa: IsaBus;
  readonly chipset: Chipset;
  readonly pci: PciBus;
  readonly apic: LocalApic;
  readonly apicMsrs: LocalApicMsrs;
  readonly pm: AcpiPm;
  readonly pic: IsaPic;
  readonly ps2: Ps2Parts;
  readonly fwCfg: FwCfg;
  readonly rtc: Mc146818;
  readonly fdc: I82077;
  /** Serial ports so far: the next one takes the next address. */
  serialCount = 0;
  /** The drives of all controllers in the order they were added: what firmware can boot from. */
  readonly bootDrives: BootDrive[] = [];
  readonly shadow: ShadowMemory;

  constructor(options: PcOptions) {
    const { memory, timers } = options;
    const { bus, devices } = this;

    // The interrupt controllers know each other: PIC -> LINT0 -> acknowledge, I/O APIC -> local APIC.
    const apics = new ApicBus(bus);
    this.pic = new IsaPic(bus, { int: { set: (level) => this.apic.setLint(0, level) } });
    const acknowledgePic = (): number => this.pic.acknowledge();
    const { cpu, timeOfTsc } = options;
    this.apic = new LocalApic({ id: 0, bootstrap: true, timers, cpu, messages: apics, acknowledgePic, timeOfTsc });
    apics.add(this.apic);
    this.apicMsrs = new LocalApicMsrs(this.apic, PHYSICAL_ADDRESS_BITS);
    const ioapic = pcIoapic(bus, { apics, acknowledgePic });
    const pins = Array.from({ length: IOAPIC_PINS }, (_, n) => new WiredOr(ioapic.pin(n)));
    const ioapicPin = (n: number): IrqLine => pins[n]!.input();
    // ISA interrupt n is the PIC's request n and the I/O APIC's pin n, but for the PIT's, which is pin 2.
    const isaIrq = (n: number): IrqLine => (n === 2 ? notConnected : fanOut(this.pic.line(n), ioapicPin(n === 0 ? 2 : n)));
    this.isa = new IsaBus(bus, timers, Array.from({ length: 16 }, (_, n) => isaIrq(n)));

    this.shadow = new ShadowMemory(memory, bus);
    const { reset, sleep } = options;
    const pamChanged: ShadowMemory['applyPam'] = (regions) => this.shadow.applyPam(regions);
    const sendMessage = (address: number, data: number): void => apics.sendMessage(address, data);
    const wires = { bus, isa: this.isa, ioapicPin, devices, timers, memory, sendMessage, reset, sleep, pamChanged };
    this.chipset = options.chipset(wires);
    this.pci = this.chipset.pci;
    this.pm = this.chipset.pm;

    // The HPET can take the place of the PIT's and the RTC's interrupts, so theirs go through it.
    const hpet = options.hpet
      ? pcHpet(bus, {
          timers, irq0: this.isa.irq(0), irq8: this.isa.irq(8), pins: pins.map((_, n) => ioapicPin(n)),
          sendMessage: (address, data) => apics.sendMessage(address, data), pitHeard: (isHeard) => pit.setHeard(isHeard),
        })
      : undefined;
    const pit = isaPit(bus, { timers, irq: hpet?.pitInput ?? this.isa.irq(0) });
    devices.add('pit', pit);
    const cmos = cmosMemorySizes(memory.ramBytes, 0);
    this.rtc = isaRtc(bus, { timers, wall: options.wall, irq: hpet?.rtcInput ?? this.isa.irq(8), cmos });
    devices.add('rtc', this.rtc);
    if (hpet !== undefined) devices.add('hpet', hpet);
    const a20 = new WiredOr({ set: options.a20 });
    this.ps2 = isaPs2(this.isa, { a20: a20.input(), reset: options.reset });
    devices.add('i8042', this.ps2.controller);
    devices.add('ps2-keyboard', this.ps2.keyboard);
    devices.add('ps2-mouse', this.ps2.mouse);
    devices.add('port92', isaPort92(bus, { a20: a20.input(), reset: options.reset }));
    pcLegacyPorts(bus);
    const [dma, wordDma] = isaDma(bus, memory);
    devices.add('dma', dma);
    devices.add('dma-word', wordDma);
    this.fdc = isaFdc(bus, { irq: this.isa.irq(FDC_IRQ), dma });
    devices.add('fdc', this.fdc);
    this.fwCfg = isaFwCfg(bus, { memory });
    devices.add('fw-cfg', this.fwCfg);
    for (const [n, backend] of options.serials.slice(0, ISA_SERIAL_DEFAULTS.length).entries()) {
      if (backend === undefined) continue;
      this.serialCount = n + 1;
      devices.add(`serial${n}`, isaSerial(this.isa, { ...ISA_SERIAL_DEFAULTS[n]!, backend }));
    }
    devices.add('ioapic', ioapic);
    devices.add('pic-slave', this.pic.slave);
    devices.add('pic-master', this.pic.master);
    devices.add('apic', this.apic);
  }
}
