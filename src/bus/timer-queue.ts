// The alarms of a machine's devices in guest nanoseconds: a binary heap ordered by (deadline, creation order).
// Deterministic: what runs, and in which order, depends only on the deadlines and the times given to `runDue`.
// It does not sleep; the machine loop asks `nextDeadline` and calls `runDue`.
import type { Clock, Timer, Timers } from '../ports/clock.ts';
import { assert } from '../base/assert.ts';
import { defineEvents } from '../trace/event.ts';
import { beginNamedActivity, endActivity } from '../trace/activity.ts';
import { heldSince, loopNs } from '../trace/stalls.ts';

const trace = defineEvents('timer', { fired: '{name:str} deadline {deadline} late {late} ns' });

const NOT_QUEUED = -1;

class QueuedTimer implements Timer {
  deadline = Infinity;
  /** Position in the heap. */
  slot = NOT_QUEUED;
  /** The run in which it was armed, so that a timer that arms itself in the past cannot keep a run going for ever. */
  armedInRun = 0;
  readonly order: number;
  readonly callback: (deadlineNs: number) => void;
  readonly name: string;
  readonly #queue: TimerQueue;

  constructor(queue: TimerQueue, order: number, callback: (deadlineNs: number) => void, name: string) {
    this.#queue = queue;
    this.order = order;
    this.callback = callback;
    this.name = name;
  }

  armAt(deadlineNs: number): void {
    assert(!Number.isNaN(deadlineNs), 'a timer deadline is a number');
    this.#queue.place(this, deadlineNs);
  }

  disarm(): void {
    this.#queue.place(this, Infinity);
  }
}

export class TimerQueue implements Timers {
  readonly #clock: Clock;
  readonly #heap: QueuedTimer[] = [];
  #created = 0;
  #run = 0;
  /** Called when the nearest deadline came nearer: the running slice of the processor is too long now. */
  onNearer: (() => void) | undefined;

  constructor(clock: Clock, onNearer?: () => void) {
    this.#clock = clock;
    this.onNearer = onNearer;
  }

  now(): number {
    return this.#clock.now();
  }

  createTimer(callback: (deadlineNs: number) => void, name = 'unnamed'): Timer {
    return new QueuedTimer(this, this.#created++, callback, name);
  }

  /** The nearest deadline, Infinity when nothing is armed. */
  nextDeadline(): number {
    const first = this.#heap[0];
    return first === undefined ? Infinity : first.deadline;
  }

  /** Fires every timer due at `nowNs`, nearest first. What a callback arms is left for the next call. Returns how many fired. */
  runDue(nowNs: number): number {
    const run = ++this.#run;
    let fired = 0;
    for (let first = this.#heap[0]; first !== undefined && first.deadline <= nowNs; first = this.#heap[0]) {
      if (first.armedInRun === run) break;
      const { deadline } = first;
      this.place(first, Infinity);
      trace.fired?.({ name: first.name, deadline, late: nowNs - deadline });
      const begun = loopNs();
      const doing = beginNamedActivity('timer', first.name);
      first.callback(deadline);
      endActivity(doing);
      heldSince(begun, 'timer', first.name);
      fired++;
    }
    return fired;
  }

  /** For QueuedTimer: puts a timer where its new deadline belongs. */
  place(timer: QueuedTimer, deadlineNs: number): void {
    const nearest = this.nextDeadline();
    if (timer.slot !== NOT_QUEUED) this.#remove(timer);
    timer.deadline = deadlineNs;
    if (deadlineNs === Infinity) return;
    timer.armedInRun = this.#run;
    timer.slot = this.#heap.length;
    this.#heap.push(timer);
    this.#rise(timer);
    if (deadlineNs < nearest) this.onNearer?.();
  }

  #before(a: QueuedTimer, b: QueuedTimer): boolean {
    return a.deadline < b.deadline || (a.deadline === b.deadline && a.order < b.order);
  }

  #rise(timer: QueuedTimer): void {
    const heap = this.#heap;
    while (timer.slot > 0) {
      const parent = heap[(timer.slot - 1) >> 1]!;
      if (!this.#before(timer, parent)) break;
      this.#swap(timer, parent);
    }
  }

  #sink(timer: QueuedTimer): void {
    const heap = this.#heap;
    for (;;) {
      const left = heap[2 * timer.slot + 1];
      if (left === undefined) break;
      const right = heap[2 * timer.slot + 2];
      const least = right !== undefined && this.#before(right, left) ? right : left;
      if (!this.#before(least, timer)) break;
      this.#swap(timer, least);
    }
  }

  #swap(a: QueuedTimer, b: QueuedTimer): void {
    const slot = a.slot;
    a.slot = b.slot;
    b.slot = slot;
    this.#heap[a.slot] = a;
    this.#heap[b.slot] = b;
  }

  #remove(timer: QueuedTimer): void {
    const last = this.#heap.pop()!;
    if (last !== timer) {
      last.slot = timer.slot;
      this.#heap[last.slot] = last;
      this.#rise(last);
      this.#sink(last);
    }
    timer.slot = NOT_QUEUED;
  }
}

/** Processors cannot usefully take periodic interrupts closer than this; a guest that asks gets them spread. */
const PERIOD_FLOOR_NS = 5_000;
/** Further behind than this, ticks are given up rather than delivered in a burst. */
const BACKLOG_MAX_NS = 1_000_000_000;

/**
 * When to fire the periodic tick that belongs at `gridNs`: at that time, or, when the machine is late, soon after `nowNs`.
 * Late ticks come at twice the rate until the grid is reached again, so that a guest that counts ticks keeps time.
 */
export function paceTick(gridNs: number, nowNs: number, periodNs: number): number {
  return Math.max(gridNs, nowNs + Math.max(periodNs / 2, PERIOD_FLOOR_NS));
}

/** How many whole periods to give up when the grid lies too far behind, else 0. */
export function ticksToSkip(gridNs: number, nowNs: number, periodNs: number): number {
  return nowNs - gridNs > BACKLOG_MAX_NS ? Math.floor((nowNs - gridNs) / periodNs) : 0;
}
