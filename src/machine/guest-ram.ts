// How boot code puts bytes into guest RAM before the first instruction: a function, so that loaders and table builders
// stay pure of where the RAM is. The range is checked by the caller against the memory map (e820.ts).

export type RamWriter = (physical: number, bytes: Uint8Array) => void;

const ZEROES = new Uint8Array(256 * 1024);

/** Clears [start, start + sizeBytes) in bounded pieces. */
export function zeroRam(ram: RamWriter, start: number, sizeBytes: number): void {
  for (let done = 0; done < sizeBytes; done += ZEROES.length) {
    ram(start + done, ZEROES.subarray(0, Math.min(ZEROES.length, sizeBytes - done)));
  }
}

export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

export function alignDown(value: number, alignment: number): number {
  return Math.floor(value / alignment) * alignment;
}
