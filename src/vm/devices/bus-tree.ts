// The buses that a -device can plug into, by name, and which of them a device gets. Names and error texts are QEMU's.
import { Failure } from '../../base/failure.ts';
import type { IsaBus } from '../../bus/isa-bus.ts';
import type { PciBus } from '../../bus/pci-bus.ts';
import type { AtaBus } from '../../devices/ata/ata-bus.ts';
import type { I82077 } from '../../devices/floppy/i82077.ts';
import type { ScsiBus } from '../../devices/scsi/scsi-bus.ts';
import type { VirtioConsole } from '../../devices/virtio/virtio-console.ts';
import type { VirtioMmio } from '../../devices/virtio/virtio-mmio.ts';

/** What a bus of each kind is to the devices on it. Whoever brings a controller with a bus of its own adds its kind here. */
export interface BusKinds {
  readonly ISA: IsaBus;
  readonly PCI: PciBus;
  readonly IDE: AtaBus;
  readonly 'floppy-bus': I82077;
  readonly SCSI: ScsiBus;
  readonly 'virtio-bus': VirtioMmio;
  readonly 'virtio-serial-bus': VirtioConsole;
}
export type BusKind = keyof BusKinds;

interface NamedBus {
  readonly name: string;
  readonly kind: BusKind;
  readonly bus: BusKinds[BusKind];
  /** No more devices fit: who does not name this bus gets another one. */
  readonly isFull: () => boolean;
}

export interface BusPlacement {
  /** A bus of the board has a name; a device's is called after the device's id, or counted. */
  readonly name?: string;
  readonly ownerId?: string | undefined;
  readonly isFull?: () => boolean;
  /** The Open Firmware path that what hangs on the bus continues. */
  readonly firmwarePath?: string;
}

export class BusTree {
  readonly #buses: NamedBus[] = [];
  readonly #firmwarePaths = new Map<BusKinds[BusKind], string>();
  readonly #countOf = new Map<string, number>();

  add<K extends BusKind>(kind: K, bus: BusKinds[K], { name, ownerId, isFull = () => false, firmwarePath }: BusPlacement = {}): void {
    if (firmwarePath !== undefined) this.#firmwarePaths.set(bus, firmwarePath);
    const prefix = ownerId ?? kind.toLowerCase();
    const count = this.#countOf.get(prefix) ?? 0;
    this.#countOf.set(prefix, count + 1);
    this.#buses.push({ name: name ?? `${prefix}.${count}`, kind, bus, isFull });
  }

  firmwarePath(bus: BusKinds[BusKind]): string | undefined {
    return this.#firmwarePaths.get(bus);
  }

  /** The bus for a device of type `driver`: the named one, else the first of its kind that has room. */
  find<K extends BusKind>(kind: K, driver: string, name?: string): BusKinds[K] {
    if (name === undefined) {
      const found = this.#buses.find((candidate) => candidate.kind === kind && !candidate.isFull());
      if (found === undefined) throw new Failure('invalid-argument', `No '${kind}' bus found for device '${driver}'`);
      return found.bus as BusKinds[K];
    }
    const named = this.#buses.find((candidate) => candidate.name === name);
    if (named === undefined) throw new Failure('invalid-argument', `Bus '${name}' not found`);
    if (named.kind !== kind) throw new Failure('invalid-argument', `Device '${driver}' can't go on ${named.kind} bus`);
    if (named.isFull()) throw new Failure('limit', `Bus '${name}' is full`);
    return named.bus as BusKinds[K];
  }
}
