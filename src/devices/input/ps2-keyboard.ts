// A PS/2 keyboard (IBM PS/2 hardware reference): commands, scan code sets 1 and 2, key events from the host.
// QUIRK: no scan code set 3 and no typematic repeat of its own: the host's repeats are passed on.
import type { Device, ResetPhase } from '../../bus/device.ts';
import { bool, fifo, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { keyByName, type Key } from './keys.ts';
import { ACK, RESEND, SELF_TEST_PASSED, type Ps2Device } from './ps2-device.ts';
import { trace } from './trace.ts';

const QUEUE_BYTES = 64;
/** Keys are refused when less is left, so that answers to commands always fit. */
const RESERVED_BYTES = 16;
const COMMAND = {
  LEDS: 0xed,
  ECHO: 0xee,
  SCAN_SET: 0xf0,
  IDENTIFY: 0xf2,
  RATE: 0xf3,
  ENABLE: 0xf4,
  DISABLE: 0xf5,
  DEFAULTS: 0xf6,
  RESEND: 0xfe,
  RESET: 0xff,
} as const;
const IDENTITY = [0xab, 0x83] as const;
const DEFAULT_RATE = 0x2b;

export const ps2KeyboardState = defineState({
  kind: 'ps2-keyboard',
  version: 1,
  fields: {
    queue: fifo(QUEUE_BYTES),
    scanning: bool(true),
    scanSet: u8(2, 3),
    leds: u8(0, 7),
    rate: u8(DEFAULT_RATE),
    command: u8(), // the command whose parameter comes next, 0: none
    last: u8(),
  },
});
export type Ps2KeyboardState = ReturnType<typeof ps2KeyboardState.initial>;

export class Ps2Keyboard implements Device<Ps2KeyboardState>, Ps2Device {
  readonly schema = ps2KeyboardState;
  state = ps2KeyboardState.initial();
  onData: (() => void) | undefined;

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = ps2KeyboardState.initial();
    else this.settle();
  }

  settle(): void {
    if (this.state.queue.length > 0) this.onData?.();
  }

  take(): number {
    const byte = this.state.queue.pop();
    if (byte >= 0) this.state.last = byte;
    return byte;
  }

  /** A key goes down or up; false when it was lost. */
  key(name: string, down: boolean): boolean {
    const key = keyByName.get(name);
    const { queue, scanning } = this.state;
    if (key === undefined || !scanning) return false;
    if (queue.room < RESERVED_BYTES) {
      trace.keyLost?.({ name });
      return false;
    }
    this.#pushKey(key, down);
    this.onData?.();
    return true;
  }

  #pushKey(key: Key, down: boolean): void {
    const { queue, scanSet } = this.state;
    if (key.extended) queue.push(0xe0);
    if (scanSet === 1) queue.push(down ? key.set1 : key.set1 | 0x80);
    else {
      if (!down) queue.push(0xf0);
      queue.push(key.set2);
    }
  }

  write(value: number): void {
    trace.keyboardCommand?.({ value });
    const { command } = this.state;
    this.state.command = 0;
    if (command !== 0 && value < 0x80) this.#parameter(command, value);
    else this.#command(value);
    this.onData?.();
  }

  #answer(...bytes: readonly number[]): void {
    for (const byte of bytes) this.state.queue.push(byte);
  }

  #parameter(command: number, value: number): void {
    const { state } = this;
    this.#answer(ACK);
    if (command === COMMAND.LEDS) state.leds = value & 7;
    else if (command === COMMAND.RATE) state.rate = value;
    else if (value === 0) this.#answer(state.scanSet);
    else if (value <= 3) state.scanSet = value;
  }

  #command(value: number): void {
    const { state } = this;
    switch (value) {
      case COMMAND.LEDS:
      case COMMAND.SCAN_SET:
      case COMMAND.RATE:
        state.command = value;
        this.#answer(ACK);
        break;
      case COMMAND.ECHO:
        this.#answer(COMMAND.ECHO);
        break;
      case COMMAND.IDENTIFY:
        this.#answer(ACK, ...IDENTITY);
        break;
      case COMMAND.ENABLE:
        state.scanning = true;
        this.#answer(ACK);
        break;
      case COMMAND.DISABLE:
      case COMMAND.DEFAULTS:
        this.#defaults(value === COMMAND.DEFAULTS);
        this.#answer(ACK);
        break;
      case COMMAND.RESEND:
        this.#answer(state.last);
        break;
      case COMMAND.RESET:
        this.#defaults(true);
        this.#answer(ACK, SELF_TEST_PASSED);
        break;
      default:
        this.#answer(value > 0xf6 ? ACK : RESEND); // F7..FD concern set 3 only
    }
  }

  #defaults(scanning: boolean): void {
    const { state } = this;
    state.queue.clear();
    state.scanning = scanning;
    state.scanSet = 2;
    state.leds = 0;
    state.rate = DEFAULT_RATE;
  }
}
