// What the subcommands of nandu-img share: options with the reference's complaints, messages under the program's name, the
// objects of --object, and opening images. One session is one command line.
import { prefixed } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { BlockBackend, type BackendUse } from '../../block/backend.ts';
import type { OpenFlags } from '../../block/driver.ts';
import { BlockGraph } from '../../block/graph.ts';
import { OptionDict } from '../../block/options.ts';
import { addThrottleGroup } from '../../block/throttle-group.ts';
import { createBlockHost } from '../../platform/node/block-host.ts';
import type { CacheMode } from './cache-mode.ts';
import { OptionReader, type OptionGrammar, type ParsedOption } from './getopt.ts';
import { parseImageOptions } from './image-options.ts';
import { ToolObjects } from './objects.ts';
import type { ToolIo } from './tool-io.ts';

/** A wrong command line: the message is followed by where to find help. */
export class UsageFailure extends Failure {
  constructor(message: string) {
    super('invalid-argument', message);
  }
}

/** `-h` somewhere: the help is all that is wanted. */
export class HelpRequest extends Error {}

/** A command that ends with another status than 1, its message as usual. */
export class StatusFailure extends Failure {
  readonly status: number;

  constructor(status: number, failure: Failure) {
    super(failure.kind, failure.message, { cause: failure });
    this.status = status;
  }
}

export interface ImageRequest {
  readonly filename: string;
  /** `filename` is `key=value,…` (--image-opts). */
  readonly imageOptions?: boolean;
  readonly format?: string | undefined;
  readonly flags?: Partial<OpenFlags>;
  readonly cache?: CacheMode | undefined;
  readonly forceShare?: boolean;
  readonly use?: BackendUse;
  /** Options of the node beside what the user wrote. */
  readonly extra?: OptionDict;
}

export class Session {
  readonly io: ToolIo;
  readonly objects: ToolObjects;
  isQuiet = false;
  /** The command does something else while it reads: set before the first image is opened. */
  overlapsReads = false;
  #graph: BlockGraph | undefined;

  constructor(io: ToolIo) {
    this.io = io;
    this.objects = new ToolObjects(io);
  }

  get graph(): BlockGraph {
    if (this.#graph === undefined) {
      const host = createBlockHost({
        files: this.overlapsReads ? 'bulk' : 'sync',
        warn: (line, hint) => this.warn(line, hint),
        ...this.objects.hostOptions(),
      });
      this.#graph = new BlockGraph({
        ...host,
        report: (line) => this.report(line),
        print: (line) => this.io.error(`${line}\n`), show: (line) => this.io.out(`${line}\n`),
      });
      for (const { id, values } of this.objects.ofType('throttle-group')) addThrottleGroup(this.#graph, id, new OptionDict(values));
    }
    return this.#graph;
  }

  /** The options of a subcommand, one after the other; `--object` and help are dealt with here. */
  *options<Name extends string>(
    command: string,
    words: readonly string[],
    grammar: OptionGrammar<Name>,
    operands: string[],
  ): Generator<ParsedOption<Name>> {
    const reader = new OptionReader(words, grammar, command);
    for (let step = reader.next(); step !== undefined; step = reader.next()) {
      if ('error' in step) throw optionFailure(step.error);
      const { name, argument } = step.option;
      if (name === 'h') throw new HelpRequest();
      if (name === 'object') this.objects.add(argument!);
      else yield step.option;
    }
    operands.push(...reader.operands);
  }

  /** Text for the user that -q keeps back. */
  say(text: string): void {
    if (!this.isQuiet) this.io.out(text);
  }

  report(message: string): void {
    this.io.error(`${this.io.program}: ${message}\n`);
  }

  warn(message: string, hint = ''): void {
    this.report(`warning: ${message}`);
    if (hint !== '') this.io.error(hint);
  }

  async open({ filename, imageOptions, format, flags, cache, forceShare, use, extra }: ImageRequest): Promise<BlockBackend> {
    const all = { ...flags, direct: cache?.direct ?? false, noFlush: cache?.noFlush ?? false };
    const options = imageOptions ? parseImageOptions(filename, format) : new OptionDict();
    if (imageOptions) {
      if (options.has('force-share') && forceShare) {
        throw new Failure('invalid-argument', '--force-share/-U conflicts with image options');
      }
    } else if (format !== undefined) options.set('driver', format);
    if (forceShare) options.set('force-share', true);
    for (const [name, value] of extra?.entries() ?? []) options.set(name, value);
    try {
      return await BlockBackend.open(this.graph, {
        filename: imageOptions ? undefined : filename,
        options,
        flags: all,
        writethrough: cache?.writethrough ?? false,
        ...use,
      });
    } catch (error) {
      throw prefixed(`Could not open '${filename}'`, error);
    }
  }
}

function optionFailure({ kind, word }: { readonly kind: string; readonly word: string }): UsageFailure {
  return new UsageFailure(kind === 'unknown' ? `unrecognized option '${word}'` : `missing argument for option '${word}'`);
}

/** Closes what was opened, the last first; the first error comes out after all are closed. */
export async function closeAll(backends: readonly (BlockBackend | undefined)[]): Promise<void> {
  let failure: unknown;
  for (const backend of [...backends].reverse()) {
    try {
      await backend?.close();
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
}
