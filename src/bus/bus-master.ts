// Guest memory as a PCI function reaches it: only while its command register lets it master the bus.
import type { DmaMemory } from '../ports/dma.ts';
import { copyRam, setRamByte } from './dma-access.ts';
import { COMMAND, PCI, type PciFunction } from './pci-function.ts';

/** `master` gives the function, which its device may have to make after itself. */
export function busMasterMemory(memory: DmaMemory, master: () => PciFunction | undefined): DmaMemory {
  const isMaster = (): boolean => ((master()?.byte(PCI.COMMAND) ?? 0) & COMMAND.MASTER) !== 0;
  return {
    view: (address, size) => (isMaster() ? memory.view(address, size) : undefined),
    copy: (address, count, target) => isMaster() && copyRam(memory, address, count, target),
    setByte: (address, value) => { if (isMaster()) setRamByte(memory, address, value); },
    written: (address, size) => memory.written(address, size),
  };
}
