// Virtio over PCI: the modern interface in a 64-bit memory register, the legacy one in an I/O register, MSI-X and INTx. Virtio
// 1.2, 4.1; the layout of the registers is QEMU's, so that guests find what they know. Nothing of a device type is here.
import { allOnes, type Region } from '../../bus/address-space.ts';
import type { Device } from '../../bus/device.ts';
import { Msix, msixCapability } from '../../bus/msix.ts';
import type { PciBus } from '../../bus/pci-bus.ts';
import type { CapabilityDeclaration, PciFunction } from '../../bus/pci-function.ts';
import { VIRTIO_FEATURE } from './features.ts';
import { legacyRegion } from './virtio-pci-legacy.ts';
import { CommonRegisters } from './virtio-pci-common.ts';
import { VirtioDevice, type VirtioHandler } from './virtio-device.ts';

const VENDOR = 0x1af4;
const LEGACY_DEVICE_BASE = 0x1000;
const MODERN_DEVICE_BASE = 0x1040;
const VENDOR_CAPABILITY = 0x09;
const CAPABILITY = { COMMON: 1, NOTIFY: 2, ISR: 3, DEVICE: 4, PCI: 5 } as const;
/** Modern registers, by page of base address register 4. */
const MODERN_BAR = 4;
const MSIX_BAR = 1;
const PAGE = 0x1000;
const AREA = { COMMON: 0, ISR: 1 * PAGE, DEVICE: 2 * PAGE, NOTIFY: 3 * PAGE, END: 4 * PAGE } as const;
const NOTIFY_MULTIPLIER = 4;
const MSIX_PENDING = 0x800;

export interface VirtioPciOptions {
  readonly pci: PciBus;
  readonly slot: number;
  readonly number: number;
  readonly handler: VirtioHandler;
  readonly classCode: number;
  /** The device id of the legacy interface, less 0x1000; absent: there is none. */
  readonly legacyId?: number | undefined;
  /** Whether the modern interface is there. */
  readonly modern?: boolean;
  /** MSI-X vectors; 0: only INTx. */
  readonly vectors: number;
  readonly packed?: boolean;
  readonly eventIndex?: boolean;
  readonly indirect?: boolean;
  readonly multiFunction?: boolean;
}

const le32 = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24];

function vendorCapability(type: number, offset: number, length: number, extra: readonly number[] = []): CapabilityDeclaration {
  return { id: VENDOR_CAPABILITY, body: [16 + extra.length, type, MODERN_BAR, 0, 0, 0, ...le32(offset), ...le32(length), ...extra] };
}

/** The window through which firmware that maps no memory reaches the registers: bar, offset, length and data are written. */
const windowCapability: CapabilityDeclaration = {
  ...vendorCapability(CAPABILITY.PCI, 0, 0, [0, 0, 0, 0]),
  writable: Object.fromEntries([4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19].map((at) => [at, 0xff])),
};
const WINDOW = { BAR: 4, OFFSET: 8, LENGTH: 12, DATA: 16 } as const;

export class VirtioPci {
  readonly device: VirtioDevice;
  readonly function: PciFunction;
  readonly msix: Msix | undefined;
  readonly #common: CommonRegisters;
  readonly #modern: Omit<Region, 'base'>;
  #windowAt = 0;

  constructor(options: VirtioPciOptions) {
    const { pci, handler, legacyId, modern = true, vectors } = options;
    const { VERSION_1, RING_PACKED, EVENT_IDX, INDIRECT_DESC, ANY_LAYOUT } = VIRTIO_FEATURE;
    const offered = [
      ...(modern ? [VERSION_1] : []), ...(modern && options.packed === true ? [RING_PACKED] : []),
      ...(options.eventIndex === false ? [] : [EVENT_IDX]), ...(options.indirect === false ? [] : [INDIRECT_DESC]),
      ...(legacyId === undefined ? [] : [ANY_LAYOUT]),
    ];
    this.device = new VirtioDevice(handler, offered, { memory: pci.memory, interrupt: (vector) => this.#interrupt(vector) });
    this.#common = new CommonRegisters(this.device, vectors);
    this.#modern = this.#modernRegion();
    this.function = this.#plugIn(options);
    this.msix = vectors === 0 ? undefined : new Msix(this.function, msixLayout(vectors), pci.sendMessage);
    if (modern) this.#openWindow();
  }

  /** The parts that are reset and saved, by the name of the device. */
  parts(name: string): [name: string, device: Device][] {
    const parts: [string, Device][] = [[`${name}.pci`, this.function as Device], [name, this.device as Device]];
    return this.msix === undefined ? parts : [...parts, [`${name}.msix`, this.msix as Device]];
  }

  #plugIn({ pci, slot, number, handler, classCode, legacyId, modern = true, vectors, multiFunction }: VirtioPciOptions): PciFunction {
    const capabilities = [
      ...(vectors === 0 ? [] : [msixCapability(msixLayout(vectors))]),
      ...(modern ? modernCapabilities(this.device) : []),
    ];
    const wires = { vectors, readIsr: () => this.#readIsr(), msixEnabled: () => this.msix?.enabled ?? false };
    const bars = [
      ...(legacyId === undefined ? [] : [{ index: 0, space: 'io' as const, region: legacyRegion(this.device, wires) }]),
      ...(vectors === 0 ? [] : [{ index: MSIX_BAR, space: 'memory' as const, region: this.#msixRegion(handler.name) }]),
      ...(modern ? [{ index: MODERN_BAR, space: 'memory' as const, wide: true, prefetchable: true, region: this.#modern }] : []),
    ];
    return pci.add(slot, number, {
      name: handler.name, vendorId: VENDOR, classCode,
      deviceId: legacyId === undefined ? MODERN_DEVICE_BASE + handler.type : LEGACY_DEVICE_BASE + legacyId,
      revision: legacyId === undefined ? 1 : 0,
      subsystemVendorId: VENDOR, subsystemId: legacyId === undefined ? 0x1100 : handler.type,
      interruptPin: 1, capabilities, bars, ...(multiFunction === true && { multiFunction }),
    });
  }

  #msixRegion(name: string): Omit<Region, 'base'> {
    return {
      size: PAGE, name: `${name}.msix`, widthMax: 4,
      read: (at, size) => (at < MSIX_PENDING ? this.msix!.readTable(at, size) : this.msix!.readPending(at - MSIX_PENDING, size)),
      write: (at, size, value) => { if (at < MSIX_PENDING) this.msix!.writeTable(at, size, value); },
    };
  }

  #modernRegion(): Omit<Region, 'base'> {
    const common = this.#common;
    const { device } = this;
    return {
      size: AREA.END, name: device.name, widthMax: 4, registers: common,
      read: (at, size) => {
        if (at < AREA.ISR) return common.read(at, size);
        if (at < AREA.DEVICE) return at === AREA.ISR ? this.#readIsr() : 0;
        return at < AREA.NOTIFY ? device.readConfig(at - AREA.DEVICE, size) : 0;
      },
      write: (at, size, value) => {
        if (at >= AREA.NOTIFY) device.notify((at - AREA.NOTIFY) / NOTIFY_MULTIPLIER);
        else if (at < AREA.ISR) common.write(at, size, value);
        else if (at >= AREA.DEVICE) device.writeConfig(at - AREA.DEVICE, size, value);
      },
    };
  }

  /** Reading acknowledges. */
  #readIsr(): number {
    const { isr } = this.device.state;
    this.device.state.isr = 0;
    this.function.setInterrupt(false);
    return isr;
  }

  #interrupt(vector: number): void {
    if (this.msix?.enabled === true) this.msix.notify(vector);
    else this.function.setInterrupt(true);
  }

  #openWindow(): void {
    const { function: pciFunction } = this;
    const base = windowOffset(pciFunction);
    const data = base + WINDOW.DATA;
    this.#windowAt = base;
    const touchesData = (at: number, size: number): boolean => at < data + 4 && at + size > data;
    pciFunction.onConfigRead = (at, size) => {
      if (!touchesData(at, size)) return;
      const access = this.#windowAccess();
      if (access === undefined) return;
      const value = this.#modern.read(access.offset, access.length);
      for (let index = 0; index < access.length; index++) pciFunction.state.config[data + index] = (value >>> (8 * index)) & 0xff;
    };
    pciFunction.capabilityListeners.push((at, size) => {
      if (!touchesData(at, size) || size > 4) return; // a restore writes nothing
      const access = this.#windowAccess();
      const value = pciFunction.u32(data);
      if (access !== undefined) this.#modern.write(access.offset, access.length, (value & allOnes(access.length)) >>> 0);
    });
  }

  #windowAccess(): { readonly offset: number; readonly length: number } | undefined {
    const { function: pciFunction } = this;
    const at = this.#windowAt;
    const [offset, length] = [pciFunction.u32(at + WINDOW.OFFSET), pciFunction.u32(at + WINDOW.LENGTH)];
    const isAccess = (length === 1 || length === 2 || length === 4) && offset % length === 0 && offset + length <= AREA.END;
    return pciFunction.byte(at + WINDOW.BAR) === MODERN_BAR && isAccess ? { offset, length } : undefined;
  }
}

const msixLayout = (vectors: number) => ({ vectors, bar: MSIX_BAR, tableOffset: 0, pendingOffset: MSIX_PENDING });

const modernCapabilities = (device: VirtioDevice): CapabilityDeclaration[] => [
  windowCapability,
  vendorCapability(CAPABILITY.NOTIFY, AREA.NOTIFY, PAGE, le32(NOTIFY_MULTIPLIER)),
  vendorCapability(CAPABILITY.DEVICE, AREA.DEVICE, Math.max(4, device.state.config.length)),
  vendorCapability(CAPABILITY.ISR, AREA.ISR, PAGE),
  vendorCapability(CAPABILITY.COMMON, AREA.COMMON, PAGE),
];

/** The window is the first vendor capability of the list. */
const windowOffset = (pciFunction: PciFunction): number => pciFunction.capability(VENDOR_CAPABILITY);

