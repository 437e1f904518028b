// The NVMe controller as -device can add it.
import { blockSizeProblem, driveProperties, pciProperties, type DeviceDeclaration } from '../../schema/device.ts';

const BLOCK_BYTES_MAX = 4096;

export const nvmeDevice: DeviceDeclaration = {
  name: 'nvme',
  category: 'Storage',
  bus: 'PCI',
  description: 'Non-Volatile Memory Express',
  properties: { ...pciProperties, ...driveProperties },
  check(given) {
    const { serial, logical_block_size: block } = given;
    if (serial === undefined || serial === '') return 'serial property not set';
    if (typeof block === 'number' && block > BLOCK_BYTES_MAX) return 'logical_block_size is at most 4096 for nvme';
    return blockSizeProblem(given);
  },
};
