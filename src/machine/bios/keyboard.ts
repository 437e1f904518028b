// Keys: the buffer of sixteen words in the BIOS data area, what fills it (IRQ 1 and the serial console), and INT 16h.
import type { ByteFifo } from '../../state/byte-fifo.ts';
import { BDA } from './data-area.ts';
import type { GuestMemory } from './guest-memory.ts';
import { ESCAPE_KEY, keyWord, NO_KEY, sequenceKey, wordOfCharacter } from './keys.ts';
import type { SerialConsole } from './serial-console.ts';
import type { Answer, ServiceCall } from './service.ts';

/** Bits of the first shift flags byte, and the make codes that set them. */
const SHIFT = { RIGHT: 1, LEFT: 2, CONTROL: 4, ALT: 8, SCROLL_LOCK: 0x10, NUM_LOCK: 0x20, CAPS_LOCK: 0x40, INSERT: 0x80 } as const;
const HELD_KEYS: Readonly<Record<number, number>> = { 0x2a: SHIFT.LEFT, 0x36: SHIFT.RIGHT, 0x1d: SHIFT.CONTROL, 0x38: SHIFT.ALT };
const LOCK_KEYS: Readonly<Record<number, number>> = {
  0x3a: SHIFT.CAPS_LOCK, 0x45: SHIFT.NUM_LOCK, 0x46: SHIFT.SCROLL_LOCK, 0x52: SHIFT.INSERT,
};
const KEYBOARD_FLAGS = { LAST_E1: 1, LAST_E0: 2, ENHANCED: 0x10 } as const;
const BREAK_BIT = 0x80;
const KEY = { DELETE: 0x53, BREAK: 0x46, E0: 0xe0, E1: 0xe1 } as const;
const BREAK_FLAG = 0x80;
const BUFFER_OFFSET = 0x1e;
const BUFFER_END = 0x3e;
const SEGMENT_START = 0x400;
const ESCAPE = 0x1b;
export const SEQUENCE_BYTES = 8;
/** An ESC that nothing follows for this long is the Escape key. */
const ESCAPE_NS = 40e6;

export interface KeyboardState {
  /** ESC on the serial console and what came after it; empty outside a sequence. */
  readonly sequence: ByteFifo;
  sequenceNs: number;
}

/** What a key has done beside being put into the buffer. */
export type KeyEffect = 'none' | 'reset' | 'break';

export class Keyboard {
  readonly #memory: GuestMemory;
  readonly #serial: SerialConsole | undefined;
  readonly #now: () => number;
  state: KeyboardState;

  constructor(memory: GuestMemory, serial: SerialConsole | undefined, now: () => number, state: KeyboardState) {
    this.#memory = memory;
    this.#serial = serial;
    this.#now = now;
    this.state = state;
  }

  /** An empty buffer, Num Lock off. */
  start(): void {
    const memory = this.#memory;
    memory.write16(BDA.KEYS_START, BUFFER_OFFSET);
    memory.write16(BDA.KEYS_LIMIT, BUFFER_END);
    memory.write16(BDA.KEYS_HEAD, BUFFER_OFFSET);
    memory.write16(BDA.KEYS_TAIL, BUFFER_OFFSET);
    memory.write16(BDA.SHIFT_FLAGS, 0);
    memory.write8(BDA.KEYBOARD_FLAGS, KEYBOARD_FLAGS.ENHANCED);
  }

  // --- the buffer; its pointers are the guest's, so they are made to point into the data area

  #pointer(at: number): number {
    const value = this.#memory.read16(at);
    return value >= BUFFER_OFFSET && value < BUFFER_END ? value & ~1 : BUFFER_OFFSET;
  }
  #after(pointer: number): number {
    return pointer + 2 >= BUFFER_END ? BUFFER_OFFSET : pointer + 2;
  }

  /** False when the buffer is full. */
  push(word: number): boolean {
    const tail = this.#pointer(BDA.KEYS_TAIL);
    if (this.#after(tail) === this.#pointer(BDA.KEYS_HEAD)) return false;
    this.#memory.write16(SEGMENT_START + tail, word);
    this.#memory.write16(BDA.KEYS_TAIL, this.#after(tail));
    return true;
  }

  /** NO_KEY when there is none. */
  peek(): number {
    const head = this.#pointer(BDA.KEYS_HEAD);
    return head === this.#pointer(BDA.KEYS_TAIL) ? NO_KEY : this.#memory.read16(SEGMENT_START + head);
  }

  take(): number {
    const word = this.peek();
    if (word !== NO_KEY) this.#memory.write16(BDA.KEYS_HEAD, this.#after(this.#pointer(BDA.KEYS_HEAD)));
    return word;
  }

  get #full(): boolean {
    return this.#after(this.#pointer(BDA.KEYS_TAIL)) === this.#pointer(BDA.KEYS_HEAD);
  }

  // --- the serial console

  /** Takes what was typed, as far as the buffer has room. */
  poll(): void {
    const serial = this.#serial;
    if (serial === undefined) return;
    while (!this.#full) {
      const byte = serial.receive();
      if (byte < 0) break;
      this.#typed(byte);
    }
    const { state } = this;
    if (state.sequence.length > 0 && this.#now() - state.sequenceNs > ESCAPE_NS) this.#endSequence();
  }

  #typed(byte: number): void {
    const { state } = this;
    const { sequence } = state;
    if (sequence.length === 0) {
      if (byte === ESCAPE) {
        sequence.push(ESCAPE);
        state.sequenceNs = this.#now();
      } else this.#pushCharacter(byte);
      return;
    }
    const bytes = String.fromCharCode(...sequence.toBytes().subarray(1), byte);
    const key = sequenceKey(bytes);
    if (key === 'incomplete') sequence.push(byte); // the sequences that are known bound its length
    else if (key === 'unknown') {
      this.#endSequence();
      this.#typed(byte);
    } else {
      sequence.clear();
      this.push(key);
    }
  }

  /** It was not a key's: the Escape key, and what came after it. */
  #endSequence(): void {
    const rest = this.state.sequence.toBytes().subarray(1);
    this.state.sequence.clear();
    this.push(ESCAPE_KEY);
    for (const character of rest) this.#pushCharacter(character);
  }

  #pushCharacter(character: number): void {
    const word = wordOfCharacter(character);
    if (word !== NO_KEY) this.push(word);
  }

  // --- IRQ 1

  scanCode(code: number): KeyEffect {
    const memory = this.#memory;
    const flags = memory.read8(BDA.KEYBOARD_FLAGS);
    if (code === KEY.E0 || code === KEY.E1) {
      memory.write8(BDA.KEYBOARD_FLAGS, flags | (code === KEY.E0 ? KEYBOARD_FLAGS.LAST_E0 : KEYBOARD_FLAGS.LAST_E1));
      return 'none';
    }
    const extended = (flags & KEYBOARD_FLAGS.LAST_E0) !== 0;
    memory.write8(BDA.KEYBOARD_FLAGS, flags & ~(KEYBOARD_FLAGS.LAST_E0 | KEYBOARD_FLAGS.LAST_E1));
    const scan = code & ~BREAK_BIT;
    const down = (code & BREAK_BIT) === 0;
    if (this.#modifier(scan, down, extended) || !down) return 'none';
    return this.#keyDown(scan, extended);
  }

  #modifier(scan: number, down: boolean, extended: boolean): boolean {
    const memory = this.#memory;
    const flags = memory.read8(BDA.SHIFT_FLAGS);
    const held = HELD_KEYS[scan];
    if (held !== undefined) {
      // E0 2A and E0 36 are the shifts that the keyboard itself puts around grey keys.
      if (!extended || (held & (SHIFT.LEFT | SHIFT.RIGHT)) === 0) memory.write8(BDA.SHIFT_FLAGS, down ? flags | held : flags & ~held);
      return true;
    }
    const lock = LOCK_KEYS[scan];
    if (lock === undefined || (extended && lock !== SHIFT.INSERT) || lock === SHIFT.INSERT) {
      if (lock === SHIFT.INSERT && down) memory.write8(BDA.SHIFT_FLAGS, flags ^ lock);
      return false;
    }
    if (down) memory.write8(BDA.SHIFT_FLAGS, flags ^ lock);
    return true;
  }

  #keyDown(scan: number, extended: boolean): KeyEffect {
    const memory = this.#memory;
    const flags = memory.read8(BDA.SHIFT_FLAGS);
    const control = (flags & SHIFT.CONTROL) !== 0;
    const alt = (flags & SHIFT.ALT) !== 0;
    if (scan === KEY.DELETE && control && alt) return 'reset';
    if (scan === KEY.BREAK && extended) {
      memory.write8(BDA.BREAK, BREAK_FLAG);
      memory.write16(BDA.KEYS_TAIL, this.#pointer(BDA.KEYS_HEAD));
      this.push(NO_KEY);
      return 'break';
    }
    const modifiers = {
      control, alt, shift: (flags & (SHIFT.LEFT | SHIFT.RIGHT)) !== 0,
      capsLock: (flags & SHIFT.CAPS_LOCK) !== 0, numLock: (flags & SHIFT.NUM_LOCK) !== 0,
    };
    const word = keyWord(scan, extended, modifiers);
    if (word !== NO_KEY) this.push(word);
    return 'none';
  }
}

/** Words of the enhanced keyboard as the old functions return them: a character of E0 is 0, and an E0 scan code the key's old one. */
function forOldFunctions(word: number): number {
  if ((word & 0xff) === 0xe0 && word >> 8 !== 0) return word & 0xff00;
  if (word >> 8 === 0xe0) return ((word & 0xff) === 0x2f ? 0x3500 : 0x1c00) | (word & 0xff);
  return word;
}

export function keyboardService(call: ServiceCall, keyboard: Keyboard): Answer {
  const { registers: r, memory } = call;
  keyboard.poll();
  switch (r.ah) {
    case 0x00:
    case 0x10: {
      const word = keyboard.take();
      if (word === NO_KEY) return 'halt';
      r.ax = r.ah === 0 ? forOldFunctions(word) : word;
      return 'done';
    }
    case 0x01:
    case 0x11: {
      const word = keyboard.peek();
      call.setZero(word === NO_KEY);
      if (word !== NO_KEY) r.ax = r.ah === 1 ? forOldFunctions(word) : word;
      return 'done';
    }
    case 0x02:
      r.al = memory.read8(BDA.SHIFT_FLAGS);
      return 'done';
    case 0x05:
      r.al = keyboard.push(r.cx) ? 0 : 1;
      return 'done';
    case 0x09:
      r.al = 0x20; // 10h, 11h and 12h are there
      return 'done';
    case 0x0a:
      r.bx = 0x41ab;
      return 'done';
    case 0x12:
      r.al = memory.read8(BDA.SHIFT_FLAGS);
      r.ah = memory.read8(BDA.SHIFT_FLAGS_2);
      return 'done';
    default:
      return 'done';
  }
}
