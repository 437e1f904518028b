// Writes the reference pages that follow from declarations: docs/instructions.md from the rows, docs/devices.md from the
// devices' catalogue, the generated part of QUIRKS.md from the QUIRK comments. test/docs.test.ts checks that they are fresh.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CPU_MODELS } from '../src/cpu/x86/cpuid.ts';
import '../src/cpu/x86/isa/all.ts';
import { INSTRUCTIONS, type Instruction, type Row } from '../src/cpu/x86/row.ts';
import { deviceCatalogue } from '../src/devices/catalogue.ts';
import type { DeviceDeclaration } from '../src/schema/device.ts';
import { repositoryFiles, repositoryRoot } from './repository.ts';

interface Page {
  /** From the root of the repository. */
  readonly path: string;
  readonly text: string;
}

const MADE_BY = '<!-- made by `npm run docs`: do not edit -->';
const BEGIN = '<!-- begin of what `npm run docs` makes from QUIRK comments -->';
const END = '<!-- end of what `npm run docs` makes -->';

const read = (path: string): string => (existsSync(join(repositoryRoot, path)) ? readFileSync(join(repositoryRoot, path), 'utf8') : '');

// --- instructions

function groupBy<T>(items: readonly T[], key: (item: T) => string): ReadonlyMap<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group === undefined) groups.set(key(item), [item]);
    else group.push(item);
  }
  return groups;
}

const cell = (text: string): string => text.replaceAll('|', '\\|');
const operands = (row: Row): string => (row.operands.length === 0 ? '' : ` ${row.operands.map(({ code }) => code).join(',')}`);
const modes = ({ no64, only64 }: Row): string => (no64 === true ? ' (not in 64-bit mode)' : only64 === true ? ' (64-bit mode only)' : '');

function instructionLine([name, declared]: readonly [string, readonly Instruction[]]): string {
  const forms = [...new Set(declared.flatMap(({ rows }) => rows.map((row) => `\`${cell(row.text + operands(row))}\`${modes(row)}`)))];
  return `| ${name} | ${forms.join(', ')} |\n`;
}

function instructionsPage(): Page {
  const byFeature = groupBy(INSTRUCTIONS, ({ feature }) => feature);
  const features = [...byFeature.keys()].sort();
  const rowCount = INSTRUCTIONS.reduce((sum, { rows }) => sum + rows.length, 0);
  const sections = features.map((feature) => {
    const byName = [...groupBy(byFeature.get(feature)!, ({ name }) => name)].sort(([a], [b]) => (a < b ? -1 : 1));
    const title = feature === '' ? 'Base' : feature;
    return `## ${title}\n\n| instruction | forms |\n|---|---|\n${byName.map(instructionLine).join('')}`;
  });
  const models = CPU_MODELS.map(({ name, features: list }) => `- \`${name}\`: ${list.join(' ')}\n`).join('');
  const names = new Set(INSTRUCTIONS.map(({ name }) => name)).size;
  const intro = `The instructions that nandu executes: ${names} names in ${rowCount} forms, by the CPUID feature that announces them.
The notation is that of the opcode tables in the Intel manual, volume 2. Without its feature (\`-cpu max,-NAME\`) an
instruction does not exist.
`;
  const text = `# Instructions\n\n${MADE_BY}\n\n${intro}\nCPU models:\n\n${models}\n${sections.join('\n')}`;
  return { path: 'docs/instructions.md', text };
}

// --- devices

function deviceSection({ name, bus, description, properties }: DeviceDeclaration): string {
  const rows = Object.entries(properties).map(([property, declared]) => {
    const { type, help = '' } = declared;
    const initial = 'default' in declared ? String(declared.default) : '';
    return `| ${property} | ${type.label} | ${initial} | ${cell(help)} |\n`;
  });
  const table = rows.length === 0 ? 'No properties.\n' : `| property | type | default | |\n|---|---|---|---|\n${rows.join('')}`;
  return `## ${name}\n\n${description ?? name}${bus === undefined ? '' : `; plugs into ${bus}`}.\n\n${table}`;
}

function devicesPage(): Page {
  const intro = 'What `-device` can add to a machine (`-device help` prints the same list). What every `pc` has is on its board already.\n';
  const sections = [...deviceCatalogue].sort((a, b) => (a.name < b.name ? -1 : 1)).map(deviceSection);
  return { path: 'docs/devices.md', text: `# Devices\n\n${MADE_BY}\n\n${intro}\n${sections.join('\n')}` };
}

// --- quirks

const QUIRK_SECTIONS: readonly (readonly [title: string, folders: RegExp])[] = [
  ['Processor', /^(assembly|src\/cpu)\//],
  ['Disk images', /^src\/(block\/|cli\/(image-tools|nbd))/],
  ['Machine and devices', /^src\/(?!cpu\/|block\/|cli\/(image-tools|nbd))/],
];

/** The text of every QUIRK comment of a file, up to the next one or the end of the comment. */
export function quirksIn(source: string): string[] {
  const quirks: string[] = [];
  let current: string | undefined;
  const end = (): void => {
    if (current !== undefined) quirks.push(current.trim());
    current = undefined;
  };
  for (const line of source.split('\n')) {
    const comment = /(?:\/\/|\/\*\*?|^\s*\*(?!\/))\s?(.*?)\s*(\*\/)?$/.exec(line);
    const text = comment?.[1] ?? '';
    const start = text.indexOf('QUIRK: ');
    if (comment === null || text === '') end();
    else if (start >= 0) {
      end();
      current = text.slice(start + 'QUIRK: '.length);
    } else if (current !== undefined) current += ` ${text}`;
    if (comment?.[2] !== undefined) end();
  }
  end();
  return quirks;
}

const capitalized = (text: string): string => text[0]!.toUpperCase() + text.slice(1);

function quirksPage(): Page {
  const old = read('QUIRKS.md');
  const sources = repositoryFiles().filter((path) => /^(src|assembly)\/.*\.ts$/.test(path)).sort();
  const sections = QUIRK_SECTIONS.map(([title, folders]) => {
    const lines = sources
      .filter((path) => folders.test(path))
      .flatMap((path) => quirksIn(read(path)).map((text) => `- ${capitalized(text)} ([${path.split('/').at(-1)}](${path}))\n`));
    return `## ${title}\n\n${lines.join('')}`;
  });
  const before = old.slice(0, Math.max(0, old.indexOf(BEGIN)));
  const after = old.slice(old.indexOf(END) + END.length);
  return { path: 'QUIRKS.md', text: `${before}${BEGIN}\n\n${sections.join('\n')}\n${END}${after}` };
}

// --- the command

export const generatedPages = (): Page[] => [instructionsPage(), devicesPage(), quirksPage()];

/** Pages that are not what they would be now. */
export const stalePages = (): string[] => generatedPages().filter(({ path, text }) => read(path) !== text).map(({ path }) => path);

if (import.meta.filename === process.argv[1]) {
  for (const { path, text } of generatedPages()) {
    if (read(path) === text) continue;
    writeFileSync(join(repositoryRoot, path), text);
    process.stdout.write(`${path} written\n`);
  }
}
