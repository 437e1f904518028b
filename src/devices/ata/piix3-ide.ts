// The IDE function of the PIIX3 (82371SB, function 1): two channels at the ports of the AT and a bus master for each.
// Not the slave timing of later chips.
import { busMasterMemory } from '../../bus/bus-master.ts';
import type { PciBus } from '../../bus/pci-bus.ts';
import type { PciFunction, PciHeader } from '../../bus/pci-function.ts';
import type { RegisterNames } from '../../bus/address-space.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import { BusMasterIde, readBusMaster, writeBusMaster } from './bus-master-ide.ts';
import { claimIdePorts, IdeChannel } from './ide-channel.ts';

const PORTS = [
  { command: 0x1f0, control: 0x3f6 },
  { command: 0x170, control: 0x376 },
] as const;
const BUS_MASTER_BYTES = 16;

/** QUIRK: both channels of the IDE function are enabled from reset on, as firmware would leave them, and are always decoded. */
const TIMING_ENABLED = 0x80;

const header = {
  name: 'piix3-ide',
  vendorId: 0x8086,
  deviceId: 0x7010,
  classCode: 0x01_0180,
  subsystemVendorId: 0x1af4,
  subsystemId: 0x1100,
  initial: { 0x06: 0x80, 0x07: 0x02, 0x41: TIMING_ENABLED, 0x43: TIMING_ENABLED },
  writable: { 0x40: 0xff, 0x41: 0xf3, 0x42: 0xff, 0x43: 0xf3 },
} as const satisfies PciHeader;

export interface Piix3IdeOptions {
  /** ISA interrupts 14 and 15. */
  readonly irqs: readonly [IrqLine, IrqLine];
  readonly slot?: number;
  readonly number?: number;
}

export interface Piix3IdeParts {
  readonly function: PciFunction;
  readonly channels: readonly [IdeChannel, IdeChannel];
  readonly masters: readonly [BusMasterIde, BusMasterIde];
}

// prettier-ignore
const busMasterNames: RegisterNames = {
  offsets: [0, 8].flatMap((base) => [{ at: base, name: 'COMMAND' }, { at: base + 2, name: 'STATUS' }, { at: base + 4, name: 'TABLE' }]),
};

export function piix3Ide(pci: PciBus, { irqs, slot = 1, number = 1 }: Piix3IdeOptions): Piix3IdeParts {
  const channels = [new IdeChannel({ label: 'ata0', irq: irqs[0] }), new IdeChannel({ label: 'ata1', irq: irqs[1] })] as const;
  const memory = busMasterMemory(pci.memory, () => ide);
  const masters = [new BusMasterIde(channels[0], memory), new BusMasterIde(channels[1], memory)] as const;
  const master = (at: number): BusMasterIde => masters[at < 8 ? 0 : 1];
  channels.forEach((channel, index) => claimIdePorts(pci.bus, channel, PORTS[index]!));
  const ide: PciFunction = pci.add(slot, number, {
    ...header,
    bars: [{
      index: 4, space: 'io',
      region: {
        size: BUS_MASTER_BYTES, name: 'ide-bus-master', widthMax: 4, registers: busMasterNames,
        read(at, size) {
          let value = 0;
          for (let index = 0; index < size; index++) value |= readBusMaster(master(at), (at + index) & 7) << (8 * index);
          return value >>> 0;
        },
        write(at, size, value) {
          for (let index = 0; index < size; index++) writeBusMaster(master(at), (at + index) & 7, (value >>> (8 * index)) & 0xff);
        },
      },
    }],
  });
  return { function: ide, channels, masters };
}
