// Guest memory as a bus-mastering device reaches it. An address that is no RAM has no view: the device reports a bus error
// in its own words. Implemented over memory/physical-map.ts by the board.

export interface DmaMemory {
  /** A live view of guest RAM; undefined when any of it lies outside. */
  view(address: number, size: number): Uint8Array | undefined;
  /** To be called after bytes of a view were changed: decoded code there is dropped, pages are marked dirty. */
  written(address: number, size: number): void;
}
