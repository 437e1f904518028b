// compress: a filter that has everything written through it stored compressed. Reference: QMP's compress driver.
import { Failure } from '../../base/failure.ts';
import { WRITE, type BlockDriver, type BlockInstance, type OpenContext } from '../driver.ts';
import { filterInstance } from '../filter.ts';
import { ROLE } from '../permissions.ts';

async function open({ openChild }: OpenContext): Promise<BlockInstance> {
  const edge = (await openChild('file', ROLE.FILTERED))!;
  const { driver, instance, limits } = edge.node;
  if (instance.writeCompressed === undefined || instance.supportsCompressed === false) {
    throw new Failure('unsupported', `Compression is not supported for underlying format: ${driver.name}`);
  }
  const clusterSize = instance.info?.()?.clusterSize ?? 0;
  const filter = filterInstance(edge, {
    limits: { requestAlignment: Math.max(clusterSize, limits.requestAlignment) },
    write: (offset, source, flags) => edge.write(offset, source, flags | WRITE.COMPRESSED),
  });
  delete filter.writeCompressed; // the reference's filter does not take such requests itself
  return filter;
}

export const driver: BlockDriver = { name: 'compress', kind: 'filter', options: {}, open };
