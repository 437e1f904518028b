// The run-time part of blkdebug: which rules are armed, in which state the machine of rules is, which requests are held at a
// breakpoint. Knows nothing of block nodes.
import { ErrnoFailure, errnoFromNumber, errnoNumber } from '../../base/errno.ts';
import type { Eventual } from '../../base/eventual.ts';
import type { Breakpoints, DebugEvent } from '../debug-events.ts';
import { waitingFor } from '../../trace/waits.ts';
import type { InjectError, IoType, Rule } from './rules.ts';

interface Breakpoint {
  readonly event: DebugEvent;
  readonly tag: string;
}

interface HeldRequest {
  readonly tag: string;
  readonly release: () => void;
}

const INITIAL_STATE = 1;

/** The failure of an errno that a rule names, also of one without a name. */
function failureOf(number: number): ErrnoFailure {
  const name = errnoFromNumber(number);
  return errnoNumber(name) === number ? new ErrnoFailure(name) : new ErrnoFailure('EIO', `Unknown error ${number}`);
}

export class RuleMachine implements Breakpoints {
  #rules: readonly Rule[];
  /** Errors that the next fitting request meets. */
  #armed: InjectError[] = [];
  #state = INITIAL_STATE;
  /** The last added comes first. */
  #breakpoints: Breakpoint[] = [];
  #held: HeldRequest[] = [];
  #waiting: { readonly tag: string; readonly wake: () => void }[] = [];
  readonly #say: (line: string) => void;

  /** `say` prints a line for the user: requests that are held and released. */
  constructor(rules: readonly Rule[], say: (line: string) => void) {
    this.#say = say;
    this.#rules = rules.toReversed();
    this.#applyRules('none'); // happens once, now
  }

  /** Something happened above (or here). A promise when a breakpoint holds the request. */
  event(event: DebugEvent): Eventual<void> {
    if (this.#rules.length > 0) this.#applyRules(event);
    if (this.#breakpoints.length === 0) return;
    const hit = this.#breakpoints.filter((breakpoint) => breakpoint.event === event);
    if (hit.length > 0) return this.#holdAll(hit);
  }

  #applyRules(event: DebugEvent): void {
    let next = this.#state;
    let fresh = true;
    for (const rule of this.#rules) {
      if (rule.event !== event || (rule.state !== 0 && rule.state !== this.#state)) continue;
      if (rule.kind === 'set-state') {
        next = rule.newState;
        continue;
      }
      if (fresh) this.#armed = []; // the errors of the event before are over
      fresh = false;
      this.#armed.unshift(rule);
    }
    this.#state = next;
  }

  /** Throws the error of the first armed rule that fits the request. */
  check(ioType: IoType, offset: number, count: number): Eventual<void> {
    if (this.#armed.length === 0) return;
    const rule = this.#armed.find((candidate) => fits(candidate, ioType, offset, count));
    if (rule === undefined || rule.errno === 0) return;
    if (rule.once) {
      this.#armed = this.#armed.filter((candidate) => candidate !== rule);
      this.#rules = this.#rules.filter((candidate) => candidate !== rule);
    }
    if (rule.errno < 0) return; // the reference takes the negative for a success
    if (rule.immediately) throw failureOf(rule.errno);
    return Promise.resolve().then(() => Promise.reject(failureOf(rule.errno)));
  }

  /** The request goes on when each of its breakpoints has been resumed. */
  async #holdAll(hit: readonly Breakpoint[]): Promise<void> {
    this.#breakpoints = this.#breakpoints.filter((breakpoint) => !hit.includes(breakpoint));
    await Promise.all(hit.map(({ tag }) => this.#hold(tag)));
  }

  #hold(tag: string): Promise<void> {
    return waitingFor('blkdebug', `breakpoint ${tag}`, this.#untilResumed(tag));
  }

  #untilResumed(tag: string): Promise<void> {
    return new Promise((release) => {
      this.#held.unshift({ tag, release });
      this.#say(`blkdebug: Suspended request '${tag}'`);
      const woken = this.#waiting.filter((waiting) => waiting.tag === tag);
      this.#waiting = this.#waiting.filter((waiting) => waiting.tag !== tag);
      for (const { wake } of woken) wake();
    });
  }

  add(event: DebugEvent, tag: string): void {
    this.#breakpoints.unshift({ event, tag });
  }

  remove(tag: string): boolean {
    const before = this.#breakpoints.length;
    this.#breakpoints = this.#breakpoints.filter((breakpoint) => breakpoint.tag !== tag);
    const removed = this.#breakpoints.length < before;
    while (this.resume(tag)) continue;
    return removed;
  }

  resume(tag: string): boolean {
    const request = this.#held.find((held) => held.tag === tag);
    if (request === undefined) return false;
    this.#held = this.#held.filter((held) => held !== request);
    this.#say(`blkdebug: Resuming request '${tag}'`);
    request.release();
    return true;
  }

  async suspended(tag: string): Promise<void> {
    if (this.#held.some((held) => held.tag === tag)) return;
    await new Promise<void>((wake) => this.#waiting.push({ tag, wake }));
  }
}

function fits(rule: InjectError, ioType: IoType, offset: number, count: number): boolean {
  if (rule.ioType === undefined ? ioType === 'block-status' : rule.ioType !== ioType) return false;
  if (rule.offset === undefined) return true;
  return count > 0 && rule.offset >= offset && rule.offset < offset + count;
}
