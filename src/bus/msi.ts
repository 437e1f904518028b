// Message-signalled interrupts of a PCI function (PCI Local Bus 3.0, 6.8.1): one message with a 64-bit address, without masking.
import type { CapabilityDeclaration, PciFunction } from './pci-function.ts';

const MSI_CAPABILITY = 0x05;
const CONTROL = 2;
const ADDRESS = 4;
const ADDRESS_HIGH = 8;
const DATA = 12;
const ENABLE = 0x01;
const WIDE = 0x80;

export const msiCapability = (at?: number): CapabilityDeclaration => ({
  id: MSI_CAPABILITY,
  ...(at !== undefined && { at }),
  body: [WIDE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  writable: {
    [CONTROL]: ENABLE,
    ...Object.fromEntries([0xfc, 0xff, 0xff, 0xff].map((mask, index) => [ADDRESS + index, mask])),
    ...Object.fromEntries([0, 1, 2, 3].map((index) => [ADDRESS_HIGH + index, 0xff])),
    [DATA]: 0xff,
    [DATA + 1]: 0xff,
  },
});

export class Msi {
  readonly #function: PciFunction;
  readonly #at: number;
  readonly #send: (address: number, data: number) => void;

  constructor(pciFunction: PciFunction, send: (address: number, data: number) => void) {
    this.#function = pciFunction;
    this.#at = pciFunction.capability(MSI_CAPABILITY);
    this.#send = send;
  }

  get enabled(): boolean {
    return (this.#function.byte(this.#at + CONTROL) & ENABLE) !== 0;
  }

  /** Sends the message while the guest has switched it on. */
  notify(): void {
    if (!this.enabled || this.#function.u32(this.#at + ADDRESS_HIGH) !== 0) return;
    this.#send(this.#function.u32(this.#at + ADDRESS), this.#function.u16(this.#at + DATA));
  }
}
