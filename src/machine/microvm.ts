// The board of machine `microvm`: no PCI, only windows for virtio devices, a serial port, and what an operating system needs of
// timers and interrupt controllers. Wiring only.
import { SystemBus } from '../bus/address-space.ts';
import { ResetTree } from '../bus/reset-tree.ts';
import { addSerialPorts } from '../devices/char/isa-serial.ts';
import { ACPI } from '../devices/chipset/acpi-pm.ts';
import { fixedPm } from '../devices/chipset/fixed-pm.ts';
import { isaResetControl } from '../devices/chipset/reset-control.ts';
import { isaFwCfg } from '../devices/firmware/fw-cfg.ts';
import { pcLegacyPorts } from '../devices/misc/legacy-ports.ts';
import { isaPit } from '../devices/timer/i8254.ts';
import { cmosMemorySizes, isaRtc } from '../devices/timer/mc146818.ts';
import { VirtioMmio, VIRTIO_MMIO_BYTES } from '../devices/virtio/virtio-mmio.ts';
import type { BootDrive } from '../ports/boot-drive.ts';
import type { IrqLine } from '../ports/irq-line.ts';
import type { Board, BoardWires, OptionalParts } from './board.ts';
import { InterruptControllers } from './interrupt-controllers.ts';
import { PAM_AREA, ShadowMemory } from './shadow-memory.ts';

/** QEMU's places. With ACPI the lines are pins of the I/O APIC that are no ISA interrupts. */
export const VIRTIO_WINDOWS = { BASE: 0xfeb0_0000, COUNT: 8, FIRST_PIN: 16, FIRST_ISA_IRQ: 5 } as const;

/** `-machine microvm`'s own properties. */
export interface MicrovmOptions {
  readonly rtc: boolean;
  readonly isaSerial: boolean;
  /** Tell a kernel where the virtio devices are on its command line, when it does not get it from ACPI. */
  readonly autoKernelCmdline: boolean;
  /** The virtio windows have the legacy interface (`-global virtio-mmio.force-legacy=`). */
  readonly legacyVirtio: boolean;
}

export const MICROVM_DEFAULTS: MicrovmOptions = { rtc: true, isaSerial: true, autoKernelCmdline: true, legacyVirtio: true };

/** Where window `n` is, and the interrupt of what is in it. */
export function virtioWindow(n: number, acpi: boolean): { readonly base: number; readonly interrupt: number } {
  const { BASE, FIRST_PIN, FIRST_ISA_IRQ } = VIRTIO_WINDOWS;
  return { base: BASE + n * VIRTIO_MMIO_BYTES, interrupt: (acpi ? FIRST_PIN : FIRST_ISA_IRQ) + n };
}

export interface MicrovmBoardOptions extends BoardWires, OptionalParts, MicrovmOptions {
  readonly acpi: boolean;
}

/**
 * QUIRK: Machine `microvm` has one I/O APIC, eight windows for virtio devices, and ACPI's fixed hardware at ports, as `pc` has; in QEMU
 * it has two, 24, and hardware-reduced ACPI. It boots kernels only: neither the built-in BIOS nor firmware runs on it.
 */
export class MicrovmBoard implements Board {
  readonly bus = new SystemBus();
  readonly devices = new ResetTree();
  readonly isa: Board['isa'];
  readonly apic: Board['apic'];
  readonly apicMsrs: Board['apicMsrs'];
  readonly pm?: NonNullable<Board['pm']>;
  readonly fwCfg: Board['fwCfg'];
  readonly rtc?: NonNullable<Board['rtc']>;
  serialCount = 0;
  readonly hasHpet = false;
  readonly bootDrives: BootDrive[] = [];
  readonly shadow: ShadowMemory;
  readonly virtioWindows: readonly { readonly name: string; readonly window: VirtioMmio; readonly interrupt: number }[];
  readonly #options: MicrovmBoardOptions;

  constructor(options: MicrovmBoardOptions) {
    this.#options = options;
    const { acpi, memory, timers, reset } = options;
    const { bus, devices } = this;
    const interrupts = new InterruptControllers({ ...options, bus });
    this.apic = interrupts.apic;
    this.apicMsrs = interrupts.apicMsrs;
    this.isa = interrupts.isa;
    this.shadow = new ShadowMemory(memory, bus);
    this.shadow.applyPam([{ ...PAM_AREA, readable: true, writable: true }]);

    // As in QEMU the first device gets the last window, and guests are told of the last one first.
    const irq = (interrupt: number): IrqLine => (acpi ? interrupts.ioapicPin(interrupt) : this.isa.irq(interrupt));
    this.virtioWindows = Array.from({ length: VIRTIO_WINDOWS.COUNT }, (_, n) => {
      const { base, interrupt } = virtioWindow(n, acpi);
      const window = new VirtioMmio({ bus, base, irq: irq(interrupt), memory, legacy: options.legacyVirtio });
      devices.add(`virtio-mmio${n}`, window);
      return { name: `virtio-mmio-bus.${n}`, window, interrupt };
    }).reverse();

    if (acpi) {
      this.pm = fixedPm(bus, { timers, sci: this.isa.irq(ACPI.SCI_IRQ), sleep: options.sleep });
      devices.add('acpi-pm', this.pm);
    }
    devices.add('reset-control', isaResetControl(bus, reset));
    if (options.pit) devices.add('pit', isaPit(bus, { timers, irq: this.isa.irq(0) }));
    if (options.rtc) {
      this.rtc = isaRtc(bus, { timers, wall: options.wall, irq: this.isa.irq(8), cmos: cmosMemorySizes(memory.ramBytes, 0) });
      devices.add('rtc', this.rtc);
    }
    pcLegacyPorts(bus);
    this.fwCfg = isaFwCfg(bus, { memory });
    devices.add('fw-cfg', this.fwCfg);
    if (options.isaSerial) this.serialCount = addSerialPorts(this.isa, devices, options.serials.slice(0, 1));
    interrupts.addTo(devices);
  }

  kernelArguments(): string {
    const { acpi, autoKernelCmdline } = this.#options;
    if (acpi || !autoKernelCmdline) return '';
    const occupied = this.virtioWindows.filter(({ window }) => window.device !== undefined);
    return occupied
      .map(({ window, interrupt }) => ` virtio_mmio.device=${VIRTIO_MMIO_BYTES}@0x${window.base.toString(16)}:${interrupt}`)
      .join('');
  }
}
