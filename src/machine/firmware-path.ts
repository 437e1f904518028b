// Open Firmware paths, by which the boot order in fw_cfg names devices (IEEE 1275, PCI binding 2.1; the forms are those SeaBIOS and
// OVMF compare with). What hangs on a controller adds its own units to the controller's path.
import type { PciBus } from '../bus/pci-bus.ts';
import { PCI } from '../bus/pci-function.ts';

const HOST = '/pci@i0cf8';
/** Names of classes (base class and subclass); others are named after vendor and device. */
const CLASS_NAMES: Readonly<Record<number, string>> = {
  0x0100: 'scsi', 0x0101: 'ide', 0x0102: 'fdc', 0x0104: 'raid', 0x0200: 'ethernet', 0x0601: 'isa',
};

const ISA_BRIDGE = 0x0601;

const hex = (value: number): string => value.toString(16);

/** The path of the ISA bridge: what is behind it continues it. */
export function isaFirmwarePath(pci: PciBus): string {
  const bridge = pci.functions.find((present) => present.function.header.classCode >> 8 === ISA_BRIDGE);
  return bridge === undefined ? HOST : pciFirmwarePath(pci, bridge.slot, bridge.number);
}

/** The path of the function at a place of bus 0. */
export function pciFirmwarePath(pci: PciBus, slot: number, number: number): string {
  const present = pci.at(slot, number);
  const [vendor, device] = [present?.u16(PCI.VENDOR_ID) ?? 0, present?.u16(PCI.DEVICE_ID) ?? 0];
  const classCode = present === undefined ? 0 : present.header.classCode >> 8;
  const name = CLASS_NAMES[classCode] ?? `pci${hex(vendor).padStart(4, '0')},${hex(device).padStart(4, '0')}`;
  return `${HOST}/${name}@${hex(slot)}${number === 0 ? '' : `,${hex(number)}`}`;
}
