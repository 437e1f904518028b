// The NVMe controller as a PCI function: registers, doorbells and MSI-X tables in one base address register.
import { busMasterMemory } from '../../bus/bus-master.ts';
import { Msix, msixCapability, type MsixLayout } from '../../bus/msix.ts';
import type { PciBus } from '../../bus/pci-bus.ts';
import type { PciFunction, PciHeader } from '../../bus/pci-function.ts';
import type { Timers } from '../../ports/clock.ts';
import type { Drive } from '../../ports/disk.ts';
import { DOORBELLS, NvmeController, nvmeRegisters } from './nvme-controller.ts';
import { IO_QUEUES } from './nvme-spec.ts';

const VECTORS = IO_QUEUES + 1;
const BAR_BYTES = 0x4000;
const LAYOUT: MsixLayout = { vectors: VECTORS, bar: 0, tableOffset: 0x2000, pendingOffset: 0x3000 };

const header = {
  name: 'nvme',
  vendorId: 0x1b36,
  deviceId: 0x0010,
  revision: 2,
  classCode: 0x01_0802,
  subsystemVendorId: 0x1af4,
  subsystemId: 0x1100,
  interruptPin: 1,
  capabilities: [msixCapability(LAYOUT)],
} as const satisfies PciHeader;

export interface NvmeOptions {
  readonly timers: Timers;
  readonly drive: Drive;
  readonly serial: string;
  readonly slot: number;
  readonly number?: number;
  readonly multiFunction?: boolean;
  /** A power of two from 512. */
  readonly blockBytes?: number;
}

export interface NvmeParts {
  readonly function: PciFunction;
  readonly chip: NvmeController;
  readonly msix: Msix;
}

export function nvme(pci: PciBus, options: NvmeOptions): NvmeParts {
  const { timers, drive, serial, slot, number = 0, multiFunction = false, blockBytes = 512 } = options;
  const chip: NvmeController = new NvmeController({
    memory: busMasterMemory(pci.memory, () => own),
    timers,
    drive,
    identity: { serial, model: 'NANDU NVMe Ctrl', firmware: '1.0' },
    blockBytes,
    vectors: VECTORS,
    interrupt: (level) => own.setInterrupt(level),
    messages: { get enabled() { return msix.enabled; }, notify: (vector) => msix.notify(vector) },
  });
  const read = (at: number, size: number): number => {
    if (at < DOORBELLS) return nvmeRegisters.read(chip, at, size);
    if (at < LAYOUT.tableOffset) return 0;
    return at < LAYOUT.pendingOffset ? msix.readTable(at - LAYOUT.tableOffset, size) : msix.readPending(at - LAYOUT.pendingOffset, size);
  };
  const write = (at: number, size: number, value: number): void => {
    if (at < DOORBELLS) nvmeRegisters.write(chip, at, value, size);
    else if (at < LAYOUT.tableOffset) {
      if (size === 4 && (at & 3) === 0) chip.writeDoorbell((at - DOORBELLS) >> 2, value & 0xffff);
    } else if (at < LAYOUT.pendingOffset) msix.writeTable(at - LAYOUT.tableOffset, size, value);
  };
  const own: PciFunction = pci.add(slot, number, {
    ...header,
    multiFunction,
    bars: [{
      index: 0, space: 'memory', wide: true, region: { size: BAR_BYTES, name: 'nvme', widthMax: 4, registers: registerNames, read, write },
    }],
  });
  const msix = new Msix(own, LAYOUT, pci.sendMessage);
  return { function: own, chip, msix };
}

/** The registers and the doorbells of the first queues. */
const registerNames = {
  offsets: [
    ...nvmeRegisters.offsets,
    ...[0, 1, 2].flatMap((queue) => [
      { at: DOORBELLS + 8 * queue, name: `SQ${queue}TDBL` },
      { at: DOORBELLS + 8 * queue + 4, name: `CQ${queue}HDBL` },
    ]),
  ],
};
