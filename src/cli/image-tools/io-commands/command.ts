// What a command of nandu-io is, and what all of them share: numbers, options, the open image, the queue of finished
// asynchronous requests.
import { errnoOf, errnoText } from '../../../base/errno.ts';
import { Failure } from '../../../base/failure.ts';
import type { BlockBackend } from '../../../block/backend.ts';
import { DifferenceFailure } from '../../../block/difference-failure.ts';
import type { BlockGraph } from '../../../block/graph.ts';
import { exactSize } from '../../../block/operations/create-options.ts';
import { OptionReader } from '../getopt.ts';
import type { ToolIo } from '../tool-io.ts';

/** No request is longer: the biggest multiple of 512 bytes below 2 GiB. */
export const REQUEST_MAX = 2 ** 31 - 512;

/** A command that failed after it said why; the words are already out. */
export class CommandFailed extends Error {}

/** A command line that the command's one-line usage answers. */
export class UsageWanted extends Error {}

export interface IoCommand {
  readonly name: string;
  readonly alias?: string;
  /** As the list of commands shows it. */
  readonly args?: string;
  readonly summary: string;
  /** Lines of `help NAME` below the usage. */
  readonly help?: readonly string[];
  readonly minArgs: number;
  /** Undefined: any number. */
  readonly maxArgs?: number;
  /** Works without an open image. */
  readonly needsNoImage?: boolean;
  /** What the image must be open for. */
  readonly changes?: 'data' | 'size';
  run(words: readonly string[], environment: IoEnvironment): Promise<void> | void;
}

/** An open image, and how it was opened, so that it can be opened again in another way. */
export interface OpenImage {
  readonly backend: BlockBackend;
  readonly request: ImageOpening;
}

export interface ImageOpening {
  readonly filename: string | undefined;
  readonly options: readonly (readonly [string, string | number | boolean | null])[];
  readonly readOnly: boolean;
  readonly copyOnRead: boolean;
  readonly temporary: boolean;
  readonly forceShare: boolean;
  readonly unmap: boolean;
  readonly nativeAio: boolean;
  readonly cache: { readonly direct: boolean; readonly noFlush: boolean; readonly writethrough: boolean };
}

export class IoEnvironment {
  readonly io: ToolIo;
  readonly #graph: () => BlockGraph;
  image: OpenImage | undefined;
  /** `quit` was given. */
  ended = false;
  /** Asynchronous requests that are under way. */
  readonly #running = new Set<Promise<void>>();
  /** Texts of those that have ended and were not shown yet. */
  readonly #finished: string[] = [];

  constructor(io: ToolIo, graph: () => BlockGraph) {
    this.io = io;
    this.#graph = graph;
  }

  get graph(): BlockGraph {
    return this.#graph();
  }

  get backend(): BlockBackend {
    return this.image!.backend;
  }

  say(text: string): void {
    this.io.out(text);
  }

  /** `PROGRAM: message` on stderr. */
  report(message: string): void {
    this.io.error(`${this.io.program}: ${message}\n`);
  }

  fail(line: string): never {
    this.say(`${line}\n`);
    throw new CommandFailed(line);
  }

  /** A request that goes on while other commands run; its text appears when it has ended and somebody waits for requests. */
  start(request: Promise<string>): void {
    const running = request.then((text) => {
      this.#running.delete(running);
      this.#finished.push(text);
    });
    this.#running.add(running);
  }

  /** Shows what has ended meanwhile. */
  async poll(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    for (const text of this.#finished.splice(0).reverse()) this.say(text); // the last first, as the reference has it
  }

  /** Resolves when no asynchronous request is under way. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** All asynchronous requests have ended, and were shown. */
  async settle(): Promise<void> {
    await this.idle();
    await this.poll();
  }
}

/** The text of an error as strerror() has it. */
export const errorText = (error: unknown): string => {
  if (!(error instanceof Failure) || error instanceof DifferenceFailure) throw error;
  const unknown = /^Unknown error \d+$/.exec(error.message); // a number that only a blkdebug rule knows
  return unknown === null ? errnoText(errnoOf(error)) : unknown[0];
};

const INT64_END = 1n << 63n;

/** A size or offset: `64k`, `0x1000`. */
export function parseNumber(environment: IoEnvironment, text: string): number {
  const value = exactSize(text);
  if (value === 'invalid') return environment.fail(`Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- ${text}`);
  if (value === 'range' || value >= INT64_END) return environment.fail(`Parsing error: argument too large -- ${text}`);
  return Number(value);
}

export function parsePattern(environment: IoEnvironment, text: string): number {
  const match = /^\s*[+]?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*)$/.exec(text);
  const digits = match?.[1] ?? '';
  const value = /^0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
  if (match === null || value > 0xff) return environment.fail(`${text} is not a valid pattern byte`);
  return value;
}

export interface ParsedWords {
  /** Letters given; those with an argument have their last one here. */
  readonly flags: ReadonlyMap<string, string>;
  readonly operands: readonly string[];
}

/** Options of a command, in getopt's notation; a wrong one brings the usage. `onOption` sees each in its turn. */
export function parseWords(
  environment: IoEnvironment,
  name: string,
  words: readonly string[],
  short: string,
  onOption?: (letter: string, argument: string) => void,
): ParsedWords {
  const reader = new OptionReader<string>(words, { short, long: [] }, name);
  const flags = new Map<string, string>();
  for (let step = reader.next(); step !== undefined; step = reader.next()) {
    if ('error' in step) {
      environment.io.error(`${name}: ${step.error.message}\n`);
      throw new UsageWanted();
    }
    const argument = step.option.argument ?? '';
    onOption?.(step.option.name, argument);
    flags.set(step.option.name, argument);
  }
  return { flags, operands: reader.operands };
}
