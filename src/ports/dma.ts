// Guest memory as a bus-mastering device reaches it. An address that is no RAM has no view: the device reports a bus error
// in its own words. Implemented over memory/physical-map.ts by the board.

export interface DmaMemory {
  /** A live view of guest RAM; undefined when any of it lies outside. */
  view(address: number, size: number): Uint8Array | undefined;
  /** Copies RAM to the beginning of `target`. False when any of it lies outside. Through a view where it is missing: bus/dma-access.ts. */
  copy?(address: number, count: number, target: Uint8Array): boolean;
  /** Changes one byte, with all that `written` does; nothing happens where it is no RAM. */
  setByte?(address: number, value: number): void;
  /** To be called after bytes of a view were changed: decoded code there is dropped, pages are marked dirty. */
  written(address: number, size: number): void;
}
