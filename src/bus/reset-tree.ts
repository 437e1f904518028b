// The devices of a machine by name: whom a reset reaches and what a saved state holds. Interrupt controllers are added
// last, so that after a restore they settle when all lines have their levels.
import { assert } from '../base/assert.ts';
import { restoreAll, saveAll } from '../state/stream.ts';
import type { Device } from './device.ts';

export class ResetTree {
  readonly #devices = new Map<string, Device>();

  /** Adds a device under a name that is unique in the machine, and returns it. */
  add<D extends Device>(name: string, device: D): D {
    assert(!this.#devices.has(name), `device name ${name} is unique`);
    this.#devices.set(name, device);
    return device;
  }

  get devices(): ReadonlyMap<string, Device> {
    return this.#devices;
  }

  reset(): void {
    for (const device of this.#devices.values()) device.reset('enter');
    for (const device of this.#devices.values()) device.reset('settle');
  }

  save(): Uint8Array {
    return saveAll(this.#devices);
  }

  /** Throws Failure and changes nothing when the bytes are not a state of these devices. */
  restore(bytes: Uint8Array): void {
    restoreAll(this.#devices, bytes);
  }
}
