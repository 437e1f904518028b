// The block of memory that a loader fills with its information for the kernel: structures, strings and lists, packed one
// after the other. Pointers between them are the addresses that `add` returns. It keeps clear of what is already loaded.
import { Failure } from '../../base/failure.ts';
import { EBDA_ADDRESS, HIGH_MEMORY, type MemoryMap } from '../e820.ts';
import { alignUp, type RamWriter } from '../guest-ram.ts';

export interface LoadedRange {
  readonly start: number;
  readonly end: number;
}

const LOW_WINDOW: LoadedRange = { start: 0x9000, end: EBDA_ADDRESS };
const WINDOW_BYTES_MIN = 64 * 1024;

/** Low memory as usual; for a kernel that loads there, the first gap above 1 MiB. */
function freeWindow(occupied: readonly LoadedRange[], memory: MemoryMap): LoadedRange {
  const overlapsLow = ({ start, end }: LoadedRange): boolean => start < LOW_WINDOW.end && end > LOW_WINDOW.start;
  if (!occupied.some(overlapsLow)) return LOW_WINDOW;
  const high = occupied.filter(({ end }) => end > HIGH_MEMORY).sort((a, b) => a.start - b.start);
  let start = HIGH_MEMORY;
  for (const range of [...high, { start: memory.tableAddress, end: memory.tableAddress }]) {
    if (range.start - start >= WINDOW_BYTES_MIN) return { start, end: range.start };
    start = Math.max(start, alignUp(range.end, 4096));
  }
  throw new Failure('no-space', 'no room in RAM for the boot information');
}

export class LoaderArea {
  readonly #ram: RamWriter;
  readonly #end: number;
  #cursor: number;

  constructor(ram: RamWriter, occupied: readonly LoadedRange[], memory: MemoryMap) {
    this.#ram = ram;
    const { start, end } = freeWindow(occupied, memory);
    this.#cursor = start;
    this.#end = end;
  }

  /** Writes `bytes` at the next multiple of 8 and returns the address. */
  add(bytes: Uint8Array): number {
    const address = this.#reserve(bytes.length, 8);
    this.#ram(address, bytes);
    return address;
  }

  /** The same at a page boundary, for bytes that depend on where they lie. */
  addPages(sizeBytes: number, build: (address: number) => Uint8Array): number {
    const address = this.#reserve(sizeBytes, 4096);
    this.#ram(address, build(address));
    return address;
  }

  #reserve(sizeBytes: number, alignment: number): number {
    const address = alignUp(this.#cursor, alignment);
    if (address + sizeBytes > this.#end) throw new Failure('limit', 'kernel command lines and module list are too long');
    this.#cursor = address + sizeBytes;
    return address;
  }
}
