// The block driver of qed images.
import type { BlockDriver, CreateContext, CreateOption, CreateValues, OpenContext } from '../driver.ts';
import { createImageFile } from '../image-format/create-file.ts';
import { SECTOR } from '../node.ts';
import { ROLE } from '../permissions.ts';
import { checkedHeader, HEADER, newHeader } from './header.ts';
import { backingOf, QedImage } from './image.ts';

// prettier-ignore
const CREATE_OPTIONS: readonly CreateOption[] = [
  { name: 'size',         type: 'size', help: 'Virtual disk size' },
  { name: 'backing_file', type: 'str',  help: 'File name of a base image' },
  { name: 'backing_fmt',  type: 'str',  help: 'Image format of the base image' },
  { name: 'cluster_size', type: 'size', help: 'Cluster size (in bytes)', default: '65536' },
  { name: 'table_size',   type: 'size', help: 'L1/L2 table size (in clusters)' },
];

async function open({ node, flags, openChild }: OpenContext): Promise<QedImage> {
  const file = (await openChild('file', ROLE.IMAGE))!;
  const header = checkedHeader(await file.readBytes(0, HEADER.sizeBytes), file.size);
  const image = new QedImage({ node, file, header, backing: await backingOf(file, header) });
  if (!flags.readOnly && !flags.check) await image.prepareForWriting();
  return image;
}

async function create(filename: string, values: CreateValues, context: CreateContext): Promise<void> {
  const number = (name: string): number | undefined => (values.has(name) ? Number(values.get(name)) : undefined);
  const backing = values.get('backing_file');
  const { head, tableStart, end } = newHeader({
    size: Math.ceil(Number(values.get('size') ?? 0) / SECTOR) * SECTOR,
    clusterBytes: number('cluster_size'),
    tableClusters: number('table_size'),
    backingName: backing === undefined ? undefined : new TextEncoder().encode(String(backing)),
    backingIsRaw: values.get('backing_fmt') === 'raw',
  });
  await createImageFile(filename, values, CREATE_OPTIONS, context, async (file) => {
    await file.resize(end);
    await file.writeZeroes(tableStart, end - tableStart); // the space of the table is taken at once
    await file.write(0, head);
  });
}

export const driver: BlockDriver = { name: 'qed', kind: 'format', options: {}, createOptions: CREATE_OPTIONS, create, open };
