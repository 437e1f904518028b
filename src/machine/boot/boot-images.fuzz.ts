// Hostile boot images: well-formed ones with changed, cut and repeated bytes. A loader may load them or refuse them with a
// Failure; it must not throw anything else, write outside the guest's RAM, or write without bound.
import { assert } from '../../base/assert.ts';
import { Failure } from '../../base/failure.ts';
import { memoryMap, type MemoryMap } from '../e820.ts';
import type { RamWriter } from '../guest-ram.ts';
import { builtinGuest } from './builtin-guest.ts';
import { loadKernel } from './detect.ts';
import { elf32Multiboot, elf64Pvh, flatMultiboot } from './sample-images.ts';

const RAM_BYTES = 16 << 20;
/** A loader writes RAM at most once for each segment and for each module, and its own data. */
const WRITTEN_BYTES_MAX = 2 * RAM_BYTES;
/** Where headers lie: most changes go there. */
const HEADER_BYTES = 700;
const INTERESTING = [0, 1, 2, 3, 4, 0x7f, 0x80, 0xff];

/** xorshift32: small, and the same everywhere. */
function randomSource(seed: number): (limit: number) => number {
  let state = seed | 0 || 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

function mutate(image: Uint8Array, random: (limit: number) => number): Uint8Array {
  const result = image.slice(0, random(8) === 0 ? random(image.length) : image.length);
  if (result.length === 0) return result;
  for (let count = random(6); count >= 0; count--) {
    const at = random(random(4) === 0 ? result.length : Math.min(result.length, HEADER_BYTES));
    const value = random(3) === 0 ? random(256) : INTERESTING[random(INTERESTING.length)]!;
    result.fill(value, at, at + [1, 1, 2, 4, 8][random(5)]!);
  }
  return result;
}

/** Accepts what lies in RAM, so far as the budget goes. */
function boundedRam(memory: MemoryMap): RamWriter {
  let written = 0;
  return (physical, bytes) => {
    assert(Number.isInteger(physical) && physical >= 0 && physical + bytes.length <= memory.tableAddress, 'write outside RAM');
    written += bytes.length;
    assert(written <= WRITTEN_BYTES_MAX, 'unbounded writes');
  };
}

export interface FuzzResult {
  readonly loaded: number;
  readonly refused: number;
}

export function fuzzBootImages(seed: number, cases: number): FuzzResult {
  const images = [builtinGuest(), elf32Multiboot(), elf32Multiboot(0x8000), flatMultiboot(), elf64Pvh()];
  const random = randomSource(seed);
  const memory = memoryMap(RAM_BYTES, 8192);
  let loaded = 0;
  for (let n = 0; n < cases; n++) {
    const kernel = mutate(images[random(images.length)]!, random);
    const modules = random(2) === 0 ? [] : [{ name: 'm', commandLine: 'a b', bytes: new Uint8Array(random(100_000)) }];
    const commandLine = 'x'.repeat(random(300));
    const input = { kernel, kernelName: 'k', commandLine, modules, memory, rsdpAddress: 0xf0000, longMode: random(2) === 0 };
    try {
      const state = loadKernel(boundedRam(memory), input);
      assert(Number.isInteger(state.rip) && state.rip >= 0 && state.rip < 2 ** 53, 'no entry point');
      loaded++;
    } catch (error) {
      if (!(error instanceof Failure)) throw new Error(`seed ${seed}, case ${n}`, { cause: error });
    }
  }
  return { loaded, refused: cases - loaded };
}
