// One counter of the 8254: what its count and its output are at a time, in all six modes (Intel 231164, "Mode
// Definitions"). A function of the clock: nothing happens here between two looks.
import { bool, i32, nanoseconds, struct, u16, u32, u8, type StateOf } from '../../state/fields.ts';
import { Frequency } from './frequency.ts';

export const pitClock = new Frequency(1_193_182);

const fields = {
  mode: u8(0, 5), bcd: bool(),
  access: u8(3, 3), // 1 low byte, 2 high byte, 3 low then high
  count: u32(0, 65536), // the count in force, 0: none written since the control word
  next: u32(0, 65536), // a count that takes over when the running period ends, 0: none
  nextAt: u32(), // when, in ticks since `start`
  start: nanoseconds(), // when counting (re)started
  elapsed: i32(), // ticks counted before `start`
  running: bool(),
  gate: bool(true),
  writeHigh: bool(), lowByte: u8(),
  readHigh: bool(),
  latched: bool(), latch: u16(),
  statusLatched: bool(), status: u8(),
} as const;
export const pitChannelFields = struct(fields);
export type PitChannel = StateOf<typeof fields>;

const periodic = (channel: PitChannel): boolean => channel.mode === 2 || channel.mode === 3;
const hardwareTriggered = (channel: PitChannel): boolean => channel.mode === 1 || channel.mode === 5;

/** Ticks counted since the count was loaded or triggered. */
export function elapsedTicks(channel: PitChannel, nowNs: number): number {
  return channel.running ? channel.elapsed + pitClock.ticks(nowNs - channel.start) : channel.elapsed;
}

/** Guest time at which `ticks` have been counted; only for a running channel. */
export function timeOfTick(channel: PitChannel, ticks: number): number {
  return channel.start + pitClock.nanoseconds(ticks - channel.elapsed);
}

function restart(channel: PitChannel, nowNs: number): void {
  channel.start = nowNs;
  channel.elapsed = 0;
  channel.running = true;
}

export function writeControl(channel: PitChannel, value: number): void {
  const mode = (value >> 1) & 7;
  channel.mode = mode > 5 ? mode & 3 : mode;
  channel.bcd = (value & 1) !== 0;
  channel.access = (value >> 4) & 3;
  channel.count = 0;
  channel.next = 0;
  channel.elapsed = 0;
  channel.running = false;
  channel.writeHigh = false;
  channel.readHigh = false;
  channel.latched = false;
  channel.statusLatched = false;
}

const fromBcd = (value: number): number => (value >> 12) * 1000 + ((value >> 8) & 15) * 100 + ((value >> 4) & 15) * 10 + (value & 15);
const toBcd = (value: number): number =>
  (Math.floor(value / 1000) << 12) | (Math.floor((value / 100) % 10) << 8) | (Math.floor((value / 10) % 10) << 4) | value % 10;

/** Loads a count of 16 bits as the guest wrote it; 0 stands for the largest. */
export function load(channel: PitChannel, written: number, nowNs: number): void {
  const count = channel.bcd ? fromBcd(written) || 10_000 : written || 65_536;
  if (periodic(channel) && channel.count !== 0) {
    const elapsed = elapsedTicks(channel, nowNs);
    channel.next = count;
    channel.nextAt = (Math.floor(elapsed / channel.count) + 1) * channel.count;
    return;
  }
  if (hardwareTriggered(channel)) {
    if (channel.running) channel.next = count; // for the next trigger
    else channel.count = count;
    return;
  }
  channel.count = count;
  restart(channel, nowNs);
  if (!channel.gate) channel.running = false;
}

/** Lets a count written during a period take over when that period has ended: true if it did. Call before looking at a channel. */
export function advance(channel: PitChannel, nowNs: number): boolean {
  if (channel.next === 0 || !periodic(channel) || !channel.running) return false;
  if (elapsedTicks(channel, nowNs) < channel.nextAt) return false;
  channel.start = timeOfTick(channel, channel.nextAt);
  channel.elapsed = 0;
  channel.count = channel.next;
  channel.next = 0;
  return true;
}

export function setGate(channel: PitChannel, level: boolean, nowNs: number): void {
  if (level === channel.gate) return;
  const elapsed = elapsedTicks(channel, nowNs);
  channel.gate = level;
  if (channel.count === 0) return;
  if (hardwareTriggered(channel)) {
    if (!level) return;
    if (channel.next !== 0) channel.count = channel.next;
    channel.next = 0;
    restart(channel, nowNs);
  } else if (periodic(channel)) {
    if (level) restart(channel, nowNs); // a rising gate reloads
    else channel.running = false;
  } else {
    channel.start = nowNs;
    channel.elapsed = elapsed | 0;
    channel.running = level;
  }
}

/** The counting element as the guest reads it. */
export function counter(channel: PitChannel, nowNs: number): number {
  const elapsed = elapsedTicks(channel, nowNs);
  const { count } = channel;
  if (count === 0) return 0;
  let value: number;
  if (channel.mode === 2) value = count - (elapsed % count);
  else if (channel.mode === 3) value = count - ((2 * elapsed) % count);
  else value = count - elapsed;
  const modulus = channel.bcd ? 10_000 : 65_536;
  const wrapped = ((value % modulus) + modulus) % modulus;
  return channel.bcd ? toBcd(wrapped) : wrapped;
}

export function output(channel: PitChannel, nowNs: number): boolean {
  const { count, mode } = channel;
  if (count === 0) return mode !== 0;
  const elapsed = elapsedTicks(channel, nowNs);
  switch (mode) {
    case 0: return elapsed >= count;
    case 1: return !channel.running || elapsed >= count;
    case 2: return !channel.gate || elapsed % count !== count - 1;
    case 3: return !channel.gate || elapsed % count < Math.ceil(count / 2);
    default: return !channel.running || elapsed !== count; // 4 and 5: low for one tick at the end
  }
}

export function readStatus(channel: PitChannel, nowNs: number): number {
  const nullCount = channel.count === 0 || channel.next !== 0;
  return (output(channel, nowNs) ? 0x80 : 0) | (nullCount ? 0x40 : 0) | (channel.access << 4) | (channel.mode << 1) | (channel.bcd ? 1 : 0);
}

/** The next rise of the output after `elapsed` ticks, in ticks; Infinity when there is none. */
export function nextRise(channel: PitChannel, elapsed: number): number {
  const { count, mode } = channel;
  if (!channel.running || count === 0) return Infinity;
  if (mode === 2 || mode === 3) return (Math.floor(elapsed / count) + 1) * count;
  const rise = mode === 4 || mode === 5 ? count + 1 : count;
  return elapsed < rise ? rise : Infinity;
}
