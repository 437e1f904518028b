// One measurement of `nandu latency`: boots the guest in this process, lets its program do the requests, and keeps the trace of it. Which
// events are on follows the program's stamps: all of a request's in the traced pass, only the stamps in the plain one.
import { Failure } from '../../base/failure.ts';
import { hostClockNs } from '../../platform/node/host-clock.ts';
import { asyncRequestCarrier } from '../../platform/node/request-carrier.ts';
import { parseCommandLine } from '../../schema/command-line.ts';
import { enableEvents, setTraceClock, setTraceSink, type TraceEvent, type TraceSink, type TraceValues } from '../../trace/event.ts';
import { LATENCY_EVENTS, LAYER_EVENTS, requestLives, type GuestStamp, type Latencies } from '../../trace/request-latency.ts';
import { setRequestCarrier } from '../../trace/request.ts';
import type { SimpleTraceRecord } from '../../trace/simple-format.ts';
import { openMachine } from '../system-machine.ts';
import { systemCommandLine } from '../system-options.ts';
import { completeSettings, initialSettings } from '../system-settings.ts';
import { DRIVERS, GUEST_MARKS, type Driver, type LatencyGuest } from './guest.ts';
import { MARK, modeOf, offsetsOf, PASSES, WARM_PASSES, type Workload } from './workload.ts';

const STAMP_EVENT = 'char_debugcon';

export interface Measured {
  readonly latencies: Latencies;
  /** What was traced, from the first pass that counts on. */
  readonly records: readonly SimpleTraceRecord[];
}

export interface Measurement {
  readonly guest: LatencyGuest;
  readonly driver: Driver;
  readonly workload: Workload;
  /** `-drive`, but for its name and interface. */
  readonly drive: string;
}

export function stampOf(byte: number): GuestStamp | undefined {
  if (byte >= MARK.DONE) return { kind: 'done', slot: byte - MARK.DONE };
  if (byte >= MARK.BEGIN) return { kind: 'begin', slot: byte - MARK.BEGIN };
  if (byte >= MARK.NIBBLE && byte < MARK.NIBBLE + 16) return { kind: 'nibble', value: byte - MARK.NIBBLE };
  return byte >= MARK.PASS && byte < MARK.PASS + PASSES ? { kind: 'pass', pass: byte - MARK.PASS } : undefined;
}

export async function measure({ guest, driver, workload, drive }: Measurement): Promise<Measured> {
  const settings = initialSettings();
  // prettier-ignore
  const words = [
    '-nodefaults', '-nographic', '-no-reboot', '-m', '256', '-kernel', guest.kernel, '-initrd', guest.initrd,
    '-append', 'console=ttyS0 quiet panic=-1', '-drive', `${drive},if=none,id=measured`, ...DRIVERS[driver].words, '-device', 'isa-debugcon,iobase=0xe9',
  ];
  parseCommandLine(systemCommandLine, words, settings);
  completeSettings(settings);
  const opened = await openMachine(settings, { quit: () => {}, inform: () => {} });
  const tape = new Tape();
  try {
    const { Machine } = await import('../../platform/node/machine.ts');
    const machine = await Machine.create({ ...opened.options, serials: [] }); // the library's console
    tape.start();
    machine.start();
    await machine.exited;
    checkConsole(machine.console.text);
  } finally {
    tape.stop();
    await opened.close();
  }
  const records = tape.records();
  const stamps = { offsets: offsetsOf(workload), event: STAMP_EVENT, meaning: stampOf };
  return { records, latencies: requestLives(records, stamps) };
}

function checkConsole(text: string): void {
  const status = new RegExp(`${GUEST_MARKS.ENDED} (\\d+)`).exec(text)?.[1];
  if (status === '0') return;
  const last = text.trim().split('\n').slice(-3).join(' | ');
  if (status === undefined) throw new Failure('io', `the guest did not come to its end: ${last}`);
  if (text.includes(GUEST_MARKS.MISSING)) throw new Failure('not-found', 'the guest found no disk: its kernel has no driver for it');
  const step = PROGRAM_STEPS[Number(status)] ?? `status ${status}`;
  throw new Failure('io', `the guest's program failed: ${step}`);
}

/** What program.ts ends with when it cannot go on. */
const PROGRAM_STEPS: Readonly<Record<number, string>> = {
  2: 'no access to ports (iopl)', 3: 'the disk could not be opened', 4: 'io_setup', 5: 'a request was not done whole', 6: 'io_getevents',
  7: 'io_submit',
};

/** Beyond these nothing is kept: 100,000 requests with twenty events each, and their stamps. */
const EVENTS_MAX = 1 << 22;

/** Keeps events in memory, which costs less than a file, and turns them on and off with the passes. Those of warming up are forgotten. */
class Tape {
  readonly #times = new Float64Array(EVENTS_MAX);
  readonly #events: (TraceEvent | undefined)[] = new Array<undefined>(EVENTS_MAX).fill(undefined);
  readonly #values: (TraceValues | undefined)[] = new Array<undefined>(EVENTS_MAX).fill(undefined);
  #count = 0;
  #former: TraceSink | undefined;

  start(): void {
    setTraceClock(hostClockNs);
    setRequestCarrier(asyncRequestCarrier);
    enableEvents(STAMP_EVENT);
    this.#former = setTraceSink((event, atNs, values) => {
      const at = this.#count;
      if (at < EVENTS_MAX) {
        this.#times[at] = atNs;
        this.#events[at] = event;
        this.#values[at] = values;
        this.#count = at + 1;
      }
      if (event.name === STAMP_EVENT) this.#stamped(values['byte'] as number);
    });
  }

  #stamped(byte: number): void {
    const stamp = stampOf(byte);
    if (stamp?.kind !== 'pass') return;
    if (stamp.pass <= WARM_PASSES) this.#forget();
    const mode = modeOf(stamp.pass);
    for (const pattern of LATENCY_EVENTS) enableEvents(pattern, mode === 'details');
    for (const pattern of LAYER_EVENTS) enableEvents(pattern, mode !== 'plain');
  }

  /** All but the last event. */
  #forget(): void {
    const last = this.#count - 1;
    this.#times[0] = this.#times[last]!;
    this.#events[0] = this.#events[last];
    this.#values[0] = this.#values[last];
    this.#count = 1;
  }

  records(): SimpleTraceRecord[] {
    const { pid } = process;
    return Array.from({ length: this.#count }, (_, at) =>
      ({ event: this.#events[at], atNs: this.#times[at]!, pid, values: this.#values[at]! }));
  }

  stop(): void {
    for (const pattern of [...LATENCY_EVENTS, STAMP_EVENT]) enableEvents(pattern, false);
    if (this.#former !== undefined) setTraceSink(this.#former);
  }
}
