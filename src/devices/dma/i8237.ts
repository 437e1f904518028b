// The two cascaded DMA controllers of the AT (Intel 8237A) and their page registers: channels 0..3 move bytes, 5..7 words. A device
// moves as much as its channel allows in one call. No memory-to-memory transfers, no cascade of an outside master.
import { assert } from '../../base/assert.ts';
import type { SystemBus } from '../../bus/address-space.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import { RegisterFile, type RegisterRow } from '../../bus/register-file.ts';
import type { DmaMemory } from '../../ports/dma.ts';
import { array, bool, struct, u16, u8, type StateOf } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';

const CHANNELS = 4;
const MODE = { DIRECTION: 0x0c, TO_MEMORY: 0x04, FROM_MEMORY: 0x08, AUTOMATIC: 0x10, DOWN: 0x20 } as const;
const COMMAND_DISABLE = 0x04;

const channelFields = { baseAddress: u16(), baseCount: u16(), address: u16(), count: u16(), mode: u8(), page: u8() } as const;
type ChannelState = StateOf<typeof channelFields>;

export const i8237State = defineState({
  kind: 'i8237',
  version: 1,
  fields: {
    channels: array(struct(channelFields), CHANNELS),
    command: u8(), status: u8(), mask: u8(0x0f, 0x0f), highByte: bool(), spare: array(u8(), 16),
  },
});
export type I8237State = ReturnType<typeof i8237State.initial>;

/** A device's end of a channel. */
export interface DmaChannel {
  /** Called when the channel was opened: a device that waits for it may go on. */
  onOpen: (() => void) | undefined;
  /** Bytes that the channel would move now; 0 while it is masked. */
  room(toMemory: boolean): number;
  /** Moves bytes of the device's to memory, at most `room`. True at terminal count. */
  put(source: Uint8Array): boolean;
  /** Moves bytes from memory, at most `room`. */
  take(target: Uint8Array): boolean;
}

export class I8237 implements Device<I8237State> {
  readonly schema = i8237State;
  state = i8237State.initial();
  readonly #memory: DmaMemory;
  /** 0: bytes; 1: words, and addresses count words. */
  readonly #shift: number;
  readonly #ends: (DmaChannel | undefined)[] = new Array<undefined>(CHANNELS).fill(undefined);

  constructor(memory: DmaMemory, width: 1 | 2) {
    this.#memory = memory;
    this.#shift = width - 1;
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = i8237State.initial();
  }

  settle(): void {
    // No outputs: a device asks for its channel.
  }

  /** For the one device on a channel. */
  channel(number: number): DmaChannel {
    assert(number < CHANNELS && this.#ends[number] === undefined, 'a DMA channel has one device');
    const end: DmaChannel = {
      onOpen: undefined,
      room: (toMemory) => this.#room(number, toMemory),
      put: (source) => this.#move(number, source, true),
      take: (target) => this.#move(number, target, false),
    };
    this.#ends[number] = end;
    return end;
  }

  // --- transfers

  #room(number: number, toMemory: boolean): number {
    const { state } = this;
    const { mode, count } = state.channels[number]!;
    const closed = (state.mask & (1 << number)) !== 0 || (state.command & COMMAND_DISABLE) !== 0;
    const direction = mode & MODE.DIRECTION;
    const fits = direction === 0 || direction === (toMemory ? MODE.TO_MEMORY : MODE.FROM_MEMORY); // 0 only verifies
    return closed || !fits ? 0 : (count + 1) << this.#shift;
  }

  #move(number: number, bytes: Uint8Array, toMemory: boolean): boolean {
    const { state } = this;
    const channel = state.channels[number]!;
    assert(bytes.length <= this.#room(number, toMemory), 'a device moves no more than its channel has room for');
    if ((channel.mode & MODE.DIRECTION) !== 0) this.#copy(channel, bytes, toMemory);
    const units = bytes.length >> this.#shift;
    channel.address = (channel.address + ((channel.mode & MODE.DOWN) !== 0 ? -units : units)) & 0xffff;
    const ended = units === channel.count + 1;
    channel.count = (channel.count - units) & 0xffff;
    if (ended) this.#terminate(number, channel);
    return ended;
  }

  #terminate(number: number, channel: ChannelState): void {
    const { state } = this;
    state.status |= 1 << number;
    if ((channel.mode & MODE.AUTOMATIC) !== 0) {
      channel.address = channel.baseAddress;
      channel.count = channel.baseCount;
    } else state.mask |= 1 << number;
  }

  /** A transfer stays in its page of 64 KiB units: it wraps at the end. */
  #copy(channel: ChannelState, bytes: Uint8Array, toMemory: boolean): void {
    const page = (this.#shift === 0 ? channel.page : channel.page & ~1) * 0x1_0000;
    const span = 0x1_0000 << this.#shift;
    const down = (channel.mode & MODE.DOWN) !== 0;
    let at = (channel.address << this.#shift) % span;
    for (let done = 0; done < bytes.length; ) {
      const run = down ? 1 : Math.min(bytes.length - done, span - at);
      const view = this.#memory.view(page + at, run);
      if (toMemory && view !== undefined) {
        view.set(bytes.subarray(done, done + run));
        this.#memory.written(page + at, run);
      } else if (!toMemory) {
        if (view === undefined) bytes.fill(0xff, done, done + run);
        else bytes.set(view, done);
      }
      done += run;
      at = (at + (down ? -1 : run) + span) % span;
    }
  }

  // --- registers

  #halves(value: number): number {
    const { state } = this;
    const byte = state.highByte ? value >> 8 : value & 0xff;
    state.highByte = !state.highByte;
    return byte;
  }

  readWord(number: number, what: 'address' | 'count'): number {
    return this.#halves(this.state.channels[number]![what]);
  }

  writeWord(number: number, what: 'address' | 'count', value: number): void {
    const { state } = this;
    const channel = state.channels[number]!;
    const before = what === 'address' ? channel.baseAddress : channel.baseCount;
    const word = state.highByte ? (before & 0xff) | (value << 8) : (before & 0xff00) | value;
    state.highByte = !state.highByte;
    channel[what] = word;
    channel[what === 'address' ? 'baseAddress' : 'baseCount'] = word;
  }

  readStatus(): number {
    const { status } = this.state;
    this.state.status = 0;
    return status;
  }

  setMask(mask: number): void {
    const { state } = this;
    const opened = state.mask & ~mask;
    state.mask = mask & 0x0f;
    for (let number = 0; number < CHANNELS; number++) if ((opened & (1 << number)) !== 0) this.#ends[number]?.onOpen?.();
  }

  maskOne(value: number): void {
    const bit = 1 << (value & 3);
    this.setMask((value & 4) !== 0 ? this.state.mask | bit : this.state.mask & ~bit);
  }

  writeMode(value: number): void {
    this.state.channels[value & 3]!.mode = value & 0xfc;
  }

  clear(): void {
    Object.assign(this.state, { command: 0, status: 0, mask: 0x0f, highByte: false });
  }
}

const wordRows = (step: number): RegisterRow<I8237>[] =>
  Array.from({ length: CHANNELS }, (_, number) => (['address', 'count'] as const).map((what, index) => ({
    at: (2 * number + index) * step,
    name: `CHANNEL${number}_${what.toUpperCase()}`,
    read: (dma: I8237) => dma.readWord(number, what),
    write: (dma: I8237, value: number) => dma.writeWord(number, what, value),
  }))).flat();

// prettier-ignore
const registersOf = (name: string, step: 1 | 2): RegisterFile<I8237> => new RegisterFile<I8237>(name, 1, [
  ...wordRows(step),
  { at: 0x8 * step, name: 'STATUS/COMMAND', read: (dma) => dma.readStatus(), write: (dma, value) => { dma.state.command = value; } },
  { at: 0x9 * step, name: 'REQUEST', constant: 0 },
  { at: 0xa * step, name: 'MASK_BIT', read: () => 0xff, write: (dma, value) => dma.maskOne(value) },
  { at: 0xb * step, name: 'MODE', read: () => 0xff, write: (dma, value) => dma.writeMode(value) },
  { at: 0xc * step, name: 'CLEAR_FLIP_FLOP', read: () => 0xff, write: (dma) => { dma.state.highByte = false; } },
  { at: 0xd * step, name: 'MASTER_CLEAR', read: () => 0, write: (dma) => dma.clear() },
  { at: 0xe * step, name: 'CLEAR_MASK', read: () => 0xff, write: (dma) => dma.setMask(0) },
  { at: 0xf * step, name: 'MASK', read: (dma) => dma.state.mask | 0xf0, write: (dma, value) => dma.setMask(value) },
]);
export const byteDmaRegisters = registersOf('dma', 1);
export const wordDmaRegisters = registersOf('dma-word', 2);

/** Page register by offset from 0x80: controller and channel; the rest are spare bytes. */
const PAGES: Readonly<Record<number, readonly [controller: 0 | 1, channel: number]>> = {
  0x1: [0, 2], 0x2: [0, 3], 0x3: [0, 1], 0x7: [0, 0], 0x9: [1, 2], 0xa: [1, 3], 0xb: [1, 1], 0xf: [1, 0],
};

/** Both controllers at their ports; the second one's channel 0 is where the first is cascaded. */
export function isaDma(bus: SystemBus, memory: DmaMemory): readonly [I8237, I8237] {
  const pair = [new I8237(memory, 1), new I8237(memory, 2)] as const;
  bus.claimPorts({
    base: 0x00, size: 16, name: 'dma', registers: byteDmaRegisters,
    read: (at) => byteDmaRegisters.read(pair[0], at), write: (at, _size, value) => byteDmaRegisters.write(pair[0], at, value),
  });
  bus.claimPorts({
    base: 0xc0, size: 32, name: 'dma-word', registers: wordDmaRegisters,
    read: (at) => wordDmaRegisters.read(pair[1], at & 0x1e), write: (at, _size, value) => wordDmaRegisters.write(pair[1], at & 0x1e, value),
  });
  bus.claimPorts({
    base: 0x80, size: 16, name: 'dma-pages',
    read(at) {
      const place = PAGES[at];
      return place === undefined ? pair[0].state.spare[at]! : pair[place[0]].state.channels[place[1]]!.page;
    },
    write(at, _size, value) {
      const place = PAGES[at];
      if (place === undefined) pair[0].state.spare[at] = value;
      else pair[place[0]].state.channels[place[1]]!.page = value;
    },
  });
  return pair;
}
