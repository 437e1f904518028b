// A PC board: interrupt controllers, timers, serial ports, a chipset, and what -device adds. Wiring only: what leads where.
// The chipsets are in pc-chipset.ts and its neighbours, behaviour is in devices/, time and the processor's loop in vm/.
import { SystemBus } from '../bus/address-space.ts';
import { WiredOr } from '../bus/irq.ts';
import { ResetTree } from '../bus/reset-tree.ts';
import { addSerialPorts } from '../devices/char/isa-serial.ts';
import { isaDma } from '../devices/dma/i8237.ts';
import type { I82077 } from '../devices/floppy/i82077.ts';
import { FDC_IRQ, isaFdc } from '../devices/floppy/isa-fdc.ts';
import { IOAPIC_PINS } from '../devices/intc/ioapic.ts';
import { isaFwCfg } from '../devices/firmware/fw-cfg.ts';
import { isaPs2 } from '../devices/input/i8042.ts';
import { pcLegacyPorts } from '../devices/misc/legacy-ports.ts';
import { isaPort92 } from '../devices/misc/port92.ts';
import { pcHpet } from '../devices/timer/hpet.ts';
import { isaPit } from '../devices/timer/i8254.ts';
import { cmosMemorySizes, isaRtc, type Mc146818 } from '../devices/timer/mc146818.ts';
import type { BootDrive } from '../ports/boot-drive.ts';
import type { IrqLine } from '../ports/irq-line.ts';
import type { Board, BoardWires, OptionalParts } from './board.ts';
import type { Chipset, ChipsetBuilder } from './chipset.ts';
import { InterruptControllers } from './interrupt-controllers.ts';
import { ShadowMemory } from './shadow-memory.ts';

export interface PcOptions extends BoardWires, OptionalParts {
  readonly chipset: ChipsetBuilder;
  readonly hpet: boolean;
}

export class PcBoard implements Board {
  readonly bus = new SystemBus();
  readonly devices = new ResetTree();
  readonly isa: Board['isa'];
  readonly chipset: Chipset;
  readonly apic: Board['apic'];
  readonly apicMsrs: Board['apicMsrs'];
  readonly pm: Chipset['pm'];
  readonly fwCfg: Board['fwCfg'];
  readonly rtc: Mc146818;
  readonly fdc: I82077;
  serialCount: number;
  readonly hasHpet: boolean;
  readonly bootDrives: BootDrive[] = [];
  readonly shadow: ShadowMemory;
  readonly virtioWindows = [];

  constructor(options: PcOptions) {
    const { memory, timers, wall, reset, sleep } = options;
    const { bus, devices } = this;
    const interrupts = new InterruptControllers({ ...options, bus });
    this.hasHpet = options.hpet;
    this.apic = interrupts.apic;
    this.apicMsrs = interrupts.apicMsrs;
    this.isa = interrupts.isa;
    const ioapicPin = (n: number): IrqLine => interrupts.ioapicPin(n);
    const sendMessage = (address: number, data: number): void => interrupts.sendMessage(address, data);

    this.shadow = new ShadowMemory(memory, bus);
    const pamChanged: ShadowMemory['applyPam'] = (regions) => this.shadow.applyPam(regions);
    const wires = { bus, isa: this.isa, ioapicPin, devices, timers, memory, sendMessage, reset, sleep, pamChanged };
    this.chipset = options.chipset(wires);
    this.pm = this.chipset.pm;

    // The HPET can take the place of the PIT's and the RTC's interrupts, so theirs go through it.
    const hpet = options.hpet
      ? pcHpet(bus, {
          timers, irq0: this.isa.irq(0), irq8: this.isa.irq(8), pins: Array.from({ length: IOAPIC_PINS }, (_, n) => ioapicPin(n)),
          sendMessage, pitHeard: (isHeard) => pit?.setHeard(isHeard),
        })
      : undefined;
    const pit = options.pit ? isaPit(bus, { timers, irq: hpet?.pitInput ?? this.isa.irq(0) }) : undefined;
    if (pit !== undefined) devices.add('pit', pit);
    const cmos = cmosMemorySizes(memory.ramBytes, 0);
    this.rtc = isaRtc(bus, { timers, wall, irq: hpet?.rtcInput ?? this.isa.irq(8), cmos });
    devices.add('rtc', this.rtc);
    if (hpet !== undefined) devices.add('hpet', hpet);
    const a20 = new WiredOr({ set: options.a20 });
    const ps2 = isaPs2(this.isa, { a20: a20.input(), reset });
    devices.add('i8042', ps2.controller);
    devices.add('ps2-keyboard', ps2.keyboard);
    devices.add('ps2-mouse', ps2.mouse);
    devices.add('port92', isaPort92(bus, { a20: a20.input(), reset }));
    pcLegacyPorts(bus);
    const [dma, wordDma] = isaDma(bus, memory);
    devices.add('dma', dma);
    devices.add('dma-word', wordDma);
    this.fdc = isaFdc(bus, { irq: this.isa.irq(FDC_IRQ), dma });
    devices.add('fdc', this.fdc);
    this.fwCfg = isaFwCfg(bus, { memory });
    devices.add('fw-cfg', this.fwCfg);
    this.serialCount = addSerialPorts(this.isa, devices, options.serials);
    interrupts.addTo(devices);
  }
}
