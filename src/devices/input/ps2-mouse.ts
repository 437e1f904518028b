// A PS/2 mouse with the IntelliMouse extensions: wheel (identity 3) and five buttons (identity 4), in stream and remote mode.
import type { Device, ResetPhase } from '../../bus/device.ts';
import { bool, fifo, i32, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { ACK, RESEND, SELF_TEST_PASSED, type Ps2Device } from './ps2-device.ts';
import { trace } from './trace.ts';

const QUEUE_BYTES = 64;
const RESERVED_BYTES = 16;
const COMMAND = {
  SCALE_1: 0xe6,
  SCALE_2: 0xe7,
  RESOLUTION: 0xe8,
  STATUS: 0xe9,
  STREAM: 0xea,
  READ: 0xeb,
  UNWRAP: 0xec,
  WRAP: 0xee,
  REMOTE: 0xf0,
  IDENTIFY: 0xf2,
  RATE: 0xf3,
  ENABLE: 0xf4,
  DISABLE: 0xf5,
  DEFAULTS: 0xf6,
  RESEND: 0xfe,
  RESET: 0xff,
} as const;
export const BUTTON = { LEFT: 1, RIGHT: 2, MIDDLE: 4, SIDE: 8, EXTRA: 16 } as const;
/** Far movements are dropped rather than played back for minutes. */
const MOVE_MAX = 4096;

export const ps2MouseState = defineState({
  kind: 'ps2-mouse',
  version: 1,
  fields: {
    queue: fifo(QUEUE_BYTES),
    identity: u8(0, 4),
    reporting: bool(),
    remote: bool(),
    wrap: bool(),
    scaled: bool(),
    resolution: u8(2),
    rate: u8(100),
    rate1: u8(),
    rate2: u8(), // the two sample rates set before, a knock that changes the identity
    command: u8(),
    last: u8(),
    dx: i32(),
    dy: i32(),
    dz: i32(),
    buttons: u8(0, 31),
    reported: u8(0, 31),
  },
});
export type Ps2MouseState = ReturnType<typeof ps2MouseState.initial>;

const clamp = (value: number, limit: number): number => Math.max(-limit, Math.min(limit, value));

export class Ps2Mouse implements Device<Ps2MouseState>, Ps2Device {
  readonly schema = ps2MouseState;
  state = ps2MouseState.initial();
  onData: (() => void) | undefined;

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = ps2MouseState.initial();
    else this.settle();
  }

  settle(): void {
    if (this.state.queue.length > 0) this.onData?.();
  }

  take(): number {
    const byte = this.state.queue.pop();
    if (byte >= 0) this.state.last = byte;
    if (this.state.queue.length === 0) this.#stream();
    return byte;
  }

  /** The pointer moves (y down, z towards the user) or buttons change. */
  move(dx: number, dy: number, dz: number, buttons: number): void {
    const { state } = this;
    state.dx = clamp(state.dx + Math.trunc(dx), MOVE_MAX);
    state.dy = clamp(state.dy - Math.trunc(dy), MOVE_MAX);
    state.dz = clamp(state.dz + Math.trunc(dz), MOVE_MAX);
    state.buttons = buttons & 31;
    this.#stream();
    if (state.queue.length > 0) this.onData?.();
  }

  /** In stream mode what happened is sent as packets, as far as there is room. */
  #stream(): void {
    const { state } = this;
    if (!state.reporting || state.remote) return;
    while (state.queue.room >= RESERVED_BYTES && (state.dx !== 0 || state.dy !== 0 || state.dz !== 0 || state.buttons !== state.reported))
      this.#packet();
  }

  #packet(): void {
    const { state } = this;
    const [dx, dy, dz] = [clamp(state.dx, 127), clamp(state.dy, 127), clamp(state.dz, 7)];
    state.dx -= dx;
    state.dy -= dy;
    state.dz = state.identity === 0 ? 0 : state.dz - dz;
    state.reported = state.buttons;
    state.queue.push(8 | (state.buttons & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0));
    state.queue.push(dx & 0xff);
    state.queue.push(dy & 0xff);
    if (state.identity === 3) state.queue.push(dz & 0xff);
    if (state.identity === 4) state.queue.push((dz & 0x0f) | ((state.buttons & (BUTTON.SIDE | BUTTON.EXTRA)) << 1));
  }

  write(value: number): void {
    trace.mouseCommand?.({ value });
    const { state } = this;
    if (state.wrap && value !== COMMAND.UNWRAP && value !== COMMAND.RESET) state.queue.push(value);
    else if (state.command !== 0) this.#parameter(value);
    else this.#command(value);
    this.onData?.();
  }

  #answer(...bytes: readonly number[]): void {
    for (const byte of bytes) this.state.queue.push(byte);
  }

  #parameter(value: number): void {
    const { state } = this;
    const { command } = state;
    state.command = 0;
    this.#answer(ACK);
    if (command === COMMAND.RESOLUTION) {
      state.resolution = value;
      return;
    }
    if (state.rate2 === 200 && state.rate1 === 100 && value === 80) state.identity = 3;
    else if (state.rate2 === 200 && state.rate1 === 200 && value === 80 && state.identity === 3) state.identity = 4;
    state.rate2 = state.rate1;
    state.rate1 = value;
    state.rate = value;
  }

  #command(value: number): void {
    const { state } = this;
    if (value === COMMAND.RESET) {
      this.state = ps2MouseState.initial();
      this.#answer(ACK, SELF_TEST_PASSED, 0);
      return;
    }
    if (
      value < COMMAND.SCALE_1 ||
      value === 0xed ||
      value === 0xef ||
      value === 0xf1 ||
      (value > COMMAND.DEFAULTS && value < COMMAND.RESEND)
    ) {
      this.#answer(RESEND);
      return;
    }
    if (value === COMMAND.RESEND) {
      this.#answer(state.last);
      return;
    }
    this.#answer(ACK);
    this.#obey(value);
  }

  #obey(value: number): void {
    const { state } = this;
    switch (value) {
      case COMMAND.SCALE_1:
      case COMMAND.SCALE_2:
        state.scaled = value === COMMAND.SCALE_2;
        break;
      case COMMAND.RESOLUTION:
      case COMMAND.RATE:
        state.command = value;
        break;
      case COMMAND.STATUS:
        this.#answer(this.#status(), state.resolution, state.rate);
        break;
      case COMMAND.STREAM:
      case COMMAND.REMOTE:
        state.remote = value === COMMAND.REMOTE;
        break;
      case COMMAND.READ:
        this.#packet();
        break;
      case COMMAND.UNWRAP:
      case COMMAND.WRAP:
        state.wrap = value === COMMAND.WRAP;
        break;
      case COMMAND.IDENTIFY:
        this.#answer(state.identity);
        break;
      case COMMAND.ENABLE:
      case COMMAND.DISABLE:
        state.reporting = value === COMMAND.ENABLE;
        break;
      case COMMAND.DEFAULTS:
        Object.assign(state, { rate: 100, resolution: 2, reporting: false, remote: false, scaled: false });
        break;
      default:
    }
  }

  #status(): number {
    const { state } = this;
    const buttons = ((state.buttons & BUTTON.LEFT) << 2) | ((state.buttons & BUTTON.RIGHT) >> 1) | ((state.buttons & BUTTON.MIDDLE) >> 1);
    return (state.remote ? 0x40 : 0) | (state.reporting ? 0x20 : 0) | (state.scaled ? 0x10 : 0) | buttons;
  }
}
