// PCI bus 0 from the host's side: configuration mechanism #1 at 0xcf8/0xcfc and the swizzled interrupt lines.
// What a function needs of the board beside its registers (guest memory, interrupt messages) is reached through the bus.
// Not bridges, not the extended configuration space.
import { assert } from '../base/assert.ts';
import type { DmaMemory } from '../ports/dma.ts';
import type { IrqLine } from '../ports/irq-line.ts';
import { u32 } from '../state/fields.ts';
import { defineState } from '../state/define-state.ts';
import { defineEvents } from '../trace/event.ts';
import { allOnes, type SystemBus } from './address-space.ts';
import type { Device, ResetPhase } from './device.ts';
import { WiredOr } from './irq.ts';
import { PciFunction, type PciHeader } from './pci-function.ts';

export const PIRQ_COUNT = 4;
const CONFIG_ADDRESS = 0xcf8;
const ENABLE = 0x8000_0000;

export const trace = defineEvents('pci', {
  configRead: '{slot}.{function} {name:str} at {at:hex} size {size} = {value:hex}',
  configWrite: '{slot}.{function} {name:str} at {at:hex} size {size} = {value:hex}',
});

export const pciHostState = defineState({ kind: 'pci-host', version: 1, fields: { address: u32() } });
type PciHostState = ReturnType<typeof pciHostState.initial>;

export interface PciBusOptions {
  readonly bus: SystemBus;
  /** PIRQA ... PIRQD. */
  readonly pirqs: readonly IrqLine[];
  /** Which PIRQ the INTA of slot 0 is wired to; on a PC board slot 1 gets PIRQA. */
  readonly firstPirq?: number;
  /** Guest memory, for bus masters. */
  readonly memory?: DmaMemory;
  /** A memory write that is an interrupt (MSI, MSI-X). */
  readonly sendMessage?: (address: number, data: number) => void;
}

const NO_MEMORY: DmaMemory = { view: () => undefined, written: () => {} };

export class PciBus implements Device<PciHostState> {
  readonly schema = pciHostState;
  state = pciHostState.initial();
  readonly bus: SystemBus;
  readonly memory: DmaMemory;
  readonly sendMessage: (address: number, data: number) => void;
  readonly #functions: (PciFunction | undefined)[] = new Array<undefined>(256).fill(undefined);
  readonly #pirqs: readonly WiredOr[];
  readonly #firstPirq: number;

  constructor({ bus, pirqs, firstPirq = 3, memory = NO_MEMORY, sendMessage = () => {} }: PciBusOptions) {
    assert(pirqs.length === PIRQ_COUNT, 'a PCI bus has four interrupt lines');
    this.bus = bus;
    this.memory = memory;
    this.sendMessage = sendMessage;
    this.#pirqs = pirqs.map((line) => new WiredOr(line));
    this.#firstPirq = firstPirq;
    bus.claimPorts({
      base: CONFIG_ADDRESS, size: 4, name: 'pci-address', widthMax: 4,
      read: (at, size) => (size === 4 ? this.state.address : allOnes(size)),
      write: (_at, size, value) => { if (size === 4) this.state.address = value & ~3; this.state.address >>>= 0; },
    });
    bus.claimPorts({
      base: CONFIG_ADDRESS + 4, size: 4, name: 'pci-data', widthMax: 4,
      read: (at, size) => this.#dataRead(at, size),
      write: (at, size, value) => this.#dataWrite(at, size, value),
    });
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = pciHostState.initial();
  }

  settle(): void {
    // No outputs of its own: every function drives its interrupt itself.
  }

  /** Plugs a function in. Its INTx goes to the PIRQ that slot and pin select. */
  add(slot: number, number: number, header: PciHeader): PciFunction {
    const address = (slot << 3) | number;
    assert(slot < 32 && number < 8 && this.#functions[address] === undefined, `PCI address ${slot}.${number} is free`);
    const pin = header.interruptPin ?? 0;
    const line = pin === 0 ? undefined : this.#pirqs[(slot + pin - 1 + this.#firstPirq) % PIRQ_COUNT]!.input();
    const added = new PciFunction(header, { bus: this.bus, interrupt: (level) => line?.set(level) });
    this.#functions[address] = added;
    return added;
  }

  /** The functions present, by slot and number. */
  get functions(): readonly { readonly slot: number; readonly number: number; readonly function: PciFunction }[] {
    return this.#functions.flatMap((present, address) =>
      present === undefined ? [] : [{ slot: address >> 3, number: address & 7, function: present }],
    );
  }

  /** The function at a place; undefined when it is free. */
  at(slot: number, number: number): PciFunction | undefined {
    return this.#functions[(slot << 3) | number];
  }

  /** The first slot without any function; undefined when all are in use. */
  freeSlot(): number | undefined {
    for (let slot = 0; slot < 32; slot++) {
      if (this.#functions.slice(slot << 3, (slot + 1) << 3).every((present) => present === undefined)) return slot;
    }
    return undefined;
  }

  #selected(): PciFunction | undefined {
    const { address } = this.state;
    const bus = (address >>> 16) & 0xff;
    return (address & ENABLE) === 0 || bus !== 0 ? undefined : this.#functions[(address >>> 8) & 0xff];
  }

  #dataRead(at: number, size: number): number {
    const selected = this.#selected();
    if (selected === undefined) return allOnes(size);
    const offset = (this.state.address & 0xfc) + at;
    const value = selected.readConfig(offset, size);
    trace.configRead?.({ ...this.#place(), name: selected.header.name, at: offset, size, value });
    return value;
  }

  #dataWrite(at: number, size: number, value: number): void {
    const selected = this.#selected();
    if (selected === undefined) return;
    const offset = (this.state.address & 0xfc) + at;
    trace.configWrite?.({ ...this.#place(), name: selected.header.name, at: offset, size, value });
    selected.writeConfig(offset, size, value);
  }

  #place(): { readonly slot: number; readonly function: number } {
    return { slot: (this.state.address >>> 11) & 31, function: (this.state.address >>> 8) & 7 };
  }
}
