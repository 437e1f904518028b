// A guest RAM of plain bytes and the boot input that goes with it, for the tests of the loaders.
import { memoryMap } from '../e820.ts';
import type { RamWriter } from '../guest-ram.ts';
import type { BootInput } from './boot-input.ts';

export interface TestMachine {
  readonly ram: Uint8Array;
  readonly write: RamWriter;
  readonly input: (kernel: Uint8Array, rest?: Partial<BootInput>) => BootInput;
}

/** RAM starts as 0xcc, so that what a loader must clear shows. */
export function testMachine(ramBytes = 32 << 20): TestMachine {
  const memory = memoryMap(ramBytes, 8192);
  const ram = new Uint8Array(ramBytes).fill(0xcc);
  return {
    ram,
    write: (physical, bytes) => ram.set(bytes, physical),
    input: (kernel, rest = {}) => ({
      kernel, kernelName: 'kernel', commandLine: 'console=ttyS0', modules: [], memory, rsdpAddress: 0xf0000, longMode: true, ...rest,
    }),
  };
}

/** The NUL-terminated text at an address. */
export function textAt(ram: Uint8Array, address: number): string {
  return String.fromCharCode(...ram.subarray(address, ram.indexOf(0, address)));
}

export const moduleOf = (name: string, bytes: Uint8Array, commandLine = ''): BootInput['modules'][number] => ({ name, commandLine, bytes });
