// Tables that point at each other and do not know yet where they will lie: bytes with pointer and checksum fields. They are
// placed by us (direct boot), or by a ROM that follows the script made here (QEMU's table loader: the fw_cfg file
// etc/table-loader allocates, patches and sums up the files it names). What the tables say is in tables.ts.
import { layout, le32, text, u8 } from '../../struct/layout.ts';

/** A field that holds an offset in the area of the tables, and is to hold that place's address. */
export interface PointerField {
  readonly offset: number;
  readonly sizeBytes: 4 | 8;
}

/** A byte that makes [start, start + sizeBytes) sum up to zero. */
export interface ChecksumField {
  readonly offset: number;
  readonly start: number;
  readonly sizeBytes: number;
}

export interface RelocatableBytes {
  readonly bytes: Uint8Array;
  readonly pointers: readonly PointerField[];
  /** In the order in which they are to be computed, after the pointers. */
  readonly checksums: readonly ChecksumField[];
}

/** The area that pointers point into, and the root that leads there. */
export interface RelocatableTables {
  readonly area: RelocatableBytes;
  readonly root: RelocatableBytes;
}

/** What to add so that all bytes sum to zero. */
export function checksumOf(bytes: Uint8Array): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}

function patched({ bytes, pointers, checksums }: RelocatableBytes, address: number): Uint8Array {
  const result = bytes.slice();
  const view = new DataView(result.buffer);
  for (const { offset, sizeBytes } of pointers) {
    if (sizeBytes === 4) view.setUint32(offset, view.getUint32(offset, true) + address, true);
    else view.setBigUint64(offset, view.getBigUint64(offset, true) + BigInt(address), true);
  }
  for (const { offset, start, sizeBytes } of checksums) {
    result[offset] = 0;
    result[offset] = checksumOf(result.subarray(start, start + sizeBytes));
  }
  return result;
}

/** Both parts as they are when the area lies at `address`. */
export function placeTables({ area, root }: RelocatableTables, address: number): { readonly area: Uint8Array; readonly root: Uint8Array } {
  return { area: patched(area, address), root: patched(root, address) };
}

const FILE_NAME_BYTES = 56;
const COMMAND_BYTES = 128;
const COMMAND = { ALLOCATE: 1, ADD_POINTER: 2, ADD_CHECKSUM: 3 } as const;
const ZONE = { HIGH: 1, ROM_SEGMENT: 2 } as const;
const name = (offset: number): ReturnType<typeof text> => text(offset, FILE_NAME_BYTES);

const allocate = layout('table loader: allocate', { command: le32(0), file: name(4), alignment: le32(60), zone: u8(64) }, COMMAND_BYTES);
// prettier-ignore
const addPointer = layout('table loader: add pointer', {
  command: le32(0), file: name(4), target: name(60), offset: le32(116), sizeBytes: u8(120),
}, COMMAND_BYTES);
// prettier-ignore
const addChecksum = layout('table loader: add checksum', {
  command: le32(0), file: name(4), offset: le32(60), start: le32(64), sizeBytes: le32(68),
}, COMMAND_BYTES);

export interface TableFiles {
  readonly area: string;
  readonly root: string;
}

/** The script for a ROM that finds the two parts in these files. */
export function loaderScript({ area, root }: RelocatableTables, files: TableFiles): Uint8Array {
  const AREA_ALIGNMENT = 64;
  const ROOT_ALIGNMENT = 16;
  const commands = [
    allocate.encode({ command: COMMAND.ALLOCATE, file: files.root, alignment: ROOT_ALIGNMENT, zone: ZONE.ROM_SEGMENT }),
    allocate.encode({ command: COMMAND.ALLOCATE, file: files.area, alignment: AREA_ALIGNMENT, zone: ZONE.HIGH }),
  ];
  for (const [file, part] of [[files.area, area], [files.root, root]] as const) {
    const target = files.area;
    for (const pointer of part.pointers) commands.push(addPointer.encode({ command: COMMAND.ADD_POINTER, file, target, ...pointer }));
    for (const field of part.checksums) commands.push(addChecksum.encode({ command: COMMAND.ADD_CHECKSUM, file, ...field }));
  }
  const script = new Uint8Array(commands.length * COMMAND_BYTES);
  commands.forEach((command, index) => script.set(command, index * COMMAND_BYTES));
  return script;
}
