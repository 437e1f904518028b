// A command line in QEMU's style: `-name argument`, one or two dashes, declared as rows. Parses, and prints `-help` from
// the same rows. What an option does to the settings is in the row; what the settings mean together is the command's.
import { Failure } from '../base/failure.ts';

export interface OptionDeclaration<Settings> {
  readonly name: string;
  /** Other spellings. */
  readonly aliases?: readonly string[];
  /** The argument's syntax; absent when the option takes none. */
  readonly argument?: string;
  /** Lines of explanation. */
  readonly help: readonly string[];
  /** True where errors speak for themselves and do not repeat what was typed. */
  readonly plainErrors?: boolean;
  /** Returns a text when that is all the user wants: `-machine help`. */
  apply(settings: Settings, argument: string): string | void;
}

export interface OptionSection<Settings> {
  readonly title: string;
  readonly options: readonly OptionDeclaration<Settings>[];
}

export interface CommandLine<Settings> {
  readonly sections: readonly OptionSection<Settings>[];
  /** An argument that is no option. */
  positional(settings: Settings, argument: string): void;
}

/** Gives the errors of `action` the context that the user can find in what he typed. */
export function inContext<T>(context: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof Failure) throw new Failure(error.kind, `${context}: ${error.message}`, { cause: error });
    throw error;
  }
}

/** Fills in the settings; stops at the first option that has a text to show, and returns that. */
export function parseCommandLine<Settings>(line: CommandLine<Settings>, words: readonly string[], settings: Settings): string | undefined {
  const options = optionsByName(line);
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    if (!word.startsWith('-') || word === '-') {
      inContext(word, () => line.positional(settings, word));
      continue;
    }
    const option = options.get(word.replace(/^--?/, ''));
    if (option === undefined) throw new Failure('invalid-argument', `${word}: invalid option`);
    const argument = option.argument === undefined ? '' : words[++index];
    if (argument === undefined) throw new Failure('invalid-argument', `${word}: requires an argument`);
    const apply = (): string | void => option.apply(settings, argument);
    const answer = option.plainErrors ? apply() : inContext(option.argument === undefined ? word : `${word} ${argument}`, apply);
    if (typeof answer === 'string') return answer;
  }
  return undefined;
}

function optionsByName<Settings>(line: CommandLine<Settings>): Map<string, OptionDeclaration<Settings>> {
  const options = new Map<string, OptionDeclaration<Settings>>();
  for (const option of line.sections.flatMap((section) => section.options)) {
    for (const name of [option.name, ...(option.aliases ?? [])]) options.set(name, option);
  }
  return options;
}

const HELP_COLUMN = 16;

/** The options in sections, the explanations in one column. */
export function formatHelp<Settings>(sections: readonly OptionSection<Settings>[]): string {
  const margin = ' '.repeat(HELP_COLUMN);
  const lines: string[] = [];
  for (const { title, options } of sections) {
    lines.push(`${title}:`);
    for (const { name, aliases = [], argument, help } of options) {
      const names = [name, ...aliases].map((spelling) => `-${spelling}`).join(' or ');
      const left = argument === undefined ? names : `${names} ${argument}`;
      const [first = '', ...rest] = help;
      lines.push(...(left.length < HELP_COLUMN ? [`${left.padEnd(HELP_COLUMN)}${first}`] : [left, `${margin}${first}`]));
      lines.push(...rest.map((text) => `${margin}${text}`));
    }
    lines.push('');
  }
  return lines.join('\n');
}
