// The block driver of Microsoft's virtual hard disks (VHD, called vpc after Virtual PC): fixed and dynamic, no differencing.
import { ErrnoFailure } from '../../base/errno.ts';
import { choice, str } from '../../schema/property.ts';
import type { BlockBackend } from '../backend.ts';
import type { BlockDriver, BlockInstance, CreateContext, CreateOption, CreateValues, OpenContext } from '../driver.ts';
import { createImageFile, randomUuid } from '../image-format/create-file.ts';
import { namingTheImage } from '../image-format/open-error.ts';
import { ROLE } from '../permissions.ts';
import { geometryFor, LARGEST, LARGEST_SECTORS, sectorsOf, type Geometry } from './geometry.ts';
import { DynamicVpcImage, FixedVpcImage } from './image.ts';
import { checksumOf, DISK_TYPE, dynamicHeaderLayout, FOOTER_BYTES, footerLayout, SECTOR_BYTES } from './layout.ts';
import { MAX_SECTORS, openImage, sizeCalculation } from './open-image.ts';

// prettier-ignore
const CREATE_OPTIONS: readonly CreateOption[] = [
  { name: 'size',       type: 'size', help: 'Virtual disk size' },
  { name: 'subformat',  type: 'str',  help: 'Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed} ' },
  { name: 'force_size', type: 'bool', help: 'Force disk size calculation to use the actual size specified, rather than using the nearest CHS-based calculation' },
];

const OPEN_OPTIONS = { force_size_calc: { type: str, help: 'chs or current_size' } } as const;

export const driver: BlockDriver = {
  name: 'vpc',
  kind: 'format',
  options: OPEN_OPTIONS,
  strongOptions: ['force_size_calc'],
  createOptions: CREATE_OPTIONS,
  create,
  open: (context) => namingTheImage(context, () => open(context)),
};

async function open(context: OpenContext): Promise<BlockInstance> {
  const calculation = sizeCalculation(context.options.absorb(OPEN_OPTIONS).force_size_calc);
  const file = (await context.openChild('file', ROLE.IMAGE))!;
  const opened = await openImage(file, calculation);
  return opened.dynamic === undefined ? new FixedVpcImage(file, opened) : new DynamicVpcImage(file, opened, opened.dynamic);
}

const SUBFORMAT = choice('dynamic', 'fixed');
/** Of images made here; what the dynamic header is made of. */
const BLOCK_BYTES = 1 << 21;
const DYNAMIC_HEADER_OFFSET = 512;
const TABLE_OFFSET = 3 * 512;
/** Seconds from 1970 to 2000, where the timestamps begin. */
const TIMESTAMP_BASE = 946_684_800;

interface NewImage {
  readonly sectors: number;
  readonly geometry: Geometry;
  readonly isFixed: boolean;
  readonly isSizeForced: boolean;
}

function sizeFor(bytes: number, isSizeForced: boolean): Pick<NewImage, 'sectors' | 'geometry'> {
  const asked = Math.ceil(bytes / SECTOR_BYTES);
  const geometry = isSizeForced ? LARGEST : geometryFor(asked);
  const sectors = isSizeForced || asked >= LARGEST_SECTORS ? asked : sectorsOf(geometry);
  if (sectors > MAX_SECTORS) throw new ErrnoFailure('EFBIG', "The image size is too large for file format 'vpc'");
  return { sectors, geometry };
}

async function create(filename: string, values: CreateValues, context: CreateContext): Promise<void> {
  const isFixed = SUBFORMAT.fromText('subformat', String(values.get('subformat') ?? 'dynamic')) === 'fixed';
  const isSizeForced = values.get('force_size') === true;
  await createImageFile(filename, values, CREATE_OPTIONS, context, async (file) => {
    const image = { ...sizeFor(Number(values.get('size')), isSizeForced), isFixed, isSizeForced };
    const footer = newFooter(image, context);
    await (isFixed ? writeFixed(file, footer, image) : writeDynamic(file, footer, image));
  });
}

function newFooter({ sectors, geometry, isFixed, isSizeForced }: NewImage, context: CreateContext): Uint8Array {
  const size = BigInt(sectors * SECTOR_BYTES);
  const application = isSizeForced ? 'qem2' : 'qemu';
  const footer = footerLayout.encode({
    cookie: 'conectix',
    features: 2,
    version: 0x00010000,
    dataOffset: isFixed ? 0xffffffffffffffffn : BigInt(DYNAMIC_HEADER_OFFSET),
    timestamp: Math.max(0, Math.floor(context.host.dateMs() / 1000) - TIMESTAMP_BASE) % 2 ** 32,
    creatorApplication: Uint8Array.from(application, (letter) => letter.charCodeAt(0)),
    creatorVersion: 0x00050003,
    creatorOs: 'Wi2k',
    originalSize: size,
    currentSize: size,
    ...geometry,
    type: isFixed ? DISK_TYPE.FIXED : DISK_TYPE.DYNAMIC,
    uuid: randomUuid(context),
  });
  footerLayout.write(footer, { checksum: checksumOf(footer, footerLayout.fields.checksum.offset) });
  return footer;
}

async function writeFixed(file: BlockBackend, footer: Uint8Array, { sectors }: NewImage): Promise<void> {
  await file.resize(sectors * SECTOR_BYTES + FOOTER_BYTES);
  await file.write(sectors * SECTOR_BYTES, footer);
}

async function writeDynamic(file: BlockBackend, footer: Uint8Array, { sectors }: NewImage): Promise<void> {
  const maxTableEntries = Math.ceil((sectors * SECTOR_BYTES) / BLOCK_BYTES);
  const tableBytes = Math.ceil((4 * maxTableEntries) / SECTOR_BYTES) * SECTOR_BYTES;
  const header = dynamicHeaderLayout.encode({
    cookie: 'cxsparse',
    dataOffset: 0xffffffffffffffffn,
    tableOffset: BigInt(TABLE_OFFSET),
    headerVersion: 0x00010000,
    maxTableEntries,
    blockSize: BLOCK_BYTES,
  });
  dynamicHeaderLayout.write(header, { checksum: checksumOf(header, dynamicHeaderLayout.fields.checksum.offset) });
  await file.write(0, footer);
  await file.write(TABLE_OFFSET + tableBytes, footer);
  await file.write(TABLE_OFFSET, new Uint8Array(tableBytes).fill(0xff));
  await file.write(DYNAMIC_HEADER_OFFSET, header);
}
