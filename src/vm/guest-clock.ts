// Guest time: nanoseconds since power-on. It follows the host's monotonic clock and stops with the guest, or counts
// retired instructions (-icount), which makes a run a function of its inputs.
import type { Clock } from '../ports/clock.ts';

export class HostDrivenClock implements Clock {
  readonly #hostNs: () => number;
  #base = 0;
  #startedAt = 0;
  #running = false;

  constructor(hostNs: () => number) {
    this.#hostNs = hostNs;
  }

  now(): number {
    return this.#running ? this.#base + this.#hostNs() - this.#startedAt : this.#base;
  }

  start(): void {
    if (this.#running) return;
    this.#startedAt = this.#hostNs();
    this.#running = true;
  }

  stop(): void {
    this.#base = this.now();
    this.#running = false;
  }
}

/** 2^shift nanoseconds an instruction; `warp` passes over idle time. */
export class InstructionClock implements Clock {
  readonly #instructions: () => number;
  readonly #nsPerInstruction: number;
  #warped = 0;

  constructor(instructions: () => number, shift: number) {
    this.#instructions = instructions;
    this.#nsPerInstruction = 2 ** shift;
  }

  now(): number {
    return this.#instructions() * this.#nsPerInstruction + this.#warped;
  }

  warpTo(ns: number): void {
    const ahead = ns - this.now();
    if (ahead > 0) this.#warped += ahead;
  }

  /** Instructions until a time. */
  instructionsUntil(ns: number): number {
    return Math.max(0, Math.ceil((ns - this.now()) / this.#nsPerInstruction));
  }
}
