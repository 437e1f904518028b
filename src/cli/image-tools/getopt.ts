// A command line parser with the behaviour of glibc's getopt_long, which the image tools' users and scripts know: short
// options in clusters (`-pq`, `-fraw`), long ones with `=` or the next word as argument and abbreviated where that is
// unambiguous, options after file names, `--` as the end. Specification: POSIX utility conventions and getopt_long(3).
// Not the parser of the system command (schema/command-line.ts).

export type ArgumentNeed = 'none' | 'required' | 'optional';

export interface LongName<Name extends string> {
  readonly long: string;
  readonly name: Name;
  readonly argument: ArgumentNeed;
}

export interface OptionGrammar<Name extends string> {
  /**
   * In getopt's notation: letters, `:` after those with an argument, `::` with an optional one. A leading `+` ends the options
   * at the first other word.
   */
  readonly short: string;
  readonly long: readonly LongName<Name>[];
}

/** A wrong option, with the text that glibc would print after `PROGRAM: `. */
export interface OptionError {
  readonly kind: 'unknown' | 'missing-argument';
  readonly message: string;
  /** The last word that was finished (argv[optind - 1]): what qemu-img names in its own message. */
  readonly word: string;
}

export interface ParsedOption<Name extends string> {
  /** The letter of a short option, `name` of a long one. */
  readonly name: Name;
  readonly argument: string | undefined;
}

export type OptionStep<Name extends string> = { readonly option: ParsedOption<Name> } | { readonly error: OptionError };

/** Walks over the words; `operands` is complete when `next` has returned undefined. */
export class OptionReader<Name extends string> {
  readonly operands: string[] = [];
  readonly #words: readonly string[];
  readonly #grammar: OptionGrammar<Name>;
  readonly #stopsAtOperand: boolean;
  #index = 0;
  /** What is left of a cluster of short options. */
  #cluster = '';
  /** The last word taken, or the one before the first. */
  #taken: string;

  /** `before` is the word in front of the first: a command's own name. */
  constructor(words: readonly string[], grammar: OptionGrammar<Name>, before = '') {
    this.#words = words;
    this.#grammar = grammar;
    this.#stopsAtOperand = grammar.short.startsWith('+');
    this.#taken = before;
  }

  /** The next option or mistake; undefined at the end. */
  next(): OptionStep<Name> | undefined {
    if (this.#cluster !== '') return this.#nextShort();
    while (this.#index < this.#words.length) {
      const word = this.#words[this.#index]!;
      if (word === '--') {
        this.#take();
        break;
      }
      if (word.startsWith('--')) return this.#nextLong(this.#take().slice(2));
      if (word.startsWith('-') && word.length > 1) {
        this.#cluster = word.slice(1);
        return this.#nextShort();
      }
      if (this.#stopsAtOperand) break;
      this.operands.push(word);
      this.#index++;
    }
    this.operands.push(...this.#words.slice(this.#index));
    this.#index = this.#words.length;
    return undefined;
  }

  #take(): string {
    this.#taken = this.#words[this.#index++]!;
    return this.#taken;
  }

  /** The argument that is a word of its own; options stay where they are, operands before it are none. */
  #nextWord(): string | undefined {
    return this.#index < this.#words.length ? this.#take() : undefined;
  }

  #nextShort(): OptionStep<Name> {
    const letter = this.#cluster[0]!;
    this.#cluster = this.#cluster.slice(1);
    if (this.#cluster === '') this.#take(); // getopt counts a word when its last letter is read
    const need = shortNeed(this.#grammar.short, letter);
    if (need === undefined) return this.#error('unknown', `invalid option -- '${letter}'`);
    if (need === 'none') return { option: { name: letter as Name, argument: undefined } };
    const attached = this.#cluster;
    this.#cluster = '';
    if (attached !== '') {
      this.#take();
      return { option: { name: letter as Name, argument: attached } };
    }
    if (need === 'optional') return { option: { name: letter as Name, argument: undefined } };
    const argument = this.#nextWord();
    if (argument === undefined) return this.#error('missing-argument', `option requires an argument -- '${letter}'`);
    return { option: { name: letter as Name, argument } };
  }

  #nextLong(text: string): OptionStep<Name> {
    const equals = text.indexOf('=');
    const written = equals < 0 ? text : text.slice(0, equals);
    const attached = equals < 0 ? undefined : text.slice(equals + 1);
    const found = matches(this.#grammar.long, written);
    const [option] = found;
    if (option === undefined) return this.#error('unknown', `unrecognized option '--${text}'`);
    if (found.length > 1) {
      const names = found.map(({ long }) => ` '--${long}'`).join('');
      return this.#error('unknown', `option '--${text}' is ambiguous; possibilities:${names}`);
    }
    if (attached !== undefined && option.argument === 'none') {
      return this.#error('unknown', `option '--${option.long}' doesn't allow an argument`);
    }
    const argument = attached ?? (option.argument === 'required' ? this.#nextWord() : undefined);
    if (argument === undefined && option.argument === 'required') {
      return this.#error('missing-argument', `option '--${option.long}' requires an argument`);
    }
    return { option: { name: option.name, argument } };
  }

  #error(kind: OptionError['kind'], message: string): { readonly error: OptionError } {
    // Inside a cluster the word in front of it; file names have been moved there by then.
    const word = this.#cluster === '' ? this.#taken : (this.operands.at(-1) ?? this.#taken);
    return { error: { kind, message, word } };
  }
}

function shortNeed(short: string, letter: string): ArgumentNeed | undefined {
  const at = letter === ':' || letter === ';' ? -1 : short.replace(/^\+/, '-').indexOf(letter);
  if (at < 0 || (at === 0 && letter === '-')) return undefined;
  if (short[at + 1] !== ':') return 'none';
  return short[at + 2] === ':' ? 'optional' : 'required';
}

/** The long options that `written` may mean: one when it is exact or all that fit are the same. */
function matches<Name extends string>(long: readonly LongName<Name>[], written: string): readonly LongName<Name>[] {
  const exact = long.find((option) => option.long === written);
  if (exact !== undefined) return [exact];
  const fitting = long.filter((option) => option.long.startsWith(written));
  const [first] = fitting;
  const same = fitting.every(({ name, argument }) => name === first!.name && argument === first!.argument);
  return same ? fitting.slice(0, 1) : fitting;
}
