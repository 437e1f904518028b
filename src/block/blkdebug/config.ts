// The config file of blkdebug: `[section]` or `[section "id"]`, then `key = "value"` lines; `#` begins a comment line. The
// syntax is that of QEMU's configuration files, whose reader takes a line apart at blanks.
import { Failure } from '../../base/failure.ts';
import { OptionDict } from '../options.ts';
import { ruleFrom, SECTIONS, type Rule, type Section } from './rules.ts';

/** No rule file is longer. */
export const MAX_CONFIG_BYTES = 1 << 20;

const WITH_ID = /^\[(\S{1,63})\s+"([^"]{1,63})"\]?/;
const PLAIN = /^\[([^\]]{1,63})/;
const ASSIGNMENT = /^\s*(\S{1,63})(?:\s*=\s*"([^"]*)")?/;

interface Group {
  readonly section: Section;
  readonly options: OptionDict;
}

const bad = (message: string): Failure => new Failure('invalid-argument', message);

/** The rules of a config file, sections of the same kind in their order. */
export function parseConfig(text: string): Rule[] {
  const groups: Group[] = [];
  const ids = new Set<string>();
  for (const line of text.match(/[^\n]*\n|[^\n]+$/g) ?? []) {
    if (line.startsWith('#') || line.startsWith('\n')) continue;
    const header = WITH_ID.exec(line) ?? PLAIN.exec(line);
    if (header !== null) groups.push(groupOf(header[1]!, header[2], ids));
    else assign(groups.at(-1), line);
  }
  const unknown = (name: string): Failure => bad(`Invalid parameter '${name}'`);
  return SECTIONS.flatMap((section) =>
    groups.filter((group) => group.section === section).map(({ options }) => ruleFrom(section, options, unknown)),
  );
}

function groupOf(name: string, id: string | undefined, ids: Set<string>): Group {
  const section = SECTIONS.find((candidate) => candidate === name);
  if (section === undefined) throw bad(`There is no option group '${name}'`);
  if (id !== undefined) {
    const key = `${section} ${id}`;
    if (ids.has(key)) throw bad(`Duplicate ID '${id}' for ${section}`);
    ids.add(key);
  }
  return { section, options: new OptionDict() };
}

function assign(group: Group | undefined, line: string): void {
  const match = ASSIGNMENT.exec(line);
  if (match === null) throw bad('parse error');
  if (group === undefined) throw bad('no group defined');
  group.options.set(match[1]!, match[2] ?? '');
}
