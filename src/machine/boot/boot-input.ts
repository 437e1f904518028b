// What a loader of a boot protocol is given: files already read, the memory map, where the tables are.
import { Failure } from '../../base/failure.ts';
import type { MemoryMap } from '../e820.ts';

export interface BootModule {
  readonly name: string;
  /** What follows the file name in `-initrd "file args"` (Multiboot); empty otherwise. */
  readonly commandLine: string;
  readonly bytes: Uint8Array;
}

export interface BootInput {
  readonly kernel: Uint8Array;
  /** As on the command line, for messages and for Multiboot's command line. */
  readonly kernelName: string;
  readonly commandLine: string;
  /** `-initrd`: one for Linux and PVH, any number for Multiboot. */
  readonly modules: readonly BootModule[];
  readonly memory: MemoryMap;
  readonly rsdpAddress: number;
  /** Whether the processor has long mode: without it only the 32-bit entries are used. */
  readonly longMode: boolean;
}

/** The name every loader reports to the guest. */
export const LOADER_NAME = 'nandu';

/** For modules that do not fit: QEMU's wording, with the largest size that would. */
export function moduleTooLarge(maxBytes: number, needBytes: number): Failure {
  return new Failure('no-space', `initrd is too large, cannot support.(max: ${Math.max(0, maxBytes)}, need ${needBytes})`);
}
