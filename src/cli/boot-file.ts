// What a file named to `nandu run` is, by its contents: a kernel, a disk image or a CD image. A file that is none of them, or cannot be
// read, counts as a kernel, whose loader says what is wrong with it.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { FORMAT_PROBES } from '../block/probes.ts';
import { isElf } from '../machine/boot/elf.ts';
import { isLinuxImage } from '../machine/boot/linux.ts';
import { findMultibootHeader } from '../machine/boot/multiboot.ts';

export type BootFileKind = 'kernel' | 'disk' | 'cd';

const HEAD_BYTES = 64 * 1024;
const ISO_9660 = { at: 0x8001, magic: 'CD001' } as const;

export function bootFileKind(path: string): BootFileKind {
  const head = readHead(path);
  if (head === undefined) return 'kernel';
  if (FORMAT_PROBES.some(({ probe }) => probe(head, path) > 0)) return 'disk';
  if (isLinuxImage(head) || isElf(head) || findMultibootHeader(head) !== undefined) return 'kernel';
  if (Buffer.from(head.subarray(ISO_9660.at, ISO_9660.at + ISO_9660.magic.length)).toString('latin1') === ISO_9660.magic) return 'cd';
  return head[510] === 0x55 && head[511] === 0xaa && head[0] !== 0x4d ? 'disk' : 'kernel';
}

/** Undefined for what is no regular file or cannot be read. */
function readHead(path: string): Uint8Array | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch {
    return undefined;
  }
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isFile() && !stat.isBlockDevice()) return undefined;
    const head = new Uint8Array(HEAD_BYTES);
    return head.subarray(0, readSync(descriptor, head, 0, HEAD_BYTES, 0));
  } finally {
    closeSync(descriptor);
  }
}
