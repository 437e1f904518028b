// Ports of a PC that guests touch without expecting much: the POST code and delay port, the DMA page registers behind it,
// and the coprocessor's busy latch. Claimed so that they are not guest errors.
import type { SystemBus } from '../../bus/address-space.ts';

export function pcLegacyPorts(bus: SystemBus): void {
  const quiet = { read: (_at: number, size: number) => (2 ** (8 * size)) - 1, write: () => {} };
  bus.claimPorts({ base: 0x80, size: 16, name: 'post-code', priority: -1, ...quiet });
  bus.claimPorts({ base: 0xed, size: 1, name: 'delay', priority: -1, ...quiet });
  bus.claimPorts({ base: 0xf0, size: 2, name: 'coprocessor', priority: -1, ...quiet });
}
