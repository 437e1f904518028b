// Where the parts of a queue lie in the legacy interfaces, which know one address a queue: one part behind the other, the used ring
// from the next multiple of an alignment on. Virtio 1.2, 2.7.2.
import { DESCRIPTOR_BYTES } from './ring.ts';
import type { VirtioDevice } from './virtio-device.ts';

const WORD = 2 ** 32;
const split = (address: number): readonly [low: number, high: number] => [address % WORD, Math.floor(address / WORD) >>> 0];

/** Places the selected queue at `descriptors` and enables it; 0 takes it away. */
export function placeLegacyQueue(device: VirtioDevice, descriptors: number, alignment: number): void {
  const { selected } = device;
  if (selected === undefined) return;
  device.disableSelected();
  if (descriptors === 0) return;
  const { size } = selected;
  const driver = descriptors + size * DESCRIPTOR_BYTES;
  const used = Math.ceil((driver + 4 + 2 * size + 2) / alignment) * alignment;
  [selected.descriptorsLow, selected.descriptorsHigh] = split(descriptors);
  [selected.driverLow, selected.driverHigh] = split(driver);
  [selected.deviceLow, selected.deviceHigh] = split(used);
  device.enableSelected();
}
