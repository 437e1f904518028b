// The progress of a long command: the line of `-p` as the reference draws it, or with --progress=json one JSON object a line on
// standard error.
import { Failure } from '../../base/failure.ts';
import type { ToolIo } from './tool-io.ts';
import { twoPlaces } from './two-places.ts';

// QUIRK: `-p` of commit draws a line when the percentage has moved, where the reference repeats it each time it looks; SIGUSR1
// draws none.
export type ProgressStyle = 'off' | 'line' | 'json';

export function progressStyle(text: string): ProgressStyle {
  if (text === 'json') return 'json';
  if (text === 'line') return 'line';
  throw new Failure('invalid-argument', '--progress must be used with line or json as argument.');
}

export class Progress {
  readonly #io: ToolIo;
  readonly #command: string;
  readonly #style: ProgressStyle;
  readonly #minStep: number;
  #percent = 0;
  #shown = 0;

  /** A new line is drawn when the percentage has moved by more than `minStep`. */
  constructor(io: ToolIo, command: string, style: ProgressStyle, minStep: number) {
    this.#io = io;
    this.#command = command;
    this.#style = style;
    this.#minStep = minStep;
  }

  /** Whether nobody looks, so that counting may be left out. */
  get isOff(): boolean {
    return this.#style === 'off';
  }

  set(percent: number): void {
    this.#percent = Math.min(100, percent);
    const moved = Math.abs(this.#percent - this.#shown);
    if (moved <= this.#minStep && this.#percent !== 100 && this.#percent !== 0) return;
    this.#shown = this.#percent;
    if (this.#style === 'line') this.#io.out(`    (${twoPlaces(this.#percent)}/100%)\r`);
    if (this.#style === 'json')
      this.#io.error(`${JSON.stringify({ command: this.#command, percent: Math.round(this.#percent * 100) / 100 })}\n`);
  }

  add(percent: number): void {
    if (percent > 0) this.set(this.#percent + percent);
    else this.set(this.#percent);
  }

  end(): void {
    if (this.#style === 'line') this.#io.out('\n');
    if (this.#style === 'json') this.#io.error(`${JSON.stringify({ command: this.#command, finished: true })}\n`);
  }
}
