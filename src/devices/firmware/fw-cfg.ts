// fw_cfg: named files that the machine hands to firmware and guest, selected and read through ports, or by DMA
// (QEMU's docs/specs/fw_cfg). Files are bytes or functions that make them when they are first looked at.
import { assert } from '../../base/assert.ts';
import type { SystemBus } from '../../bus/address-space.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import type { DmaMemory } from '../../ports/dma.ts';
import { u16, u32 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { defineEvents } from '../../trace/event.ts';

export const trace = defineEvents('fw-cfg', {
  select: 'item {key:hex}',
  dma: 'control {control:hex} length {length} address {address:hex}',
});

const PORT = { SELECTOR: 0x510, DATA: 0x511, DMA: 0x514 } as const;
export const KEY = {
  SIGNATURE: 0x00,
  ID: 0x01,
  UUID: 0x02,
  RAM_SIZE: 0x03,
  NOGRAPHIC: 0x04,
  NB_CPUS: 0x05,
  MACHINE_ID: 0x06,
  KERNEL_ADDR: 0x07,
  KERNEL_SIZE: 0x08,
  KERNEL_CMDLINE: 0x09,
  INITRD_ADDR: 0x0a,
  INITRD_SIZE: 0x0b,
  BOOT_DEVICE: 0x0c,
  NUMA: 0x0d,
  BOOT_MENU: 0x0e,
  MAX_CPUS: 0x0f,
  KERNEL_ENTRY: 0x10,
  KERNEL_DATA: 0x11,
  INITRD_DATA: 0x12,
  CMDLINE_ADDR: 0x13,
  CMDLINE_SIZE: 0x14,
  CMDLINE_DATA: 0x15,
  SETUP_ADDR: 0x16,
  SETUP_SIZE: 0x17,
  SETUP_DATA: 0x18,
  FILE_DIR: 0x19,
  FILE_FIRST: 0x20,
  X86_IRQ0_OVERRIDE: 0x8002,
  X86_E820: 0x8003,
  X86_HPET: 0x8004,
} as const;
const ID = { TRADITIONAL: 1, DMA: 2 } as const;
const DMA = { ERROR: 1, READ: 2, SKIP: 4, SELECT: 8, WRITE: 16 } as const;
const FILE_NAME_BYTES = 56;
const DIRECTORY_ENTRY_BYTES = 64;
const SIGNATURE = 'QEMU';
const DMA_SIGNATURE = [0x51_45_4d_55, 0x20_43_46_47] as const; // "QEMU CFG"
/** A guest that asks for more in one piece gets an error, not a long pause. */
const DMA_BYTES_MAX = 0x4000_0000;

export type FwCfgContent = Uint8Array | (() => Uint8Array);

export const fwCfgState = defineState({
  kind: 'fw-cfg',
  version: 1,
  fields: { key: u16(), offset: u32(), dmaHigh: u32() },
});
export type FwCfgState = ReturnType<typeof fwCfgState.initial>;

export interface FwCfgWires {
  /** For DMA; absent: no DMA interface. */
  readonly memory?: DmaMemory | undefined;
}

export class FwCfg implements Device<FwCfgState> {
  readonly schema = fwCfgState;
  state = fwCfgState.initial();
  readonly #wires: FwCfgWires;
  readonly #items = new Map<number, FwCfgContent>();
  readonly #live = new Map<number, () => Uint8Array>();
  readonly #files: { readonly name: string; readonly key: number }[] = [];

  constructor(wires: FwCfgWires) {
    this.#wires = wires;
    this.set(KEY.SIGNATURE, new TextEncoder().encode(SIGNATURE));
    this.set(KEY.ID, Uint8Array.of(ID.TRADITIONAL | (wires.memory === undefined ? 0 : ID.DMA), 0, 0, 0));
    this.set(KEY.FILE_DIR, () => this.#directory());
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = fwCfgState.initial();
  }

  settle(): void {
    // No outputs.
  }

  /** Gives an item with a fixed key its content; replaces what was there. */
  set(key: number, content: FwCfgContent): void {
    this.#items.set(key, content);
  }

  /** Adds (or replaces) a named file. */
  addFile(name: string, content: FwCfgContent): void {
    assert(name.length < FILE_NAME_BYTES, `fw_cfg file name ${name} is short enough`);
    const known = this.#files.find((file) => file.name === name);
    const key = known?.key ?? KEY.FILE_FIRST + this.#files.length;
    if (known === undefined) this.#files.push({ name, key });
    this.#live.delete(key);
    this.set(key, content);
  }

  /** Adds a file that is made anew whenever the guest selects it; its size must not change. */
  addLiveFile(name: string, make: () => Uint8Array): void {
    this.addFile(name, make);
    this.#live.set(this.#files.find((file) => file.name === name)!.key, make);
  }

  #content(key: number): Uint8Array {
    const item = this.#items.get(key & 0xbfff); // bit 14 asked for writing, which is gone
    if (item === undefined) return NOTHING;
    if (item instanceof Uint8Array) return item;
    const made = item();
    if (key !== KEY.FILE_DIR) this.#items.set(key & 0xbfff, made);
    return made;
  }

  #directory(): Uint8Array {
    const bytes = new Uint8Array(4 + DIRECTORY_ENTRY_BYTES * this.#files.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, this.#files.length);
    const byName = [...this.#files].sort((a, b) => (a.name < b.name ? -1 : 1));
    byName.forEach(({ name, key }, index) => {
      const at = 4 + DIRECTORY_ENTRY_BYTES * index;
      view.setUint32(at, this.#content(key).length);
      view.setUint16(at + 4, key);
      bytes.set(new TextEncoder().encode(name), at + 8);
    });
    return bytes;
  }

  select(key: number): void {
    trace.select?.({ key });
    const live = this.#live.get(key & 0xbfff);
    if (live !== undefined) this.set(key & 0xbfff, live());
    this.state.key = key;
    this.state.offset = 0;
  }

  /** The next byte of the selected item; zero beyond its end. */
  readByte(): number {
    const byte = this.#content(this.state.key)[this.state.offset] ?? 0;
    this.state.offset = (this.state.offset + 1) >>> 0;
    return byte;
  }

  /** Port 0x514: the address of a DMA descriptor, big-endian, high half first; the low half starts it. */
  writeDma(low: boolean, value: number): void {
    const swapped = (((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
    if (!low) {
      this.state.dmaHigh = swapped;
      return;
    }
    const address = this.state.dmaHigh * 2 ** 32 + swapped;
    this.state.dmaHigh = 0;
    this.#transfer(address);
  }

  #transfer(descriptor: number): void {
    const fields = this.#wires.memory?.view(descriptor, 16);
    if (fields === undefined) return;
    const view = new DataView(fields.buffer, fields.byteOffset, 16);
    const control = view.getUint32(0);
    const length = view.getUint32(4);
    const address = view.getUint32(8) * 2 ** 32 + view.getUint32(12);
    trace.dma?.({ control, length, address });
    if ((control & DMA.SELECT) !== 0) this.select(control >>> 16);
    const failed = (control & DMA.WRITE) !== 0 || ((control & DMA.READ) !== 0 && !this.#readInto(address, length));
    if (!failed && (control & (DMA.READ | DMA.SKIP)) !== 0) this.state.offset = (this.state.offset + length) >>> 0;
    view.setUint32(0, failed ? DMA.ERROR : 0);
    this.#wires.memory?.written(descriptor, 4);
  }

  #readInto(address: number, length: number): boolean {
    if (length === 0) return true;
    const target = length > DMA_BYTES_MAX ? undefined : this.#wires.memory?.view(address, length);
    if (target === undefined) return false;
    const { offset, key } = this.state;
    const source = this.#content(key).subarray(offset, offset + length);
    target.set(source);
    target.fill(0, source.length);
    this.#wires.memory?.written(address, length);
    return true;
  }
}

const NOTHING = new Uint8Array(0);

/** The PC's fw_cfg at its ports. */
export function isaFwCfg(bus: SystemBus, wires: FwCfgWires): FwCfg {
  const fwCfg = new FwCfg(wires);
  bus.claimPorts({
    base: PORT.SELECTOR,
    size: 2,
    name: 'fw-cfg',
    widthMax: 2,
    registers: {
      offsets: [
        { at: 0, name: 'SELECTOR' },
        { at: 1, name: 'DATA' },
      ],
    },
    read: (at, size) => (size === 1 && at === 1 ? fwCfg.readByte() : 0),
    write: (at, size, value) => {
      if (at === 0 && size === 2) fwCfg.select(value);
    },
  });
  if (wires.memory === undefined) return fwCfg;
  bus.claimPorts({
    base: PORT.DMA,
    size: 8,
    name: 'fw-cfg-dma',
    widthMax: 4,
    registers: {
      offsets: [
        { at: 0, name: 'DMA_HIGH' },
        { at: 4, name: 'DMA_LOW' },
      ],
    },
    read: (at, size) => readSignature(at, size),
    write: (at, size, value) => {
      if (size === 4 && (at & 3) === 0) fwCfg.writeDma(at === 4, value);
    },
  });
  return fwCfg;
}

function readSignature(at: number, size: number): number {
  let value = 0;
  for (let index = size - 1; index >= 0; index--) {
    const byte = at + index;
    value = (value << 8) | ((DMA_SIGNATURE[byte >> 2]! >>> (24 - 8 * (byte & 3))) & 0xff);
  }
  return value >>> 0;
}
