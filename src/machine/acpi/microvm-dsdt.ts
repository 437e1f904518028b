// The DSDT of machine `microvm`: windows for virtio devices, which LNRO0005 is the name of, and the few devices behind ISA.
import { VIRTIO_MMIO_BYTES } from '../../devices/virtio/virtio-mmio.ts';
import { virtioWindow, VIRTIO_WINDOWS, type MicrovmOptions } from '../microvm.ts';
import { device, integer, name, scope, string, type AmlNode } from './aml.ts';
import { clock, motherboard, serialPorts, softOff, timersAndProcessors } from './dsdt-parts.ts';
import type { AcpiConfig } from './pc-hardware.ts';
import { extendedInterrupt, memory32Fixed, resourceTemplate } from './resources.ts';

function virtioDevice(n: number): AmlNode {
  const { base, interrupt } = virtioWindow(n, true);
  return device(
    `VR${n.toString().padStart(2, '0')}`,
    name('_HID', string('LNRO0005')),
    name('_UID', integer(n)),
    name('_CCA', integer(1)), // DMA is coherent
    name('_CRS', resourceTemplate(memory32Fixed(base, VIRTIO_MMIO_BYTES), extendedInterrupt(interrupt))),
  );
}

/** The definition block without its table header. */
export function microvmDsdt(config: AcpiConfig, { rtc, isaSerial }: Pick<MicrovmOptions, 'rtc' | 'isaSerial'>): readonly AmlNode[] {
  const windows = Array.from({ length: VIRTIO_WINDOWS.COUNT }, (_, n) => virtioDevice(VIRTIO_WINDOWS.COUNT - 1 - n));
  const isa = [...(rtc ? [clock()] : []), ...(isaSerial ? serialPorts(1) : [])];
  return [scope('\\_SB', ...isa, ...windows, motherboard(config), ...timersAndProcessors(config)), softOff()];
}
