// One PCI function: its 256-byte configuration space, declared as a header, with base address registers that map and
// unmap regions as the guest says. Type 0 headers only (PCI Local Bus 3.0, chapter 6). What the function does besides
// is another device that looks at this one.
import { assert } from '../base/assert.ts';
import { bytes } from '../state/fields.ts';
import { defineState, type StateSchema } from '../state/define-state.ts';
import type { Claim, Region, SystemBus } from './address-space.ts';
import type { Device, ResetPhase } from './device.ts';

export const CONFIG_BYTES = 256;

/** Offsets in the header. */
export const PCI = {
  VENDOR_ID: 0x00, DEVICE_ID: 0x02, COMMAND: 0x04, STATUS: 0x06, REVISION: 0x08, CLASS: 0x09, HEADER_TYPE: 0x0e, BAR0: 0x10,
  SUBSYSTEM_VENDOR_ID: 0x2c, SUBSYSTEM_ID: 0x2e, CAPABILITIES: 0x34, INTERRUPT_LINE: 0x3c, INTERRUPT_PIN: 0x3d,
} as const;
export const COMMAND = { IO: 1, MEMORY: 2, MASTER: 4, INTX_DISABLE: 0x400 } as const;
export const STATUS = { INTERRUPT: 0x08, CAPABILITIES: 0x10, W1C: 0xf900 } as const;
const MULTI_FUNCTION = 0x80;
const FIRST_CAPABILITY = 0x40;
const BAR_COUNT = 6;
/** Ends of what base address registers may map: the processor's physical address space has 40 bits. */
const IO_LIMIT = 0x1_0000;
const LOW_MEMORY_LIMIT = 0xffff_f000;
const MEMORY_LIMIT = 2 ** 40;
/** Relocatable regions give way to the board's fixed ones. */
const BAR_PRIORITY = -1;

export interface BarDeclaration {
  readonly index: number;
  readonly space: 'io' | 'memory';
  /** A 64-bit memory register: it takes the next one too. */
  readonly wide?: boolean;
  readonly prefetchable?: boolean;
  /** A power of two, at least 4 (I/O) or 16 (memory); `base` of the region is ignored. */
  readonly region: Omit<Region, 'base'>;
}

/** An entry of the capability list. */
export interface CapabilityDeclaration {
  readonly id: number;
  /** Where it is in configuration space; behind the one before when absent. */
  readonly at?: number;
  /** The bytes behind id and next pointer. */
  readonly body: readonly number[];
  /** Bits that can be written, by offset in the capability (its id is at 0). */
  readonly writable?: Readonly<Record<number, number>>;
}

export interface PciHeader {
  readonly name: string;
  readonly vendorId: number;
  readonly deviceId: number;
  readonly revision?: number;
  /** Base class, subclass, programming interface: 0x060000 is a host bridge. */
  readonly classCode: number;
  readonly subsystemVendorId?: number;
  readonly subsystemId?: number;
  readonly multiFunction?: boolean;
  /** 1 = INTA# ... 4 = INTD#; 0 or absent: none. */
  readonly interruptPin?: number;
  readonly bars?: readonly BarDeclaration[];
  readonly capabilities?: readonly CapabilityDeclaration[];
  /** Other bytes after reset, by offset. */
  readonly initial?: Readonly<Record<number, number>>;
  /** Bits that can be written beyond those every function has, by offset. */
  readonly writable?: Readonly<Record<number, number>>;
  /** Bits that writing ones clears, by offset. */
  readonly w1c?: Readonly<Record<number, number>>;
}

export type PciConfigState = { config: Uint8Array };

function initialConfig(header: PciHeader): Uint8Array {
  const config = new Uint8Array(CONFIG_BYTES);
  const view = new DataView(config.buffer);
  view.setUint16(PCI.VENDOR_ID, header.vendorId, true);
  view.setUint16(PCI.DEVICE_ID, header.deviceId, true);
  view.setUint32(PCI.REVISION, ((header.classCode << 8) | (header.revision ?? 0)) >>> 0, true);
  config[PCI.HEADER_TYPE] = header.multiFunction === true ? MULTI_FUNCTION : 0;
  view.setUint16(PCI.SUBSYSTEM_VENDOR_ID, header.subsystemVendorId ?? 0, true);
  view.setUint16(PCI.SUBSYSTEM_ID, header.subsystemId ?? 0, true);
  config[PCI.INTERRUPT_PIN] = header.interruptPin ?? 0;
  for (const { index, space, prefetchable, wide } of header.bars ?? []) {
    config[PCI.BAR0 + 4 * index] = space === 'io' ? 1 : (prefetchable === true ? 8 : 0) | (wide === true ? 4 : 0);
  }
  let link: number = PCI.CAPABILITIES;
  for (const { capability, at } of placeCapabilities(header)) {
    config[PCI.STATUS] = config[PCI.STATUS]! | STATUS.CAPABILITIES;
    config[link] = at;
    config.set([capability.id, 0, ...capability.body], at);
    link = at + 1;
  }
  for (const [at, value] of Object.entries(header.initial ?? {})) config[Number(at)] = value;
  return config;
}

function placeCapabilities(header: PciHeader): { readonly capability: CapabilityDeclaration; readonly at: number }[] {
  let next = FIRST_CAPABILITY;
  return (header.capabilities ?? []).map((capability) => {
    const at = capability.at ?? next;
    next = at + ((2 + capability.body.length + 3) & ~3);
    assert(at >= FIRST_CAPABILITY && next <= CONFIG_BYTES, `${header.name}: capability ${capability.id} lies in configuration space`);
    return { capability, at };
  });
}

function writableMask(header: PciHeader): Uint8Array {
  const mask = new Uint8Array(CONFIG_BYTES);
  const view = new DataView(mask.buffer);
  view.setUint16(PCI.COMMAND, COMMAND.IO | COMMAND.MEMORY | COMMAND.MASTER | COMMAND.INTX_DISABLE | 0x140, true);
  mask[0x0c] = 0xff; // cache line size
  mask[0x0d] = 0xff; // latency timer
  mask[PCI.INTERRUPT_LINE] = 0xff;
  for (const { capability, at } of placeCapabilities(header)) {
    for (const [offset, bits] of Object.entries(capability.writable ?? {})) mask[at + Number(offset)] = bits;
  }
  for (const { index, space, region, wide } of header.bars ?? []) {
    const last = index + (wide === true ? 1 : 0);
    assert(last < BAR_COUNT && Number.isInteger(Math.log2(region.size)), `${header.name}: base address register ${index}`);
    view.setUint32(PCI.BAR0 + 4 * index, ~(region.size - 1) & (space === 'io' ? 0xffff_fffc : 0xffff_fff0), true);
    if (wide === true) view.setUint32(PCI.BAR0 + 4 * index + 4, 0xffff_ffff, true);
  }
  for (const [at, value] of Object.entries(header.writable ?? {})) mask[Number(at)] = value;
  return mask;
}

export interface PciFunctionWires {
  readonly bus: SystemBus;
  /** The function's interrupt changed or may be masked differently now; the PCI bus routes it. */
  readonly interrupt: (level: boolean) => void;
}

export class PciFunction implements Device<PciConfigState> {
  readonly schema: StateSchema<PciConfigState>;
  readonly header: PciHeader;
  state: PciConfigState;
  /** Called after a configuration write, and when the function settles. */
  onConfig: ((at: number, size: number) => void) | undefined;
  /** What else looks at configuration writes: a capability with a life of its own (MSI-X). */
  readonly capabilityListeners: ((at: number, size: number) => void)[] = [];
  /** Called before a configuration read: a capability that shows something else (virtio's window to a BAR). */
  onConfigRead: ((at: number, size: number) => void) | undefined;
  readonly #writable: Uint8Array;
  readonly #w1c: Uint8Array;
  readonly #wires: PciFunctionWires;
  readonly #claims: readonly { readonly bar: BarDeclaration; readonly claim: Claim }[];

  constructor(header: PciHeader, wires: PciFunctionWires) {
    this.header = header;
    this.schema = defineState({ kind: `${header.name}.pci`, version: 1, fields: { config: bytes(CONFIG_BYTES, initialConfig(header)) } });
    this.state = this.schema.initial();
    this.#writable = writableMask(header);
    this.#w1c = new Uint8Array(CONFIG_BYTES);
    this.#w1c[PCI.STATUS + 1] = STATUS.W1C >> 8;
    for (const [at, value] of Object.entries(header.w1c ?? {})) this.#w1c[Number(at)] = value;
    this.#wires = wires;
    this.#claims = (header.bars ?? []).map((bar) => {
      const space = bar.space === 'io' ? wires.bus.ports : wires.bus.mmio;
      return { bar, claim: space.claimUnmapped({ priority: BAR_PRIORITY, ...bar.region, base: 0 }) };
    });
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = this.schema.initial();
    else this.settle();
  }

  settle(): void {
    this.#mapBars();
    this.#driveInterrupt();
    this.#announce(0, CONFIG_BYTES);
  }

  /** INTx of this function; visible in the status register, maskable in the command register. */
  setInterrupt(level: boolean): void {
    const { config } = this.state;
    if (level === ((config[PCI.STATUS]! & STATUS.INTERRUPT) !== 0)) return;
    config[PCI.STATUS] = level ? config[PCI.STATUS]! | STATUS.INTERRUPT : config[PCI.STATUS]! & ~STATUS.INTERRUPT;
    this.#driveInterrupt();
  }

  byte(at: number): number {
    return this.state.config[at]!;
  }

  u16(at: number): number {
    return this.byte(at) | (this.byte(at + 1) << 8);
  }

  u32(at: number): number {
    return (this.u16(at) | (this.u16(at + 2) << 16)) >>> 0;
  }

  readConfig(at: number, size: number): number {
    this.onConfigRead?.(at, size);
    let value = 0;
    for (let index = 0; index < size; index++) value |= this.byte((at + index) & 0xff) << (8 * index);
    return value >>> 0;
  }

  writeConfig(at: number, size: number, value: number): void {
    const { config } = this.state;
    for (let index = 0; index < size; index++) {
      const offset = (at + index) & 0xff;
      const written = (value >>> (8 * index)) & 0xff;
      const mask = this.#writable[offset]!;
      config[offset] = (config[offset]! & ~mask & ~(written & this.#w1c[offset]!)) | (written & mask);
    }
    if (at < PCI.BAR0 + 4 * BAR_COUNT && at + size > PCI.COMMAND) {
      this.#mapBars();
      this.#driveInterrupt();
    }
    this.#announce(at, size);
  }

  #announce(at: number, size: number): void {
    this.onConfig?.(at, size);
    for (const listener of this.capabilityListeners) listener(at, size);
  }

  /** Where the first capability of this id is; 0 when there is none. */
  capability(id: number): number {
    return placeCapabilities(this.header).find(({ capability }) => capability.id === id)?.at ?? 0;
  }

  /** The region that a base address register maps, while it is mapped; undefined else. */
  mappedBar(index: number): Claim | undefined {
    const claim = this.#claims.find(({ bar }) => bar.index === index)?.claim;
    return claim?.mapped === true ? claim : undefined;
  }

  #driveInterrupt(): void {
    const disabled = (this.u16(PCI.COMMAND) & COMMAND.INTX_DISABLE) !== 0;
    this.#wires.interrupt((this.byte(PCI.STATUS) & STATUS.INTERRUPT) !== 0 && !disabled);
  }

  #mapBars(): void {
    const command = this.u16(PCI.COMMAND);
    for (const { bar, claim } of this.#claims) {
      const io = bar.space === 'io';
      const low = (this.u32(PCI.BAR0 + 4 * bar.index) & (io ? 0xffff_fffc : 0xffff_fff0)) >>> 0;
      const base = low + (bar.wide === true ? this.u32(PCI.BAR0 + 4 * bar.index + 4) * 2 ** 32 : 0);
      // All ones is a sizing probe, zero means not yet assigned; neither is a place to answer at.
      const limit = io ? IO_LIMIT : base >= 2 ** 32 ? MEMORY_LIMIT : LOW_MEMORY_LIMIT;
      const placed = base !== 0 && base + bar.region.size <= limit;
      if (placed && (command & (io ? COMMAND.IO : COMMAND.MEMORY)) !== 0) claim.map(base);
      else claim.unmap();
    }
  }
}
