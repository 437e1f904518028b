// The block driver of Parallels expandable images.
import { Failure } from '../../base/failure.ts';
import { choice, size } from '../../schema/property.ts';
import type { BlockDriver, CreateContext, CreateOption, CreateValues, OpenContext } from '../driver.ts';
import { createImageFile } from '../image-format/create-file.ts';
import { SECTOR, type Edge } from '../node.ts';
import { ROLE } from '../permissions.ts';
import { checkedHeader, EXTENSION_MAGIC, HEADER, newHeader, type ParallelsHeader } from './header.ts';
import { ParallelsImage } from './image.ts';

/** Accepted, as hints: the file grows with what is written. */
const OPEN_OPTIONS = { 'prealloc-size': { type: size() }, 'prealloc-mode': { type: choice('falloc', 'truncate') } } as const;
const DEFAULT_CLUSTER_BYTES = 1 << 20;

const CREATE_OPTIONS: readonly CreateOption[] = [
  { name: 'size', type: 'size', help: 'Virtual disk size' },
  { name: 'cluster_size', type: 'size', help: 'Parallels image cluster size', default: String(DEFAULT_CLUSTER_BYTES) },
];

/** Dirty bitmaps lie there; they are not read, and their being damaged is told. */
async function checkExtension(file: Edge, { extensionOffset }: ParallelsHeader): Promise<void> {
  const bytes = await file.readBytes(Number(extensionOffset), 8);
  const magic = new DataView(bytes.buffer).getBigUint64(0, true);
  if (magic === EXTENSION_MAGIC) return;
  const hex = (value: bigint): string => `0x${value.toString(16)}`;
  throw new Failure('invalid-format', `Wrong parallels Format Extension magic: ${hex(magic)}, expected: ${hex(EXTENSION_MAGIC)}`);
}

async function open({ node, flags, host, options, openChild }: OpenContext): Promise<ParallelsImage> {
  options.absorb(OPEN_OPTIONS);
  const file = (await openChild('file', ROLE.IMAGE))!;
  const header = checkedHeader(await file.readBytes(0, HEADER.sizeBytes));
  if (header.wasOpen && !flags.readOnly && !flags.check) {
    throw new Failure('invalid-argument', 'parallels: Image was not closed correctly; cannot be opened read/write');
  }
  if (header.extensionOffset !== 0n) {
    if (flags.readOnly) await checkExtension(file, header);
    else host.warn('Format Extension ignored in RW mode');
  }
  return new ParallelsImage(node, file, header);
}

async function create(filename: string, values: CreateValues, context: CreateContext): Promise<void> {
  const bytes = Math.ceil(Number(values.get('size') ?? 0) / SECTOR) * SECTOR;
  const { head, dataOffset } = newHeader(bytes, Number(values.get('cluster_size') ?? DEFAULT_CLUSTER_BYTES));
  await createImageFile(filename, values, CREATE_OPTIONS, context, async (file) => {
    await file.writeZeroes(0, dataOffset);
    await file.write(0, head);
  });
}

export const driver: BlockDriver = {
  name: 'parallels',
  kind: 'format',
  options: OPEN_OPTIONS,
  createOptions: CREATE_OPTIONS,
  create,
  open,
};
