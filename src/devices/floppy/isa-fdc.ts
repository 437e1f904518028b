// The diskette controller where a PC has it: ports 0x3f0..0x3f5 and 0x3f7 (0x3f6 is the IDE channel's), interrupt 6, DMA channel 2.
import type { SystemBus } from '../../bus/address-space.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import type { I8237 } from '../dma/i8237.ts';
import { disketteFormat } from './diskette.ts';
import { floppyChangeRegisters, floppyRegisters, I82077 } from './i82077.ts';

const BASE = 0x3f0;
const CHANGE = 0x3f7;
const DMA_CHANNEL = 2;
export const FDC_IRQ = 6;

export function isaFdc(bus: SystemBus, { irq, dma }: { readonly irq: IrqLine; readonly dma: I8237 }): I82077 {
  const fdc = new I82077({ irq, dma: dma.channel(DMA_CHANNEL) });
  bus.claimPorts({
    base: BASE, size: 6, name: 'fdc', registers: floppyRegisters,
    read: (at) => floppyRegisters.read(fdc, at), write: (at, _size, value) => floppyRegisters.write(fdc, at, value),
  });
  bus.claimPorts({
    base: CHANGE, size: 1, name: 'fdc-change', registers: floppyChangeRegisters,
    read: (at) => floppyChangeRegisters.read(fdc, at), write: (at, _size, value) => floppyChangeRegisters.write(fdc, at, value),
  });
  return fdc;
}

const CMOS = { DRIVE_TYPES: 0x10, EQUIPMENT: 0x14 } as const;
const EQUIPMENT_DRIVES = 0xc1;

/** The CMOS bytes that firmware knows the drives by: their types, 4 bits each, and the equipment byte with their number. */
export function floppyCmos({ drives }: I82077, cmos: Uint8Array): Record<number, number> {
  const typeOf = (number: number): number => {
    const drive = drives[number];
    return drive === undefined ? 0 : disketteFormat(drive.size).driveType;
  };
  const count = drives.filter((drive) => drive !== undefined).length;
  const equipment = (cmos[CMOS.EQUIPMENT]! & ~EQUIPMENT_DRIVES) | (count === 0 ? 0 : 1 | ((count - 1) << 6));
  return { [CMOS.DRIVE_TYPES]: (typeOf(0) << 4) | typeOf(1), [CMOS.EQUIPMENT]: equipment };
}
