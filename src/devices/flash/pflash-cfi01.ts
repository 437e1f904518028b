// Parallel flash memory with Intel's command set (JESD68.01 Common Flash Interface, command set 0001h; Intel 28F640 data sheet): reads
// like a ROM until the guest writes a command. Not a chip of a certain size: the board says how large it is. Contents are memory
// that the processor reads itself while the array is shown; every change is written to the drive behind it.
import { assert } from '../../base/assert.ts';
import { attempt } from '../../base/eventual.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import type { SystemBus } from '../../bus/address-space.ts';
import type { Drive } from '../../ports/disk.ts';
import { bytes, u32, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { defineEvents } from '../../trace/event.ts';
import { cfiQuery } from './cfi-query.ts';

export const trace = defineEvents('pflash', {
  command: '{name:str} command {command:hex} at {at:hex}',
  program: '{name:str} program {count} bytes at {at:hex}',
  erase: '{name:str} erase block at {at:hex}',
  writeFailed: '{name:str} drive: {message:str}',
});

export const FLASH_BLOCK_BYTES = 4096;
const BUFFER_BYTES = 256;
const SECTOR_BYTES = 512;

const COMMAND = {
  PROGRAM: 0x10, PROGRAM_TOO: 0x40, ERASE: 0x20, CLEAR_STATUS: 0x50, LOCK: 0x60, READ_STATUS: 0x70, READ_ID: 0x90, QUERY: 0x98,
  CONFIRM: 0xd0, BUFFER: 0xe8, READ_ARRAY: 0xff,
} as const;
const SHOWS = { ARRAY: 0, STATUS: 1, ID: 2, QUERY: 3 } as const;
/** What the next write is, after the first cycle of a command. */
const NEXT = {
  COMMAND: 0, PROGRAM_DATA: 1, ERASE_CONFIRM: 2, LOCK_CONFIRM: 3, BUFFER_COUNT: 4, BUFFER_DATA: 5, BUFFER_CONFIRM: 6,
} as const;
const STATUS = { READY: 0x80, ERASE_FAILED: 0x20, PROGRAM_FAILED: 0x10 } as const;
const SEQUENCE_ERROR = STATUS.ERASE_FAILED | STATUS.PROGRAM_FAILED;
const IDENTITY = [0x89, 0x18] as const; // Intel, 28F128J3

export const pflashState = defineState({
  kind: 'pflash-cfi01',
  version: 1,
  fields: {
    shows: u8(SHOWS.ARRAY, SHOWS.QUERY),
    next: u8(NEXT.COMMAND, NEXT.BUFFER_CONFIRM),
    status: u8(STATUS.READY),
    bufferAt: u32(),
    bufferLeft: u32(0, BUFFER_BYTES),
    bufferCount: u32(0, BUFFER_BYTES),
    buffer: bytes(BUFFER_BYTES),
  },
});
export type PflashState = ReturnType<typeof pflashState.initial>;

export interface PflashWires {
  readonly name: string;
  /** Live view of the memory that holds the contents. */
  readonly contents: Uint8Array;
  /** Maps the contents for the processor to read, or sends its reads to the chip. */
  readonly showArray: (shown: boolean) => void;
  readonly drive: Drive;
}

export class PflashCfi01 implements Device<PflashState> {
  readonly schema = pflashState;
  state = pflashState.initial();
  readonly #wires: PflashWires;
  readonly #query: Uint8Array;
  #arrayShown: boolean | undefined;
  /** What the drive does not have yet, and whether a request is on its way. */
  #dirtyStart = Infinity;
  #dirtyEnd = 0;
  #writing = false;

  constructor(wires: PflashWires) {
    assert(wires.contents.length % FLASH_BLOCK_BYTES === 0, 'flash is whole blocks');
    this.#wires = wires;
    this.#query = cfiQuery({ sizeBytes: wires.contents.length, blockBytes: FLASH_BLOCK_BYTES, bufferBytes: BUFFER_BYTES });
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = pflashState.initial();
    else this.settle();
  }

  settle(): void {
    const shown = this.state.shows === SHOWS.ARRAY && this.state.next === NEXT.COMMAND;
    if (shown === this.#arrayShown) return;
    this.#arrayShown = shown;
    this.#wires.showArray(shown);
  }

  read(at: number, size: number): number {
    const { shows, status } = this.state;
    if (shows === SHOWS.STATUS) return status;
    let value = 0;
    for (let index = size - 1; index >= 0; index--) value = (value << 8) | this.#byte(at + index, shows);
    return value >>> 0;
  }

  #byte(at: number, shows: number): number {
    if (shows === SHOWS.ARRAY) return this.#wires.contents[at]!;
    const inBlock = at % FLASH_BLOCK_BYTES;
    return (shows === SHOWS.ID ? IDENTITY[inBlock] : this.#query[inBlock]) ?? 0;
  }

  write(at: number, size: number, value: number): void {
    const { state } = this;
    switch (state.next) {
      case NEXT.PROGRAM_DATA: this.#program(at, littleEndian(value, size)); break;
      case NEXT.ERASE_CONFIRM: this.#erase(at, value & 0xff); break;
      case NEXT.LOCK_CONFIRM: this.#finish(0); break;
      case NEXT.BUFFER_COUNT: this.#beginBuffer(at, (value & 0xff) + 1); break;
      case NEXT.BUFFER_DATA: this.#fillBuffer(at, size, value); break;
      case NEXT.BUFFER_CONFIRM: this.#confirmBuffer(value & 0xff); break;
      default: this.#command(at, value & 0xff);
    }
    this.settle();
  }

  #command(at: number, command: number): void {
    const { state } = this;
    trace.command?.({ name: this.#wires.name, command, at });
    switch (command) {
      case COMMAND.PROGRAM: case COMMAND.PROGRAM_TOO: this.#expect(NEXT.PROGRAM_DATA); break;
      case COMMAND.ERASE: this.#expect(NEXT.ERASE_CONFIRM); break;
      case COMMAND.LOCK: this.#expect(NEXT.LOCK_CONFIRM); break;
      case COMMAND.BUFFER: this.#expect(NEXT.BUFFER_COUNT); break;
      case COMMAND.READ_STATUS: state.shows = SHOWS.STATUS; break;
      case COMMAND.READ_ID: state.shows = SHOWS.ID; break;
      case COMMAND.QUERY: state.shows = SHOWS.QUERY; break;
      case COMMAND.CLEAR_STATUS:
        // QUIRK: clearing the status of flash memory clears its ready bit too, until something is programmed: OVMF knows by it that
        // this is no ROM, as QEMU's flash does the same.
        state.status = 0;
        state.shows = SHOWS.ARRAY;
        break;
      default: state.shows = SHOWS.ARRAY;
    }
  }

  #expect(next: number): void {
    this.state.next = next;
    this.state.shows = SHOWS.STATUS;
  }

  #finish(errors: number): void {
    this.state.next = NEXT.COMMAND;
    this.state.status |= STATUS.READY | errors;
  }

  /** Programming clears bits, and sets none. */
  #program(at: number, data: Uint8Array): void {
    const { contents, drive, name } = this.#wires;
    trace.program?.({ name, at, count: data.length });
    this.#finish(drive.readOnly ? STATUS.PROGRAM_FAILED : 0);
    if (drive.readOnly) return;
    const end = Math.min(at + data.length, contents.length);
    for (let index = at; index < end; index++) contents[index]! &= data[index - at]!;
    this.#writeBack(at, end, STATUS.PROGRAM_FAILED);
  }

  #erase(at: number, confirm: number): void {
    const { contents, drive, name } = this.#wires;
    if (confirm !== COMMAND.CONFIRM) {
      this.#finish(SEQUENCE_ERROR);
      return;
    }
    const start = at - (at % FLASH_BLOCK_BYTES);
    trace.erase?.({ name, at: start });
    this.#finish(drive.readOnly ? STATUS.ERASE_FAILED : 0);
    if (drive.readOnly) return;
    contents.fill(0xff, start, start + FLASH_BLOCK_BYTES);
    this.#writeBack(start, start + FLASH_BLOCK_BYTES, STATUS.ERASE_FAILED);
  }

  /** A buffer lies in one of its own size; the chip keeps what it was sent until the confirmation. */
  #beginBuffer(at: number, count: number): void {
    const { state } = this;
    state.next = NEXT.BUFFER_DATA;
    state.bufferAt = at - (at % BUFFER_BYTES);
    state.bufferLeft = state.bufferCount = Math.min(count, BUFFER_BYTES);
    state.buffer.fill(0xff);
  }

  #fillBuffer(at: number, size: number, value: number): void {
    const { state } = this;
    for (const [index, byte] of littleEndian(value, size).entries()) {
      const offset = at + index - state.bufferAt;
      if (offset >= 0 && offset < BUFFER_BYTES) state.buffer[offset] = byte;
    }
    state.bufferLeft = Math.max(0, state.bufferLeft - size);
    if (state.bufferLeft === 0) state.next = NEXT.BUFFER_CONFIRM;
  }

  #confirmBuffer(confirm: number): void {
    const { buffer, bufferAt } = this.state;
    if (confirm === COMMAND.CONFIRM && bufferAt < this.#wires.contents.length) this.#program(bufferAt, buffer);
    else this.#finish(SEQUENCE_ERROR);
  }

  /** What changed goes to the drive in whole sectors, one request after the other. */
  #writeBack(start: number, end: number, failure: number): void {
    this.#dirtyStart = Math.min(this.#dirtyStart, start - (start % SECTOR_BYTES));
    this.#dirtyEnd = Math.max(this.#dirtyEnd, Math.ceil(end / SECTOR_BYTES) * SECTOR_BYTES);
    if (!this.#writing) this.#writeDirty(failure);
  }

  #writeDirty(failure: number): void {
    const { contents, drive, name } = this.#wires;
    const first = this.#dirtyStart;
    const sectors = contents.slice(first, this.#dirtyEnd);
    this.#dirtyStart = Infinity;
    this.#dirtyEnd = 0;
    this.#writing = true;
    const done = (): void => {
      this.#writing = false;
      if (this.#dirtyEnd > 0) this.#writeDirty(failure);
    };
    attempt(() => drive.write(first, sectors), done, ({ message }) => {
      trace.writeFailed?.({ name, message });
      this.state.status |= failure;
      done();
    });
  }
}

function littleEndian(value: number, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, index) => (value >>> (8 * index)) & 0xff);
}

/** The chip's registers are its whole address range: reads come here while the array is not shown, writes always. */
export function claimFlash(bus: SystemBus, base: number, flash: PflashCfi01, sizeBytes: number): void {
  bus.claimMmio({
    base, size: sizeBytes, name: 'pflash', widthMax: 4,
    read: (at, size) => flash.read(at, size), write: (at, size, value) => flash.write(at, size, value),
  });
}
