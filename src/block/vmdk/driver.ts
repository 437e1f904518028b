// The block driver of VMware's virtual disks ("Virtual Disk Format 5.0"): one file or several, hosted sparse extents with or
// without compression, flat ones, and for reading those of ESX servers (vmfs, vmfsSparse, seSparse).
import { ErrnoFailure } from '../../base/errno.ts';
import type { BlockDriver, OpenContext } from '../driver.ts';
import { combinePath, displayFilename, exactFilename, hasProtocol } from '../filename.ts';
import { namingTheImage } from '../image-format/open-error.ts';
import type { Edge } from '../node.ts';
import { ROLE } from '../permissions.ts';
import { CREATE_OPTIONS, createVmdk } from './create.ts';
import {
  contentId,
  descriptorText,
  EMBEDDED,
  extentLines,
  MAX_DESCRIPTOR_BYTES,
  nameFromLatin1,
  parentContentId,
  parentName,
  quotedValue,
  type ExtentLine,
} from './descriptor.ts';
import { FlatExtent, SparseExtent, type Extent } from './extent.ts';
import { VmdkImage } from './image.ts';
import { MAGIC, SECTOR_BYTES } from './layout.ts';
import { readCowdHeader, readHostedHeader, readSeSparseHeader } from './sparse-header.ts';

export const driver: BlockDriver = {
  name: 'vmdk',
  kind: 'format',
  options: {},
  createOptions: CREATE_OPTIONS,
  create: createVmdk,
  open: (context) => namingTheImage(context, () => open(context)),
};

interface OpenedExtents {
  readonly extents: readonly Extent[];
  readonly createType: string;
  readonly descriptorOffset: number;
}

async function open(context: OpenContext): Promise<VmdkImage> {
  const { node, host } = context;
  const file = (await context.openChild('file', ROLE.IMAGE))!;
  if (file.size < 4) throw new ErrnoFailure('EINVAL', 'File is too small, not a valid image');
  const { extents, createType, descriptorOffset } = await openExtents(context, file);
  const text = descriptorText(await readDescriptor(file, descriptorOffset));
  return new VmdkImage({
    node,
    file,
    extents,
    createType,
    descriptor: { text, offset: descriptorOffset },
    parentName: parentName(text),
    contentId: contentId(text),
    parentContentId: parentContentId(text),
    randomU32: () => new DataView(host.cryptography.randomBytes(4).slice().buffer).getUint32(0, true),
    complain: (line) => host.warn(line),
  });
}

/** An embedded descriptor, or the whole of a descriptor file. */
const readDescriptor = (file: Edge, offset: number): Promise<Uint8Array> =>
  file.readBytes(offset, offset === EMBEDDED.OFFSET ? EMBEDDED.BYTES : Math.max(0, Math.min(MAX_DESCRIPTOR_BYTES, file.size - offset)));

const magicOf = async (file: Edge): Promise<string> => String.fromCharCode(...(await file.readBytes(0, 4)));

async function openExtents(context: OpenContext, file: Edge): Promise<OpenedExtents> {
  const magic = await magicOf(file);
  if (magic !== MAGIC.SPARSE && magic !== MAGIC.COWD) return openDescriptor(context, file, 0);
  const opened = await openSparse(context, file, '', magic);
  if (!('extents' in opened)) {
    const createType = opened.isCompressed ? 'streamOptimized' : 'monolithicSparse';
    return { extents: [opened], createType, descriptorOffset: EMBEDDED.OFFSET };
  }
  return { ...opened, descriptorOffset: EMBEDDED.OFFSET };
}

/** A sparse extent; or what its embedded descriptor names, when it says that it holds nothing itself. */
async function openSparse(context: OpenContext, file: Edge, type: string, magic: string): Promise<Extent | OpenedExtents> {
  const { compression } = context.host;
  if (magic === MAGIC.COWD) return new SparseExtent(file, type, await readCowdHeader(file), compression);
  if (magic !== MAGIC.SPARSE) throw new ErrnoFailure('EINVAL', 'Image not in VMDK format');
  const geometry = await readHostedHeader(file, context.flags);
  return geometry === undefined ? openDescriptor(context, file, EMBEDDED.OFFSET) : new SparseExtent(file, type, geometry, compression);
}

const CREATE_TYPES: ReadonlySet<string> = new Set([
  'monolithicFlat',
  'vmfs',
  'vmfsSparse',
  'seSparse',
  'twoGbMaxExtentSparse',
  'twoGbMaxExtentFlat',
]);

async function openDescriptor(context: OpenContext, file: Edge, offset: number): Promise<OpenedExtents> {
  const text = descriptorText(await readDescriptor(file, offset));
  const createType = quotedValue(text, 'createType');
  if (createType === undefined) throw new ErrnoFailure('EINVAL', 'invalid VMDK image descriptor');
  if (!CREATE_TYPES.has(createType)) throw new ErrnoFailure('ENOTSUP', `Unsupported image type '${nameFromLatin1(createType)}'`);
  const extents: Extent[] = [];
  for (const line of extentLines(text)) extents.push(await openListed(context, file, line, extents.length));
  return { extents, createType, descriptorOffset: offset };
}

async function openListed(context: OpenContext, descriptor: Edge, line: ExtentLine, index: number): Promise<Extent> {
  const { type, sectors, offsetSectors } = line;
  const isFlat = type === 'FLAT' || type === 'VMFS';
  const filename = extentPath(descriptor, line.filename);
  const role = isFlat ? ROLE.DATA : { data: true, metadata: true };
  const file = (await context.openChild(`extents.${index}`, role, { filename }))!;
  if (isFlat) return new FlatExtent(file, type, offsetSectors * SECTOR_BYTES, sectors * SECTOR_BYTES);
  if (type === 'SESPARSE') return openSeSparse(context, file);
  const opened = await openSparse(context, file, type, await magicOf(file));
  if ('extents' in opened) throw new ErrnoFailure('EINVAL', 'Image not in VMDK format');
  return opened;
}

function extentPath(descriptor: Edge, name: string): string {
  if (name.startsWith('/') || hasProtocol(name)) return name;
  const own = exactFilename(descriptor.node);
  if (own !== undefined) return combinePath(own, name);
  throw new ErrnoFailure('EINVAL', `Cannot use relative paths with VMDK descriptor file '${displayFilename(descriptor.node)}'`);
}

async function openSeSparse(context: OpenContext, file: Edge): Promise<Extent> {
  const { flags, node, host } = context;
  if (!flags.readOnly && !flags.autoReadOnly) throw new ErrnoFailure('EACCES', 'No write support for seSparse images available');
  node.flags = { ...node.flags, readOnly: true };
  return new SparseExtent(file, 'SESPARSE', await readSeSparseHeader(file), host.compression);
}
