// What every device must fulfil whatever a guest does: accesses never throw and give numbers of their width, a state
// survives save and restore byte for byte, a reset gives the initial state, any stream is decoded or refused. Accesses
// are drawn from the register names of the bus claims, values mostly from single bits and small constants.
import { assert } from '../base/assert.ts';
import { Failure } from '../base/failure.ts';
import { Prng } from '../base/prng.ts';
import { allOnes, type AddressSpace, type Claim, type SystemBus } from '../bus/address-space.ts';
import type { Device } from '../bus/device.ts';
import type { TimerQueue } from '../bus/timer-queue.ts';
import type { Json } from '../state/fields.ts';
import { deviceSubjects, stressSubjects } from './conformance-subjects.ts';

export interface ConformanceSubject {
  readonly bus: SystemBus;
  readonly timers: TimerQueue;
  readonly clock: { timeNs: number };
  readonly devices: Readonly<Record<string, Device>>;
  /** Things the outside world does: a key, a byte on the line, an interrupt request. */
  readonly stimuli?: readonly (() => void)[];
  /** State fields that a reset rightly leaves alone. */
  readonly kept?: readonly string[];
}

const OPERATIONS_MAX = 400;
const WIDTHS = [1, 2, 4] as const;

function drawValue(random: Prng): number {
  switch (random.below(6)) {
    case 0:
      return 0;
    case 1:
      return 0xffff_ffff;
    case 2:
      return (1 << random.below(32)) >>> 0;
    case 3:
      return random.below(16);
    case 4:
      return random.below(256);
    default:
      return random.u32();
  }
}

function drawOffset(random: Prng, claim: Claim): number {
  const offsets = claim.region.registers?.offsets ?? [];
  if (offsets.length > 0 && !random.oneIn(4)) return random.pick(offsets).at;
  return random.below(Math.min(claim.region.size, random.oneIn(8) ? claim.region.size : 64));
}

function access(random: Prng, space: AddressSpace): void {
  const claims = space.claims.filter((claim) => claim.mapped);
  if (claims.length === 0) return;
  const claim = random.pick(claims);
  const size = random.oneIn(2) ? (claim.region.widthMax ?? 1) : random.pick(WIDTHS);
  const address = claim.base + drawOffset(random, claim);
  if (random.oneIn(2)) {
    const value = space.read(address, size);
    assert(
      Number.isInteger(value) && value >= 0 && value <= allOnes(size),
      `${claim.region.name} +${address - claim.base} read ${value} in ${size} bytes`,
    );
  } else space.write(address, size, (drawValue(random) & allOnes(size)) >>> 0);
}

function advance(random: Prng, { clock, timers }: ConformanceSubject): void {
  clock.timeNs += random.below(10 ** random.below(10));
  timers.runDue(clock.timeNs);
}

/** A session of guest accesses, passing time and outside events. */
function exercise(random: Prng, subject: ConformanceSubject, operations: number): void {
  for (let step = 0; step < operations; step++) {
    const kind = random.below(10);
    if (kind === 0) advance(random, subject);
    else if (kind === 1 && subject.stimuli !== undefined) random.pick(subject.stimuli)();
    else access(random, kind % 2 === 0 && subject.bus.mmio.claims.length > 0 ? subject.bus.mmio : subject.bus.ports);
  }
}

const encodeAll = ({ devices }: ConformanceSubject): Record<string, Uint8Array> =>
  Object.fromEntries(Object.entries(devices).map(([name, device]) => [name, device.schema.encode(device.state)]));

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false;
  return true;
}

function restoreInto(subject: ConformanceSubject, saved: Readonly<Record<string, Uint8Array>>): void {
  for (const [name, device] of Object.entries(subject.devices)) device.state = device.schema.decode(saved[name]!);
  for (const device of Object.values(subject.devices)) device.settle();
}

function checkRoundTrip(subject: ConformanceSubject, fresh: ConformanceSubject): void {
  const saved = encodeAll(subject);
  restoreInto(fresh, saved);
  const again = encodeAll(fresh);
  for (const [name, device] of Object.entries(fresh.devices)) {
    if (sameBytes(saved[name]!, again[name]!)) continue;
    const [before, after] = [saved[name]!, again[name]!].map((bytes) => JSON.stringify(device.schema.dump(device.schema.decode(bytes))));
    assert(false, `${name} changed by save and restore: ${before} became ${after}`);
  }
}

/** A damaged stream is refused with a Failure, or gives a state in which the device still behaves. */
function checkHostileState(random: Prng, fresh: ConformanceSubject, saved: Readonly<Record<string, Uint8Array>>): void {
  const damaged = Object.fromEntries(
    Object.entries(saved).map(([name, bytes]) => {
      const copy = bytes.slice();
      if (copy.length > 0) for (let count = random.below(8); count >= 0; count--) copy[random.below(copy.length)] = drawValue(random);
      return [name, copy];
    }),
  );
  try {
    restoreInto(fresh, damaged);
  } catch (error) {
    if (error instanceof Failure) return;
    throw error;
  }
  exercise(random, fresh, 50);
}

function checkReset(subject: ConformanceSubject, fresh: ConformanceSubject): void {
  const all = Object.values(subject.devices);
  for (const device of all) device.reset('enter');
  for (const device of all) device.reset('settle');
  for (const device of Object.values(fresh.devices)) device.settle();
  for (const [name, device] of Object.entries(subject.devices)) {
    const expected = fresh.devices[name]!;
    if (sameBytes(device.schema.encode(device.state), expected.schema.encode(expected.state))) continue;
    const after = withoutKept(device.schema.dump(device.state), subject.kept);
    const initial = withoutKept(expected.schema.dump(expected.state), subject.kept);
    assert(after === initial, `${name} after reset: ${after} instead of ${initial}`);
  }
}

function withoutKept(dump: Json, kept: readonly string[] = []): string {
  return JSON.stringify(dump, (key, value: unknown) => (kept.includes(key) ? undefined : value));
}

/** One case; throws with a description of what is wrong. `make` builds the same subject each time, at a guest time. */
export function checkDevice(make: (timeNs: number) => ConformanceSubject, seed: number): void {
  const random = new Prng(seed);
  const subject = make(random.below(1e9));
  exercise(random, subject, random.below(OPERATIONS_MAX));
  const { timeNs } = subject.clock;
  checkRoundTrip(subject, make(timeNs));
  checkHostileState(random, make(timeNs), encodeAll(subject));
  checkReset(subject, make(timeNs));
}

/** Only that nothing throws, on a bench with an outside that a fresh one could not take over. */
function stressDevice(make: (timeNs: number) => ConformanceSubject, seed: number): void {
  const random = new Prng(seed);
  exercise(random, make(0), random.below(OPERATIONS_MAX));
}

/** The fuzz entry: runs every device's checks with seeds from `seed` on; the message of an error names device and seed. */
export function fuzzDevices(seed: number, cases: number, only?: string): void {
  for (const [name, make] of Object.entries(deviceSubjects)) {
    if (only !== undefined && only !== name) continue;
    for (let index = 0; index < cases; index++) {
      try {
        checkDevice(make, seed + index);
        if (stressSubjects[name] !== undefined) stressDevice(stressSubjects[name], seed + index);
      } catch (error) {
        throw new Error(`device ${name}, seed ${seed + index}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        });
      }
    }
  }
}
