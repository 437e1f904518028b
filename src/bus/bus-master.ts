// Guest memory as a PCI function reaches it: only while its command register lets it master the bus.
import type { DmaMemory } from '../ports/dma.ts';
import { COMMAND, PCI, type PciFunction } from './pci-function.ts';

/** `master` gives the function, which its device may have to make after itself. */
export function busMasterMemory(memory: DmaMemory, master: () => PciFunction | undefined): DmaMemory {
  return {
    view(address, size) {
      const command = master()?.byte(PCI.COMMAND) ?? 0;
      return (command & COMMAND.MASTER) === 0 ? undefined : memory.view(address, size);
    },
    written: (address, size) => memory.written(address, size),
  };
}
