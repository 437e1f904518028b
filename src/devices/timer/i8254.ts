// The 8254 programmable interval timer of the PC: ports 0x40..0x43 and its half of port 0x61 (gate of channel 2,
// speaker, refresh toggle). Channel 0 drives interrupt 0. The counters themselves are in pit-channel.ts.
import type { SystemBus } from '../../bus/address-space.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import { RegisterFile } from '../../bus/register-file.ts';
import { paceTick, ticksToSkip } from '../../bus/timer-queue.ts';
import type { Timer, Timers } from '../../ports/clock.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import { array, count, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import {
  advance, counter, elapsedTicks, load, nextRise, output, pitChannelFields, pitClock, readStatus, setGate, timeOfTick, writeControl,
  type PitChannel,
} from './pit-channel.ts';
import { trace } from './trace.ts';

const CHANNEL_COUNT = 3;
const SPEAKER = 2;
const PORT61 = { GATE2: 0x01, SPEAKER_DATA: 0x02, WRITABLE: 0x0f, REFRESH: 0x10, OUT2: 0x20 } as const;
const REFRESH_HALF_PERIOD_NS = 15_085;

export const i8254State = defineState({
  kind: 'i8254', version: 1,
  fields: {
    channels: array(pitChannelFields, CHANNEL_COUNT),
    port61: u8(0, PORT61.WRITABLE),
    tick: count(), // the rise of channel 0's output that comes next, in its ticks
  },
});
export type I8254State = ReturnType<typeof i8254State.initial>;

export interface I8254Wires {
  readonly timers: Timers;
  readonly irq: IrqLine;
}

export class I8254 implements Device<I8254State> {
  readonly schema = i8254State;
  state = initialState();
  readonly #timers: Timers;
  readonly #irq: IrqLine;
  readonly #alarm: Timer;
  #isHeard = true;

  constructor({ timers, irq }: I8254Wires) {
    this.#timers = timers;
    this.#irq = irq;
    this.#alarm = timers.createTimer((deadlineNs) => this.#tick(deadlineNs), 'pit');
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = initialState();
    else this.settle();
  }

  settle(): void {
    const channel = this.#channel(0);
    this.#irq.set(output(channel, this.#timers.now()));
    this.#arm();
  }

  /** Whether the interrupt goes anywhere (it does not while an HPET has its place): nobody wakes up for it where it does not. */
  setHeard(isHeard: boolean): void {
    if (isHeard === this.#isHeard) return;
    this.#isHeard = isHeard;
    this.#reprogrammed();
  }

  #channel(index: number): PitChannel {
    const channel = this.state.channels[index]!;
    if (advance(channel, this.#timers.now()) && index === 0) this.#schedule(channel);
    return channel;
  }

  /** Channel 0 counts differently now: look for its next rise. */
  #schedule(channel: PitChannel): void {
    const next = nextRise(channel, elapsedTicks(channel, this.#timers.now()));
    this.state.tick = next === Infinity ? 0 : next;
    this.#arm();
  }

  #reprogrammed(): void {
    this.#schedule(this.#channel(0));
    this.settle();
  }

  #arm(): void {
    const channel = this.state.channels[0]!;
    if (this.state.tick === 0 || !channel.running || !this.#isHeard) this.#alarm.disarm();
    else this.#alarm.armAt(timeOfTick(channel, this.state.tick));
  }

  /** The output rises. A late tick is not lost: the next ones follow faster until the grid is reached again. */
  #tick(deadlineNs: number): void {
    trace.pitTick?.({ deadline: deadlineNs });
    const now = this.#timers.now();
    this.#irq.set(false);
    this.#irq.set(true);
    const { state } = this;
    const channel = state.channels[0]!;
    if (advance(channel, now)) {
      this.#schedule(channel);
      return;
    }
    const next = nextRise(channel, state.tick);
    state.tick = next === Infinity ? 0 : next;
    if (state.tick === 0) return;
    const periodNs = (channel.count * 1e9) / pitClock.hz;
    state.tick += ticksToSkip(timeOfTick(channel, state.tick), now, periodNs) * channel.count;
    this.#alarm.armAt(paceTick(timeOfTick(channel, state.tick), now, periodNs));
  }

  /** For the register rows. */
  readCounter(index: number): number {
    const channel = this.#channel(index);
    if (channel.statusLatched) {
      channel.statusLatched = false;
      return channel.status;
    }
    const value = channel.latched ? channel.latch : counter(channel, this.#timers.now());
    if (channel.access !== 3) {
      channel.latched = false;
      return channel.access === 2 ? value >> 8 : value & 0xff;
    }
    channel.readHigh = !channel.readHigh;
    if (channel.readHigh) return value & 0xff;
    channel.latched = false;
    return value >> 8;
  }

  /** For the register rows. */
  writeCounter(index: number, value: number): void {
    const channel = this.#channel(index);
    const now = this.#timers.now();
    if (channel.access === 3 && !channel.writeHigh) {
      channel.lowByte = value;
      channel.writeHigh = true;
      if (channel.mode === 0) channel.running = false; // the first byte stops the count
      return;
    }
    channel.writeHigh = false;
    const low = channel.access === 3 ? channel.lowByte : channel.access === 1 ? value : 0;
    const high = channel.access === 1 ? 0 : value;
    load(channel, low | (high << 8), now);
    trace.pitLoad?.({ channel: index, mode: channel.mode, count: channel.count });
    if (index === 0) this.#reprogrammed();
  }

  /** For the register rows: a control word, a latch command or a read-back command. */
  writeCommand(value: number): void {
    const select = value >> 6;
    if (select === 3) {
      for (let index = 0; index < CHANNEL_COUNT; index++) if ((value & (2 << index)) !== 0) this.#readBack(index, value);
    } else if ((value & 0x30) === 0) this.#latchCount(this.#channel(select));
    else {
      writeControl(this.#channel(select), value);
      if (select === 0) this.#reprogrammed();
    }
  }

  #readBack(index: number, value: number): void {
    const channel = this.#channel(index);
    if ((value & 0x20) === 0) this.#latchCount(channel);
    if ((value & 0x10) === 0 && !channel.statusLatched) {
      channel.status = readStatus(channel, this.#timers.now());
      channel.statusLatched = true;
    }
  }

  #latchCount(channel: PitChannel): void {
    if (channel.latched) return;
    channel.latch = counter(channel, this.#timers.now());
    channel.latched = true;
  }

  /** For the register rows: system control port B. */
  readPort61(): number {
    const now = this.#timers.now();
    const refresh = Math.floor(now / REFRESH_HALF_PERIOD_NS) % 2 === 1 ? PORT61.REFRESH : 0;
    const out2 = output(this.#channel(SPEAKER), now) ? PORT61.OUT2 : 0;
    return this.state.port61 | refresh | out2;
  }

  writePort61(value: number): void {
    this.state.port61 = value & PORT61.WRITABLE;
    setGate(this.#channel(SPEAKER), (value & PORT61.GATE2) !== 0, this.#timers.now());
  }
}

/** Channel 2's gate follows port 0x61, which is zero after reset. */
function initialState(): I8254State {
  const state = i8254State.initial();
  state.channels[SPEAKER]!.gate = false;
  return state;
}

// prettier-ignore
export const i8254Registers = new RegisterFile<I8254>('i8254', 1, [
  ...[0, 1, 2].map((channel) => ({
    at: channel, name: `COUNTER${channel}`,
    read: (pit: I8254) => pit.readCounter(channel), write: (pit: I8254, value: number) => pit.writeCounter(channel, value),
  })),
  { at: 3, name: 'CONTROL', write: (pit, value) => pit.writeCommand(value) },
]);
export const port61Registers = new RegisterFile<I8254>('port61', 1, [
  { at: 0, name: 'PORT_B', read: (pit) => pit.readPort61(), write: (pit, value) => pit.writePort61(value) },
]);

/** The PC's interval timer at its ports. */
export function isaPit(bus: SystemBus, wires: I8254Wires): I8254 {
  const pit = new I8254(wires);
  bus.claimPorts({
    base: 0x40, size: 4, name: 'pit', registers: i8254Registers,
    read: (at) => i8254Registers.read(pit, at), write: (at, _size, value) => i8254Registers.write(pit, at, value),
  });
  bus.claimPorts({
    base: 0x61, size: 1, name: 'port61', registers: port61Registers,
    read: (at) => port61Registers.read(pit, at), write: (at, _size, value) => port61Registers.write(pit, at, value),
  });
  return pit;
}
