// The bus master of an IDE channel (Programming Interface for Bus Master IDE Controller, revision 1.0): command, status and the
// table of physical regions.
import type { Device, ResetPhase } from '../../bus/device.ts';
import { ScatterList } from '../../bus/scatter-list.ts';
import type { DmaMemory } from '../../ports/dma.ts';
import { u32, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import type { IdeBusMaster, IdeChannel } from './ide-channel.ts';

const COMMAND = { START: 1, TO_MEMORY: 8 } as const;
const STATUS = { ACTIVE: 1, ERROR: 2, INTERRUPT: 4, CAPABLE: 0x60 } as const;
const REGION_BYTES = 8;
/** A table lies inside 64 KiB. */
const REGIONS_MAX = 65536 / REGION_BYTES;
const LAST_REGION = 0x80;

export const busMasterIdeState = defineState({
  kind: 'bus-master-ide',
  version: 1,
  fields: { command: u8(0, COMMAND.START | COMMAND.TO_MEMORY), status: u8(0, 0x67), table: u32() },
});
export type BusMasterIdeState = ReturnType<typeof busMasterIdeState.initial>;

export class BusMasterIde implements IdeBusMaster, Device<BusMasterIdeState> {
  readonly schema = busMasterIdeState;
  state = busMasterIdeState.initial();
  readonly #channel: IdeChannel;
  readonly #memory: DmaMemory;

  constructor(channel: IdeChannel, memory: DmaMemory) {
    this.#channel = channel;
    this.#memory = memory;
    channel.busMaster = this;
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = busMasterIdeState.initial();
  }

  settle(): void {
    // No outputs: the interrupt is the channel's.
  }

  requested(): void {
    this.#run();
  }

  interrupted(): void {
    this.state.status |= STATUS.INTERRUPT;
  }

  writeCommand(value: number): void {
    const { state } = this;
    const starts = (value & ~state.command & COMMAND.START) !== 0;
    state.command = value & (COMMAND.START | COMMAND.TO_MEMORY);
    if (starts) {
      state.status |= STATUS.ACTIVE;
      this.#run();
    } else if ((value & COMMAND.START) === 0) state.status &= ~STATUS.ACTIVE;
  }

  writeStatus(value: number): void {
    const { state } = this;
    state.status = (state.status & ~STATUS.CAPABLE & ~(value & (STATUS.ERROR | STATUS.INTERRUPT))) | (value & STATUS.CAPABLE);
  }

  #run(): void {
    const bytes = this.#channel.dmaBytes;
    if ((this.state.status & STATUS.ACTIVE) === 0 || bytes === 0) return;
    const list = new ScatterList(this.#memory);
    const end = this.#readTable(list, bytes);
    if (list.bytes < bytes) {
      // The table is too short or no memory: the engine stops without an interrupt, the host's time-out finds it.
      this.state.status = (this.state.status & ~STATUS.ACTIVE) | (end === 'unreadable' ? STATUS.ERROR : 0);
      return;
    }
    if (list.views(0, bytes) === undefined) this.state.status |= STATUS.ERROR;
    this.#channel.moveDma(list, () => {
      if (end === 'exhausted' && list.bytes === bytes) this.state.status &= ~STATUS.ACTIVE;
    });
  }

  /** Reads regions until they hold `bytes` bytes. */
  #readTable(list: ScatterList, bytes: number): 'exhausted' | 'more' | 'unreadable' {
    for (let index = 0; index < REGIONS_MAX && list.bytes < bytes; index++) {
      const region = this.#memory.view(this.state.table + REGION_BYTES * index, REGION_BYTES);
      if (region === undefined) return 'unreadable';
      const view = new DataView(region.buffer, region.byteOffset, REGION_BYTES);
      const last = (view.getUint8(7) & LAST_REGION) !== 0;
      list.add((view.getUint32(0, true) & ~1) >>> 0, (view.getUint16(4, true) & ~1) || 65536);
      if (last) return 'exhausted';
    }
    return 'more';
  }
}

/** Ports of one channel in the base address register: 8 bytes. */
export function readBusMaster({ state }: BusMasterIde, at: number): number {
  if (at === 0) return state.command;
  if (at === 2) return state.status;
  return at >= 4 && at < 8 ? (state.table >>> (8 * (at - 4))) & 0xff : 0xff;
}

export function writeBusMaster(master: BusMasterIde, at: number, value: number): void {
  if (at === 0) master.writeCommand(value);
  else if (at === 2) master.writeStatus(value);
  else if (at >= 4 && at < 8) {
    const shift = 8 * (at - 4);
    master.state.table = ((master.state.table & ~(0xff << shift)) | (value << shift)) & 0xffff_fffc;
    master.state.table >>>= 0;
  }
}
