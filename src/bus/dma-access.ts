// A few bytes of guest memory for a device, without a view: making one takes longer than copying what a descriptor has.
import type { DmaMemory } from '../ports/dma.ts';

/** Copies RAM to the beginning of `target`; false when any of it is none. */
export function copyRam(memory: DmaMemory, address: number, count: number, target: Uint8Array): boolean {
  if (memory.copy !== undefined) return memory.copy(address, count, target);
  const view = memory.view(address, count);
  if (view !== undefined) target.set(view);
  return view !== undefined;
}

/** Changes one byte; nothing happens where it is no RAM. */
export function setRamByte(memory: DmaMemory, address: number, value: number): void {
  if (memory.setByte !== undefined) {
    memory.setByte(address, value);
    return;
  }
  const view = memory.view(address, 1);
  if (view === undefined) return;
  view[0] = value;
  memory.written(address, 1);
}
