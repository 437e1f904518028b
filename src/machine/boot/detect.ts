// Which boot protocol a `-kernel` file wants, by content and in QEMU's order: a Linux setup header, a Multiboot header,
// an ELF image with a PVH note. What is none of these is named for the user where it can be told.
import { Failure } from '../../base/failure.ts';
import type { RamWriter } from '../guest-ram.ts';
import type { BootInput } from './boot-input.ts';
import type { BootState } from './boot-state.ts';
import { isElf } from './elf.ts';
import { isLinuxImage, loadLinux } from './linux.ts';
import { findMultibootHeader, loadMultiboot } from './multiboot.ts';
import { loadPvh } from './pvh.ts';

export type KernelKind = 'linux' | 'multiboot' | 'pvh';

/** Files that people pass by mistake, by their first bytes. */
// prettier-ignore
const LOOKALIKES: readonly { readonly offset: number; readonly magic: readonly number[]; readonly what: string }[] = [
  { offset: 0, magic: [0x1f, 0x8b], what: 'a gzip-compressed file' },
  { offset: 0, magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], what: 'an xz-compressed file' },
  { offset: 0, magic: [0x28, 0xb5, 0x2f, 0xfd], what: 'a zstd-compressed file' },
  { offset: 0, magic: [0x42, 0x5a, 0x68], what: 'a bzip2-compressed file' },
  { offset: 0, magic: [0x04, 0x22, 0x4d, 0x18], what: 'an lz4-compressed file' },
  { offset: 0, magic: [0x02, 0x21, 0x4c, 0x18], what: 'an lz4-compressed file' },
  { offset: 0, magic: [0x5d, 0x00, 0x00], what: 'an lzma-compressed file' },
  { offset: 0x38, magic: [0x41, 0x52, 0x4d, 0x64], what: 'an arm64 kernel' },
  { offset: 0x38, magic: [0x52, 0x53, 0x43, 0x05], what: 'a RISC-V kernel' },
  { offset: 0x24, magic: [0x18, 0x28, 0x6f, 0x01], what: 'an ARM zImage' },
  { offset: 0, magic: [0x27, 0x05, 0x19, 0x56], what: 'a U-Boot image' },
  { offset: 0, magic: [0x30, 0x37, 0x30, 0x37, 0x30], what: 'a cpio archive (an initrd?)' },
  { offset: 0, magic: [0x51, 0x46, 0x49, 0xfb], what: 'a qcow2 disk image' },
  { offset: 0x8001, magic: [0x43, 0x44, 0x30, 0x30, 0x31], what: 'an ISO 9660 image' },
  { offset: 0, magic: [0x4d, 0x5a], what: 'an EFI application' },
];

const lookalikeOf = (file: Uint8Array): (typeof LOOKALIKES)[number] | undefined =>
  LOOKALIKES.find(({ offset, magic }) => magic.every((byte, n) => file[offset + n] === byte));

/** Whether the loader has more to say of a file than that it is no kernel. */
export const looksLikeKernel = (file: Uint8Array): boolean => file.length === 0 || lookalikeOf(file) !== undefined;

function unknownKernel(file: Uint8Array, name: string): Failure {
  const found = lookalikeOf(file);
  const detail = file.length === 0 ? 'is empty' : found === undefined ? undefined : `is ${found.what}, not an x86 kernel`;
  return new Failure('invalid-format', detail === undefined ? 'invalid kernel header' : `invalid kernel header: '${name}' ${detail}`);
}

/** The vm asks before it reads `-initrd`: only Multiboot takes it for a list (parseModuleList). */
export function detectKernel(file: Uint8Array, name: string): KernelKind {
  if (isLinuxImage(file)) return 'linux';
  if (findMultibootHeader(file) !== undefined) return 'multiboot';
  if (isElf(file)) return 'pvh';
  throw unknownKernel(file, name);
}

/** Loads the kernel by its own protocol; the state enters it. */
export function loadKernel(ram: RamWriter, input: BootInput): BootState {
  const loaders: Readonly<Record<KernelKind, typeof loadLinux>> = { linux: loadLinux, multiboot: loadMultiboot, pvh: loadPvh };
  return loaders[detectKernel(input.kernel, input.kernelName)](ram, input);
}
