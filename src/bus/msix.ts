// MSI-X of a PCI function: the vector table and the pending bits, which lie in one of its base address registers, and the
// capability that switches them on. PCI Local Bus 3.0, 6.8.2. Not MSI.
import { assert } from '../base/assert.ts';
import { bytes } from '../state/fields.ts';
import { defineState, type StateSchema } from '../state/define-state.ts';
import { allOnes } from './address-space.ts';
import type { Device, ResetPhase } from './device.ts';
import type { CapabilityDeclaration, PciFunction } from './pci-function.ts';

const MSIX_CAPABILITY = 0x11;
const CONTROL = { HIGH_BYTE: 3, MASK: 0x40, ENABLE: 0x80 } as const;
const ENTRY_BYTES = 16;
const ENTRY = { ADDRESS: 0, ADDRESS_HIGH: 4, DATA: 8, CONTROL: 12 } as const;
const VECTOR_MASKED = 1;
export const MSIX_VECTORS_MAX = 2048;

/** Where table and pending bits lie: offsets in a base address register, multiples of 8. */
export interface MsixLayout {
  readonly vectors: number;
  readonly bar: number;
  readonly tableOffset: number;
  readonly pendingOffset: number;
}

const dword = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24];

export function msixCapability({ vectors, bar, tableOffset, pendingOffset }: MsixLayout): CapabilityDeclaration {
  assert(vectors > 0 && vectors <= MSIX_VECTORS_MAX && ((tableOffset | pendingOffset) & 7) === 0, 'an MSI-X table');
  const control = [(vectors - 1) & 0xff, (vectors - 1) >> 8];
  return {
    id: MSIX_CAPABILITY,
    body: [...control, ...dword(tableOffset | bar), ...dword(pendingOffset | bar)],
    writable: { [CONTROL.HIGH_BYTE]: CONTROL.MASK | CONTROL.ENABLE },
  };
}

export interface MsixState {
  table: Uint8Array;
  pending: Uint8Array;
}

export class Msix implements Device<MsixState> {
  readonly schema: StateSchema<MsixState>;
  state: MsixState;
  readonly layout: MsixLayout;
  readonly #function: PciFunction;
  readonly #control: number;
  readonly #send: (address: number, data: number) => void;
  /** Over the table of the current state, which a restore replaces. */
  #view: DataView | undefined;

  constructor(pciFunction: PciFunction, layout: MsixLayout, send: (address: number, data: number) => void) {
    const { vectors } = layout;
    this.layout = layout;
    this.#function = pciFunction;
    this.#send = send;
    this.#control = pciFunction.capability(MSIX_CAPABILITY) + CONTROL.HIGH_BYTE;
    assert(this.#control > CONTROL.HIGH_BYTE, `${pciFunction.header.name} declares MSI-X`);
    const masked = new Uint8Array(vectors * ENTRY_BYTES);
    for (let vector = 0; vector < vectors; vector++) masked[vector * ENTRY_BYTES + ENTRY.CONTROL] = VECTOR_MASKED;
    this.schema = defineState({
      kind: `${pciFunction.header.name}.msix`,
      version: 1,
      fields: { table: bytes(masked.length, masked), pending: bytes(Math.ceil(vectors / 64) * 8) },
    });
    this.state = this.schema.initial();
    pciFunction.capabilityListeners.push((at, size) => {
      if (at <= this.#control && at + size > this.#control) this.#sendPending();
    });
  }

  get enabled(): boolean {
    return (this.#function.byte(this.#control) & CONTROL.ENABLE) !== 0;
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = this.schema.initial();
  }

  settle(): void {
    // A message is an event: there is no level to drive again.
  }

  /** Sends a vector's message, or notes it while it is masked. A vector that there is not is the guest's mistake. */
  notify(vector: number): void {
    if (!this.enabled || vector >= this.layout.vectors) return;
    if (this.#masked(vector)) this.#setPending(vector, true);
    else this.#message(vector);
  }

  readTable(at: number, size: number): number {
    return readBytes(this.state.table, at, size);
  }

  writeTable(at: number, size: number, value: number): void {
    const { table } = this.state;
    for (let index = 0; index < size && at + index < table.length; index++) table[at + index] = (value >>> (8 * index)) & 0xff;
    const vector = Math.floor(at / ENTRY_BYTES);
    if (vector >= this.layout.vectors) return;
    table[vector * ENTRY_BYTES + ENTRY.CONTROL]! &= VECTOR_MASKED;
    if (this.enabled) this.#sendIfPending(vector);
  }

  readPending(at: number, size: number): number {
    return readBytes(this.state.pending, at, size);
  }

  #masked(vector: number): boolean {
    const functionMasked = (this.#function.byte(this.#control) & CONTROL.MASK) !== 0;
    return functionMasked || (this.state.table[vector * ENTRY_BYTES + ENTRY.CONTROL]! & VECTOR_MASKED) !== 0;
  }

  #setPending(vector: number, value: boolean): void {
    const { pending } = this.state;
    const bit = 1 << (vector & 7);
    pending[vector >> 3] = value ? pending[vector >> 3]! | bit : pending[vector >> 3]! & ~bit;
  }

  #message(vector: number): void {
    const { table } = this.state;
    if (this.#view?.buffer !== table.buffer || this.#view.byteOffset !== table.byteOffset) {
      this.#view = new DataView(table.buffer, table.byteOffset, table.byteLength);
    }
    const entry = vector * ENTRY_BYTES;
    if (this.#view.getUint32(entry + ENTRY.ADDRESS_HIGH, true) !== 0) return; // nobody listens there
    this.#send(this.#view.getUint32(entry + ENTRY.ADDRESS, true), this.#view.getUint32(entry + ENTRY.DATA, true));
  }

  #sendPending(): void {
    if (!this.enabled) return;
    for (let vector = 0; vector < this.layout.vectors; vector++) this.#sendIfPending(vector);
  }

  #sendIfPending(vector: number): void {
    if ((this.state.pending[vector >> 3]! & (1 << (vector & 7))) === 0 || this.#masked(vector)) return;
    this.#setPending(vector, false);
    this.#message(vector);
  }
}

function readBytes(source: Uint8Array, at: number, size: number): number {
  if (at + size > source.length) return allOnes(size);
  let value = 0;
  for (let index = size - 1; index >= 0; index--) value = (value << 8) | source[at + index]!;
  return value >>> 0;
}
