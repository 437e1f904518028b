// The block driver of Hyper-V's virtual hard disks, version 2 (VHDX): fixed and dynamic, no differencing.
import { ErrnoFailure } from '../../base/errno.ts';
import type { BlockDriver, OpenContext } from '../driver.ts';
import { namingTheImage } from '../image-format/open-error.ts';
import { ROLE } from '../permissions.ts';
import { entryCount, placeErrors, visitPresentBlocks } from './block-table.ts';
import { CREATE_OPTIONS, createVhdx } from './create.ts';
import { Headers } from './headers.ts';
import { VhdxImage } from './image.ts';
import { activeSequence, Journal, logRegion, newGuid, replayLog } from './log.ts';
import { readMetadata, readRegions, RegionMap, type DiskParameters, type Region } from './regions.ts';
import type { Edge } from '../node.ts';
import { probe } from './probe.ts';

export const driver: BlockDriver = {
  name: 'vhdx',
  kind: 'format',
  options: {},
  createOptions: CREATE_OPTIONS,
  create: createVhdx,
  open: (context) => namingTheImage(context, () => open(context)),
};

async function open(context: OpenContext): Promise<VhdxImage> {
  const { host } = context;
  const file = (await context.openChild('file', ROLE.IMAGE))!;
  if (probe(await file.readBytes(0, 8), '') === 0) throw new ErrnoFailure('EINVAL');
  const headers = await Headers.read(file);
  const replayed = await replayWhenNeeded(context, file, headers);
  const map = new RegionMap((line) => host.warn(line));
  map.add(headers.current.logOffset, headers.current.logLength);
  const { blockTable, metadata } = await readRegions(file, map);
  const parameters = await readMetadata(file, metadata);
  if (8 * entryCount(parameters) > blockTable.length) throw new ErrnoFailure('EINVAL');
  await checkBlocks(context, file, blockTable, parameters, map);
  const journal = new Journal(file, headers, host.cryptography);
  const image = new VhdxImage({
    file,
    headers,
    journal,
    parameters,
    blockTable,
    replayed,
    newGuid: () => newGuid(host.cryptography),
    complain: (line) => host.warn(line),
  });
  await image.lookAtFirstBlock();
  return image;
}

async function replayWhenNeeded({ node, host, flags }: OpenContext, file: Edge, headers: Headers): Promise<boolean> {
  const region = logRegion(headers);
  if (region === undefined) return false;
  const sequence = await activeSequence(file, region, headers.current.logGuid);
  if (sequence.length === 0) return false;
  if (flags.readOnly) {
    const name = node.filename;
    throw new ErrnoFailure(
      'EPERM',
      `VHDX image file '${name}' opened read-only, but contains a log that needs to be replayed\n` +
        `To replay the log, run:\nqemu-img check -r all '${name}'`,
    );
  }
  await replayLog(file, headers, sequence, newGuid(host.cryptography));
  return true;
}

/** No block may lie over another part or outside the file; `check` opens the image all the same. */
async function checkBlocks(
  { host, flags }: OpenContext,
  file: Edge,
  table: Region,
  parameters: DiskParameters,
  map: RegionMap,
): Promise<void> {
  const fileSize = file.size;
  const errors: string[] = [];
  await visitPresentBlocks({ file, offset: table.offset, ...parameters }, (index, offset, lengthBytes) => {
    map.check(offset, parameters.blockSize);
    if (errors.length === 0) errors.push(...placeErrors(index, offset, lengthBytes, fileSize).slice(0, 1));
  });
  if (errors.length === 0 || flags.check) return;
  host.warn(errors[0]!);
  throw new ErrnoFailure('EINVAL');
}
