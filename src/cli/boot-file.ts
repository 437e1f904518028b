// What a file named to `nandu run` is, by its contents: a kernel, a disk image or a CD image. What looks like a kernel for something else
// counts as one, whose loader says what is wrong with it.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { Failure } from '../base/failure.ts';
import { FORMAT_PROBES } from '../block/probes.ts';
import { systemErrorText } from '../platform/node/system-error.ts';
import { looksLikeKernel } from '../machine/boot/detect.ts';
import { isElf } from '../machine/boot/elf.ts';
import { isLinuxImage } from '../machine/boot/linux.ts';
import { findMultibootHeader } from '../machine/boot/multiboot.ts';

export type BootFileKind = 'kernel' | 'disk' | 'cd';

const HEAD_BYTES = 64 * 1024;
const ISO_9660 = { at: 0x8001, magic: 'CD001' } as const;

/** Fails when it cannot be read, or nothing can be booted from it. */
export function bootFileKind(path: string): BootFileKind {
  const head = readHead(path);
  if (FORMAT_PROBES.some(({ probe }) => probe(head, path) > 0)) return 'disk';
  if (isLinuxImage(head) || isElf(head) || findMultibootHeader(head) !== undefined) return 'kernel';
  if (Buffer.from(head.subarray(ISO_9660.at, ISO_9660.at + ISO_9660.magic.length)).toString('latin1') === ISO_9660.magic) return 'cd';
  if (head[510] === 0x55 && head[511] === 0xaa && head[0] !== 0x4d) return 'disk';
  if (looksLikeKernel(head)) return 'kernel';
  throw new Failure('invalid-format', `'${path}' is neither a kernel nor a disk or CD that can be booted`);
}

function readHead(path: string): Uint8Array {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, 'r');
    const stat = fstatSync(descriptor);
    if (!stat.isFile() && !stat.isBlockDevice() && !stat.isDirectory()) throw new Failure('invalid-argument', `'${path}' is no file`);
    const head = new Uint8Array(HEAD_BYTES);
    return head.subarray(0, readSync(descriptor, head, 0, HEAD_BYTES, 0));
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure('io', `Could not open '${path}': ${systemErrorText(error)}`, { cause: error });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
