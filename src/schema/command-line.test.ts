// Tests of command-line.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../base/failure.ts';
import { formatHelp, parseCommandLine, type CommandLine } from './command-line.ts';

interface Settings {
  readonly seen: string[];
}

const line: CommandLine<Settings> = {
  sections: [
    {
      title: 'Standard options',
      options: [
        { name: 'm', argument: 'megs', help: ['memory', 'in MiB'], apply: ({ seen }, text) => void seen.push(`m ${text}`) },
        { name: 'S', help: ['stop'], apply: ({ seen }) => void seen.push('S') },
        { name: 'machine', aliases: ['M'], argument: 'type', help: ['board'], apply: () => 'list\n' },
        {
          name: 'bad',
          argument: 'x',
          help: ['fails'],
          apply() {
            throw new Failure('limit', 'too bad');
          },
        },
      ],
    },
  ],
  positional: ({ seen }, text) => void seen.push(text),
};

const parse = (...words: string[]): { seen: string[]; answer: string | undefined } => {
  const settings = { seen: [] };
  return { answer: parseCommandLine(line, words, settings), ...settings };
};

test('one or two dashes, arguments, positional words', () => {
  assert.deepEqual(parse('-m', '4', '--S', 'disk', '-m', '-S').seen, ['m 4', 'S', 'disk', 'm -S']);
});

test('the first answer ends the parsing', () => {
  assert.deepEqual(parse('-S', '-M', 'help', '-nonsense'), { seen: ['S'], answer: 'list\n' });
});

test('errors say which option', () => {
  assert.throws(() => parse('-foo'), { name: 'Failure', message: '-foo: invalid option' });
  assert.throws(() => parse('-m'), { message: '-m: requires an argument' });
  assert.throws(() => parse('--bad', 'y'), { message: '--bad y: too bad', kind: 'limit' });
});

test('help has two columns', () => {
  const expected = [
    'Standard options:',
    '-m megs         memory',
    '                in MiB',
    '-S              stop',
    '-machine or -M type',
    '                board',
    '-bad x          fails',
    '',
  ];
  assert.equal(formatHelp(line.sections), expected.join('\n'));
});
