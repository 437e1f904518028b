// What a machine is to what runs it: the parts that every board has, and those that a board may be without. The boards are in
// pc.ts and microvm.ts.
import type { SystemBus } from '../bus/address-space.ts';
import type { IsaBus } from '../bus/isa-bus.ts';
import type { ResetTree } from '../bus/reset-tree.ts';
import type { AcpiPm } from '../devices/chipset/acpi-pm.ts';
import type { FwCfg } from '../devices/firmware/fw-cfg.ts';
import type { I82077 } from '../devices/floppy/i82077.ts';
import type { LocalApic, LocalApicCpu } from '../devices/intc/local-apic.ts';
import type { LocalApicMsrs } from '../devices/intc/local-apic-registers.ts';
import type { Mc146818 } from '../devices/timer/mc146818.ts';
import type { VirtioMmio } from '../devices/virtio/virtio-mmio.ts';
import type { PhysicalMap } from '../memory/physical-map.ts';
import type { BootDrive } from '../ports/boot-drive.ts';
import type { CharBackend } from '../ports/char-backend.ts';
import type { Timers, WallClock } from '../ports/clock.ts';
import type { Chipset } from './chipset.ts';
import type { ShadowMemory } from './shadow-memory.ts';

/** The world that a board is built into. */
export interface BoardWires {
  readonly memory: PhysicalMap;
  readonly timers: Timers;
  readonly wall: WallClock;
  readonly serials: readonly (CharBackend | undefined)[];
  readonly cpu: LocalApicCpu;
  readonly timeOfTsc: (low: number, high: number) => number;
  /** The gate of address line 20: true passes it. */
  readonly a20: (open: boolean) => void;
  readonly reset: () => void;
  /** A sleep state of the chipset: 0 is soft off. */
  readonly sleep: (type: number) => void;
}

/** What any board can be without. */
export interface OptionalParts {
  /** The 8259s. */
  readonly pic: boolean;
  readonly pit: boolean;
}

export interface Board {
  readonly bus: SystemBus;
  readonly devices: ResetTree;
  readonly isa: IsaBus;
  readonly apic: LocalApic;
  readonly apicMsrs: LocalApicMsrs;
  readonly fwCfg: FwCfg;
  readonly shadow: ShadowMemory;
  /** The drives of all controllers in the order they were added: what firmware can boot from. */
  readonly bootDrives: BootDrive[];
  /** Serial ports so far: the next one takes the next address. */
  serialCount: number;
  readonly hasHpet: boolean;
  /** PCI and what comes with it. */
  readonly chipset?: Chipset;
  /** ACPI's fixed hardware. */
  readonly pm?: AcpiPm;
  readonly rtc?: Mc146818;
  readonly fdc?: I82077;
  /** Windows for virtio devices, in the order in which they are taken, and what -device calls them. */
  readonly virtioWindows: readonly { readonly name: string; readonly window: VirtioMmio }[];
  /** What the board adds to the command line of a kernel that is booted without firmware. */
  readonly kernelArguments?: () => string;
}
