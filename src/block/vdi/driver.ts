// The block driver of VirtualBox disk images: dynamic and static ones of version 1.1, without parents.
import type { BlockDriver, CreateContext, CreateOption, CreateValues, OpenContext } from '../driver.ts';
import { createImageFile, randomUuid, swapGuid } from '../image-format/create-file.ts';
import { ROLE } from '../permissions.ts';
import { blocksFor, BLOCK_BYTES, checkedHeader, HEADER_BYTES, mapBytesFor, MAX_SIZE, newHeader, SECTOR_BYTES, tooBig } from './header.ts';
import { VdiImage } from './image.ts';

const CREATE_OPTIONS: readonly CreateOption[] = [
  { name: 'size', type: 'size', help: 'Virtual disk size' },
  { name: 'static', type: 'bool', help: 'VDI static (pre-allocated) image', default: 'off' },
];

export const driver: BlockDriver = {
  name: 'vdi',
  kind: 'format',
  options: {},
  createOptions: CREATE_OPTIONS,
  create,
  open,
};

async function open(context: OpenContext): Promise<VdiImage> {
  const file = (await context.openChild('file', ROLE.IMAGE))!;
  return new VdiImage(file, checkedHeader(await file.readBytes(0, HEADER_BYTES)));
}

async function create(filename: string, values: CreateValues, context: CreateContext): Promise<void> {
  const diskSize = Math.ceil(Number(values.get('size')) / SECTOR_BYTES) * SECTOR_BYTES;
  const isStatic = values.get('static') === true;
  await createImageFile(filename, values, CREATE_OPTIONS, context, async (file) => {
    if (diskSize > MAX_SIZE) throw tooBig(diskSize, 'ENOTSUP');
    const blocks = blocksFor(diskSize);
    const uuidImage = swapGuid(randomUuid(context));
    const uuidLastSnapshot = swapGuid(randomUuid(context));
    await file.write(0, newHeader({ diskSize, isStatic, uuidImage, uuidLastSnapshot }));
    await writeMap(blocks, isStatic, (offset, bytes) => file.write(HEADER_BYTES + offset, bytes));
    if (isStatic) await file.resize(HEADER_BYTES + mapBytesFor(blocks) + blocks * BLOCK_BYTES);
  });
}

const PART_BYTES = 1 << 20;

async function writeMap(blocks: number, isStatic: boolean, write: (offset: number, bytes: Uint8Array) => unknown): Promise<void> {
  const mapBytes = mapBytesFor(blocks);
  for (let offset = 0; offset < mapBytes; offset += PART_BYTES) {
    const part = new DataView(new ArrayBuffer(Math.min(PART_BYTES, mapBytes - offset)));
    const first = offset / 4;
    for (let n = 0; 4 * n < part.byteLength && first + n < blocks; n++) part.setUint32(4 * n, isStatic ? first + n : 0xffffffff, true);
    await write(offset, new Uint8Array(part.buffer));
  }
}
