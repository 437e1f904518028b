// An NVMe controller (NVM Express 1.4): registers, doorbells, queues in guest memory and completions. Commands are in nvme-admin.ts and
// nvme-io.ts; where the controller is on a bus is the attachment's (nvme.ts). Every entry is copied before it is looked at.
// No controller memory buffer, no shadow doorbells, no scatter-gather lists.
import { attempt } from '../../base/eventual.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import { RegisterFile } from '../../bus/register-file.ts';
import type { Timer, Timers } from '../../ports/clock.ts';
import type { Drive } from '../../ports/disk.ts';
import type { DmaMemory } from '../../ports/dma.ts';
import { array, bool, choice, count, struct, u16, u32, u8, type StateOf } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { attemptRequest } from '../../trace/device-request.ts';
import { nextRequest } from '../../trace/request.ts';
import { executeAdmin } from './nvme-admin.ts';
import type { NvmeIdentity } from './nvme-data.ts';
import { executeIo } from './nvme-io.ts';
import {
  ADMIN, COMPLETION_BYTES, EVENTS_MAX, IO_QUEUES, ok, PAGE_SHIFT_EXTRA_MAX, QUEUE_ENTRIES_MAX, STATUS, SUBMISSION_BYTES,
  type NvmeResult,
} from './nvme-spec.ts';
import { trace } from './trace.ts';

const QUEUES = IO_QUEUES + 1;
const WORD = 2 ** 32;
export const DOORBELLS = 0x1000;
const CAP_LOW = (QUEUE_ENTRIES_MAX - 1) | 0x1_0000 | (0x0f << 24);
const CAP_HIGH = 0x20 | (PAGE_SHIFT_EXTRA_MAX << 20);
const VERSION = 0x0001_0400;
const CC = { ENABLE: 1, SHUTDOWN: 0xc000, WRITABLE: 0x00ff_fff1 } as const;
const CSTS = { READY: 1, FATAL: 2, SHUTTING_DOWN: 4, SHUT_DOWN: 8 } as const;
/** What one batch moves or takes before the guest has a turn. */
const BATCH_BYTES_MAX = 8 << 20;
const BATCH_COMMANDS_MAX = 512;

const queueFields = { low: u32(), high: u32(), entries: u16(0, QUEUE_ENTRIES_MAX), head: u16(), tail: u16() } as const;
const submissionFields = { ...queueFields, completion: u16(0, IO_QUEUES) } as const;
const completionFields = { ...queueFields, phase: bool(true), interrupts: bool(), vector: u16() } as const;
export type SubmissionQueue = StateOf<typeof submissionFields>;
export type CompletionQueue = StateOf<typeof completionFields>;

const insideRing = ({ entries, head, tail }: { entries: number; head: number; tail: number }): boolean =>
  entries === 0 ? head === 0 && tail === 0 : head < entries && tail < entries;

export const nvmeState = defineState({
  kind: 'nvme',
  version: 1,
  fields: {
    interruptMask: u32(),
    configuration: u32(),
    ready: bool(),
    fatal: bool(),
    /** The host switched the controller off or restarts it: it goes when its requests have ended. */
    resetting: bool(),
    shutdown: choice('no', 'asked', 'done'),
    adminSizes: u32(),
    submissionLow: u32(), submissionHigh: u32(), completionLow: u32(), completionHigh: u32(),
    submissions: array(struct(submissionFields), QUEUES),
    completions: array(struct(completionFields), QUEUES),
    /** ASYNC EVENT REQUESTs that wait, and the event that no request was there for: 0 is none. */
    eventCommands: array(u16(), EVENTS_MAX),
    eventCount: u8(0, EVENTS_MAX),
    event: u32(),
    deferred: bool(),
    // Features
    arbitration: u32(), temperature: u32(343), errorRecovery: u32(), writeCache: bool(true), coalescing: u32(), atomicity: u32(),
    asyncEvents: u32(),
    sectorsRead: count(), sectorsWritten: count(), reads: count(), writes: count(),
  },
  check({ submissions, completions, configuration }) {
    if (![...submissions, ...completions].every(insideRing)) return 'a queue outside its ring';
    return ((configuration >>> 7) & 15) > PAGE_SHIFT_EXTRA_MAX ? 'pages too large' : undefined;
  },
});
export type NvmeState = ReturnType<typeof nvmeState.initial>;

export interface NvmeWires {
  readonly memory: DmaMemory;
  readonly timers: Timers;
  readonly drive: Drive;
  readonly identity: NvmeIdentity;
  readonly blockBytes: number;
  /** The pin, for when messages are off. */
  readonly interrupt: (level: boolean) => void;
  readonly messages: { readonly enabled: boolean; notify(vector: number): void };
  readonly vectors: number;
}

export class NvmeController implements Device<NvmeState> {
  readonly schema = nvmeState;
  state = nvmeState.initial();
  readonly wires: NvmeWires;
  /** The submission queue entry that is being looked at: a copy. */
  readonly entry = new DataView(new ArrayBuffer(SUBMISSION_BYTES));
  readonly #entryBytes = new Uint8Array(this.entry.buffer);
  /** Commands in the drive by submission queue, and by completion queue: each has its place in the ring reserved. */
  readonly #pending = new Uint32Array(QUEUES);
  readonly #reserved = new Uint32Array(QUEUES);
  #inFlight = 0;
  /** Increased by a reset: what ends later is of no interest any more. */
  #epoch = 0;
  readonly #deletions = new Map<number, number>();
  /** Completion queues with news for the guest. */
  readonly #news = new Set<number>();
  #processing = false;
  #batchBytes = 0;
  #batchCommands = 0;
  readonly #continuation: Timer;

  constructor(wires: NvmeWires) {
    this.wires = wires;
    this.#continuation = wires.timers.createTimer(() => this.#processAll(), 'nvme');
  }

  get drive(): Drive {
    return this.wires.drive;
  }

  get pageBytes(): number {
    return 4096 << ((this.state.configuration >>> 7) & 15);
  }

  reset(phase: ResetPhase): void {
    if (phase === 'settle') return this.settle();
    this.#forget();
    this.state = nvmeState.initial();
  }

  settle(): void {
    this.#driveInterrupt();
    if (this.state.deferred) this.#continuation.armAt(this.wires.timers.now());
    else this.#continuation.disarm();
  }

  #forget(): void {
    this.#epoch++;
    this.#inFlight = 0;
    this.#pending.fill(0);
    this.#reserved.fill(0);
    this.#deletions.clear();
    this.#news.clear();
  }

  // --- registers

  readStatus(): number {
    const { ready, fatal, shutdown } = this.state;
    const shown = { no: 0, asked: CSTS.SHUTTING_DOWN, done: CSTS.SHUT_DOWN }[shutdown];
    return (ready ? CSTS.READY : 0) | (fatal ? CSTS.FATAL : 0) | shown;
  }

  writeConfiguration(value: number): void {
    const { state } = this;
    const was = state.configuration;
    const pages = (value >>> 7) & 15;
    state.configuration = (value & CC.WRITABLE & ~(pages > PAGE_SHIFT_EXTRA_MAX ? 0x780 : 0)) >>> 0;
    if ((was & ~value & CC.ENABLE) !== 0) {
      state.resetting = true;
      this.#resetWhenIdle();
    } else if ((value & ~was & CC.ENABLE) !== 0 && !state.resetting) this.#enable(pages);
    if ((value & CC.SHUTDOWN) !== 0 && (was & CC.SHUTDOWN) === 0) this.#shutDown();
    else if ((value & CC.SHUTDOWN) === 0) state.shutdown = 'no';
  }

  /** A controller reset keeps the registers of the admin queues. */
  #resetWhenIdle(): void {
    const { state } = this;
    if (!state.resetting || this.#inFlight > 0) return;
    trace.reset?.({});
    const { configuration, adminSizes, submissionLow, submissionHigh, completionLow, completionHigh, shutdown } = state;
    this.#forget();
    this.state = {
      ...nvmeState.initial(), configuration, adminSizes, submissionLow, submissionHigh, completionLow, completionHigh, shutdown,
    };
    this.settle();
    if ((configuration & CC.ENABLE) !== 0) this.#enable((configuration >>> 7) & 15);
  }

  #enable(pages: number): void {
    const { state } = this;
    const submissionEntries = (state.adminSizes & 0xfff) + 1;
    const completionEntries = ((state.adminSizes >>> 16) & 0xfff) + 1;
    const misaligned = ((state.submissionLow | state.completionLow) & (this.pageBytes - 1)) !== 0;
    const sized = Math.min(submissionEntries, completionEntries) > 1 && Math.max(submissionEntries, completionEntries) <= QUEUE_ENTRIES_MAX;
    if (misaligned || !sized || pages > PAGE_SHIFT_EXTRA_MAX) {
      state.fatal = true;
      return;
    }
    const ring = { head: 0, tail: 0 } as const;
    const { submissionLow, submissionHigh, completionLow, completionHigh } = state;
    state.submissions[0] = { ...ring, low: submissionLow, high: submissionHigh, entries: submissionEntries, completion: 0 };
    const reports = { phase: true, interrupts: true, vector: 0 } as const;
    state.completions[0] = { ...ring, low: completionLow, high: completionHigh, entries: completionEntries, ...reports };
    state.ready = true;
  }

  #shutDown(): void {
    const { state } = this;
    if (state.shutdown !== 'no') return;
    state.shutdown = 'asked';
    const done = (): void => {
      if (this.state.shutdown === 'asked') this.state.shutdown = 'done';
    };
    attempt(() => this.drive.flush(), done, done);
  }

  mask(bits: number, on: boolean): void {
    const { state } = this;
    state.interruptMask = (on ? state.interruptMask | bits : state.interruptMask & ~bits) >>> 0;
    this.#driveInterrupt();
  }

  // --- doorbells

  writeDoorbell(index: number, value: number): void {
    const { state } = this;
    if (!state.ready || state.resetting || index >= 2 * QUEUES) return;
    const id = index >> 1;
    trace.doorbell?.({ queue: id, completion: (index & 1) !== 0, value });
    const queue = (index & 1) === 0 ? state.submissions[id]! : state.completions[id]!;
    if (queue.entries === 0) return this.raiseEvent(0x0000_0000);
    if (value >= queue.entries) return this.raiseEvent(0x0000_0100);
    if ((index & 1) === 0) {
      queue.tail = value;
      this.#process(id, id + 1);
      return;
    }
    queue.head = value;
    if (!this.wires.messages.enabled) this.#driveInterrupt();
    // A ring that was full has room again.
    for (let submission = 0; submission < QUEUES; submission++) {
      const waiting = state.submissions[submission]!;
      if (waiting.completion === id && waiting.entries > 0 && waiting.head !== waiting.tail) this.#process(submission, submission + 1);
    }
    if (id === 0) this.#sendEvent();
  }

  #processAll(): void {
    this.state.deferred = false;
    this.#process(0, QUEUES);
  }

  /** Takes the commands of queues until there are none, the ring for their completions is full, or the batch is long enough. */
  #process(from: number, to: number): void {
    if (this.#processing) return;
    this.#processing = true;
    this.#batchBytes = this.#batchCommands = 0;
    for (let id = from; id < to && !this.state.resetting; id++) this.#takeFrom(id);
    this.#processing = false;
    this.#tellNews();
  }

  #takeFrom(id: number): void {
    const { state } = this;
    for (let queue = state.submissions[id]!; queue.head !== queue.tail && !state.resetting && this.#hasRoom(queue.completion); ) {
      if (this.#batchBytes >= BATCH_BYTES_MAX || this.#batchCommands >= BATCH_COMMANDS_MAX) {
        state.deferred = true;
        this.#continuation.armAt(this.wires.timers.now());
        return;
      }
      const bytes = this.wires.memory.view(queue.high * WORD + queue.low + queue.head * SUBMISSION_BYTES, SUBMISSION_BYTES);
      if (bytes === undefined) {
        state.fatal = true;
        return;
      }
      this.#entryBytes.set(bytes);
      queue.head = queue.head + 1 === queue.entries ? 0 : queue.head + 1;
      this.#batchCommands++;
      this.#execute(id, queue);
      queue = state.submissions[id]!;
    }
  }

  /** Room in a completion ring beyond what is reserved. */
  #hasRoom(id: number): boolean {
    const { entries, head, tail } = this.state.completions[id]!;
    if (entries === 0) return false;
    const used = tail >= head ? tail - head : tail - head + entries;
    return used + this.#reserved[id]! + 1 < entries;
  }

  #execute(id: number, queue: SubmissionQueue): void {
    const { entry } = this;
    const command = entry.getUint16(2, true);
    const opcode = entry.getUint8(0);
    const request = nextRequest();
    trace.command?.({ request, queue: id, command, opcode });
    if (id === 0 && opcode === ADMIN.ASYNC_EVENT) return this.#keepEventRequest(command);
    const completion = queue.completion;
    const epoch = this.#epoch;
    this.#inFlight++;
    this.#pending[id]!++;
    this.#reserved[completion]!++;
    const ended = (result: NvmeResult | number | undefined): void => {
      if (epoch !== this.#epoch) return;
      this.#inFlight--;
      this.#pending[id]!--;
      this.#reserved[completion]!--;
      if (result !== undefined) this.#complete(id, command, result, request);
      if (this.#pending[id] === 0) this.#finishDeletion(id);
      if (this.#processing) return;
      // The request took its time: whoever waits for a place or for quiet goes on.
      this.#tellNews();
      if (this.state.resetting) this.#resetWhenIdle();
      else this.#process(id, id + 1);
    };
    attemptRequest<NvmeResult | number | undefined>(
      { request, name: this.drive.name },
      () => (id === 0 ? executeAdmin(this) : executeIo(this)),
      ended,
      () => ended(STATUS.INTERNAL_ERROR),
    );
  }

  /** For commands: how much they move counts for the length of a batch. */
  countBytes(bytes: number): void {
    this.#batchBytes += bytes;
  }

  #complete(id: number, command: number, result: NvmeResult | number, request = 0): void {
    const { state } = this;
    const submission = state.submissions[id]!;
    const queue = state.completions[submission.completion]!;
    if (queue.entries === 0) return;
    const [status, value] = typeof result === 'number' ? [result, 0] : [result.status, result.value];
    trace.completion?.({ request, queue: id, command, status });
    const address = queue.high * WORD + queue.low + queue.tail * COMPLETION_BYTES;
    const bytes = this.wires.memory.view(address, COMPLETION_BYTES);
    if (bytes === undefined) {
      state.fatal = true;
      return;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, COMPLETION_BYTES);
    view.setUint32(0, value, true);
    view.setUint32(4, 0, true);
    view.setUint32(8, submission.head | (id << 16), true);
    view.setUint32(12, command | (queue.phase ? 0x1_0000 : 0) | (status << 17), true);
    this.wires.memory.written(address, COMPLETION_BYTES);
    queue.tail++;
    if (queue.tail === queue.entries) {
      queue.tail = 0;
      queue.phase = !queue.phase;
    }
    this.#news.add(submission.completion);
  }

  /** One interrupt for each completion queue that got something since the last time. */
  #tellNews(): void {
    if (this.#news.size === 0) return;
    const { messages } = this.wires;
    if (messages.enabled) {
      for (const id of this.#news) {
        const queue = this.state.completions[id]!;
        if (!queue.interrupts || queue.entries === 0) continue;
        trace.interrupt?.({ queue: id, vector: queue.vector });
        messages.notify(queue.vector);
      }
    } else {
      trace.interrupt?.({ queue: 0, vector: 0 });
      this.#driveInterrupt();
    }
    this.#news.clear();
  }

  /** The pin is high while a completion queue whose vector is not masked has entries. */
  #driveInterrupt(): void {
    const { completions, interruptMask } = this.state;
    let level = false;
    if (!this.wires.messages.enabled) {
      for (const { entries, head, tail, interrupts, vector } of completions) {
        if (entries > 0 && interrupts && head !== tail && ((interruptMask >>> (vector & 31)) & 1) === 0) level = true;
      }
    }
    this.wires.interrupt(level);
  }

  // --- asynchronous events

  #keepEventRequest(command: number): void {
    const { state } = this;
    if (state.eventCount === EVENTS_MAX) this.#complete(0, command, STATUS.TOO_MANY_EVENTS);
    else state.eventCommands[state.eventCount++] = command;
    this.#sendEvent();
  }

  /** An event for the host, `value` as in the completion; the first one that waits is kept. */
  raiseEvent(value: number): void {
    if (this.state.event === 0) this.state.event = (value | 0x8000_0000) >>> 0;
    this.#sendEvent();
    if (!this.#processing) this.#tellNews();
  }

  #sendEvent(): void {
    const { state } = this;
    if (state.event === 0 || state.eventCount === 0 || !this.#hasRoom(0)) return;
    const command = state.eventCommands[--state.eventCount]!;
    state.eventCommands[state.eventCount] = 0;
    const value = state.event & 0x7fff_ffff;
    state.event = 0;
    this.#complete(0, command, ok(value));
  }

  // --- queues; for nvme-admin.ts

  /** Deletes a submission queue as soon as its commands have ended; the command that asks ends then. */
  deleteSubmissionQueue(id: number, command: number): NvmeResult | number | undefined {
    const { state } = this;
    if (id === 0 || id >= QUEUES || state.submissions[id]!.entries === 0 || this.#deletions.has(id)) return STATUS.INVALID_QUEUE_ID;
    state.submissions[id]!.head = state.submissions[id]!.tail; // nothing more is taken
    if (this.#pending[id] === 0) {
      this.#dropSubmissionQueue(id);
      return STATUS.SUCCESS;
    }
    this.#deletions.set(id, command);
    this.#inFlight++;
    this.#reserved[0]!++;
    return undefined;
  }

  #dropSubmissionQueue(id: number): void {
    this.state.submissions[id] = { low: 0, high: 0, entries: 0, head: 0, tail: 0, completion: 0 };
  }

  #finishDeletion(id: number): void {
    const command = this.#deletions.get(id);
    if (command === undefined) return;
    this.#deletions.delete(id);
    this.#inFlight--;
    this.#reserved[0]!--;
    this.#dropSubmissionQueue(id);
    this.#complete(0, command, STATUS.SUCCESS);
  }
}

// prettier-ignore
export const nvmeRegisters = new RegisterFile<NvmeController>('nvme', 4, [
  { at: 0x00, name: 'CAP', constant: CAP_LOW },
  { at: 0x04, name: 'CAP_HIGH', constant: CAP_HIGH },
  { at: 0x08, name: 'VS', constant: VERSION },
  { at: 0x0c, name: 'INTMS', read: (nvme) => nvme.state.interruptMask, write: (nvme, value) => nvme.mask(value, true) },
  { at: 0x10, name: 'INTMC', read: (nvme) => nvme.state.interruptMask, write: (nvme, value) => nvme.mask(value, false) },
  { at: 0x14, name: 'CC', field: 'configuration', write: (nvme, value) => nvme.writeConfiguration(value) },
  { at: 0x1c, name: 'CSTS', read: (nvme) => nvme.readStatus() },
  { at: 0x20, name: 'NSSR', constant: 0 },
  { at: 0x24, name: 'AQA', field: 'adminSizes', writable: 0x0fff_0fff },
  { at: 0x28, name: 'ASQ', field: 'submissionLow', writable: 0xffff_f000 },
  { at: 0x2c, name: 'ASQ_HIGH', field: 'submissionHigh', writable: 0xffff_ffff },
  { at: 0x30, name: 'ACQ', field: 'completionLow', writable: 0xffff_f000 },
  { at: 0x34, name: 'ACQ_HIGH', field: 'completionHigh', writable: 0xffff_ffff },
  { at: 0x38, name: 'CMBLOC', constant: 0 },
  { at: 0x3c, name: 'CMBSZ', constant: 0 },
]);
