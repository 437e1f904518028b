// PCI bus 0 from the host's side: configuration mechanism #1 at 0xcf8/0xcfc, what a memory-mapped mechanism needs of the bus, and
// the routing of interrupt lines. What a function needs of the board beside its registers (guest memory, interrupt messages) is
// reached through the bus. Not bridges, and no function has more than 256 bytes of configuration space.
import { assert } from '../base/assert.ts';
import type { DmaMemory } from '../ports/dma.ts';
import type { IrqLine } from '../ports/irq-line.ts';
import { u32 } from '../state/fields.ts';
import { defineState } from '../state/define-state.ts';
import { defineEvents } from '../trace/event.ts';
import { allOnes, type SystemBus } from './address-space.ts';
import type { Device, ResetPhase } from './device.ts';
import { WiredOr } from './irq.ts';
import { CONFIG_BYTES, PciFunction, type PciHeader } from './pci-function.ts';

const PIN_COUNT = 4;
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
  /** PIRQA, PIRQB, ... */
  readonly pirqs: readonly IrqLine[];
  /** Which PIRQ a slot's pin is wired to, INTA being 0. By default as on a PIIX3 board: slot 1 begins with PIRQA. */
  readonly route?: (slot: number, pin: number) => number;
  /** Guest memory, for bus masters. */
  readonly memory?: DmaMemory;
  /** A memory write that is an interrupt (MSI, MSI-X). */
  readonly sendMessage?: (address: number, data: number) => void;
}

const piixRoute = (slot: number, pin: number): number => (slot + pin + PIN_COUNT - 1) % PIN_COUNT;

const NO_MEMORY: DmaMemory = { view: () => undefined, written: () => {} };

export class PciBus implements Device<PciHostState> {
  readonly schema = pciHostState;
  state = pciHostState.initial();
  readonly bus: SystemBus;
  readonly memory: DmaMemory;
  readonly sendMessage: (address: number, data: number) => void;
  readonly #functions: (PciFunction | undefined)[] = new Array<undefined>(256).fill(undefined);
  readonly #pirqs: readonly WiredOr[];
  readonly #route: (slot: number, pin: number) => number;

  constructor({ bus, pirqs, route = piixRoute, memory = NO_MEMORY, sendMessage = () => {} }: PciBusOptions) {
    this.bus = bus;
    this.memory = memory;
    this.sendMessage = sendMessage;
    this.#pirqs = pirqs.map((line) => new WiredOr(line));
    this.#route = route;
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
    const line = pin === 0 ? undefined : this.#pirqs[this.#route(slot, pin - 1)]!.input();
    const added = new PciFunction(header, { bus: this.bus, interrupt: (level) => line?.set(level) });
    this.#functions[address] = added;
    return added;
  }

  /** The PIRQ, from 0 on, that a slot's pin (1 = INTA#) leads to. */
  pirqOf(slot: number, pin: number): number {
    return this.#route(slot, pin - 1);
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

  /** Reads configuration space: `address` is bus (8 bits), slot (5) and function (3); where nothing is it reads as ones. */
  readConfig(address: number, at: number, size: number): number {
    const selected = address < this.#functions.length ? this.#functions[address] : undefined;
    if (selected === undefined || at + size > CONFIG_BYTES) return allOnes(size);
    const value = selected.readConfig(at, size);
    trace.configRead?.({ slot: address >> 3, function: address & 7, name: selected.header.name, at, size, value });
    return value;
  }

  writeConfig(address: number, at: number, size: number, value: number): void {
    const selected = address < this.#functions.length ? this.#functions[address] : undefined;
    if (selected === undefined || at + size > CONFIG_BYTES) return;
    trace.configWrite?.({ slot: address >> 3, function: address & 7, name: selected.header.name, at, size, value });
    selected.writeConfig(at, size, value);
  }

  #dataRead(at: number, size: number): number {
    const { address } = this.state;
    return (address & ENABLE) === 0 ? allOnes(size) : this.readConfig((address >>> 8) & 0xffff, (address & 0xfc) + at, size);
  }

  #dataWrite(at: number, size: number, value: number): void {
    const { address } = this.state;
    if ((address & ENABLE) !== 0) this.writeConfig((address >>> 8) & 0xffff, (address & 0xfc) + at, size, value);
  }
}
