// throttle: a filter whose requests count in a throttle group. Reference: QMP's BlockdevOptionsThrottle.
import { after } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import { str } from '../../schema/property.ts';
import type { BlockDriver, BlockInstance, OpenContext } from '../driver.ts';
import { filterInstance } from '../filter.ts';
import { ROLE } from '../permissions.ts';
import { findThrottleGroup } from '../throttle-group.ts';

const OPTIONS = { 'throttle-group': { type: str } } as const;

async function open({ options, openChild, graph }: OpenContext): Promise<BlockInstance> {
  const edge = (await openChild('file', ROLE.FILTERED))!;
  const name = options.absorb(OPTIONS)['throttle-group'];
  if (name === undefined) throw new Failure('invalid-argument', 'Please specify a throttle group');
  const member = findThrottleGroup(graph, name).join();
  return filterInstance(edge, {
    read: (offset, target, flags) => after(member.enter('read', target.length), () => edge.read(offset, target, flags)),
    write: (offset, source, flags) => after(member.enter('write', source.length), () => edge.write(offset, source, flags)),
    writeZeroes: (offset, count, flags) => after(member.enter('write', count), () => edge.writeZeroes(offset, count, flags)),
    discard: (offset, count) => after(member.enter('write', count), () => edge.discard(offset, count)),
    drainBegin: () => member.drainBegin(),
    drainEnd: () => member.drainEnd(),
    close: () => member.leave(),
  });
}

export const driver: BlockDriver = { name: 'throttle', kind: 'filter', options: OPTIONS, strongOptions: ['throttle-group'], open };
