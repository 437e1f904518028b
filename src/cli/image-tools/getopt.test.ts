// The getopt_long-like parser: what glibc does with the same words.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OptionReader, type OptionGrammar } from './getopt.ts';

const GRAMMAR: OptionGrammar<string> = {
  short: 'ab:c::',
  long: [
    { long: 'alpha', name: 'a', argument: 'none' },
    { long: 'beta', name: 'b', argument: 'required' },
    { long: 'betamax', name: 'max', argument: 'none' },
    { long: 'gamma', name: 'g', argument: 'optional' },
  ],
};

/** Options as `name` or `name=argument`, errors as `!message [word]`, then the operands. */
function parse(line: string, grammar = GRAMMAR): string {
  const reader = new OptionReader(
    line.split(' ').filter((word) => word !== ''),
    grammar,
    'command',
  );
  const steps: string[] = [];
  for (let step = reader.next(); step !== undefined; step = reader.next()) {
    if ('error' in step) steps.push(`!${step.error.message} [${step.error.word}]`);
    else steps.push(step.option.argument === undefined ? step.option.name : `${step.option.name}=${step.option.argument}`);
  }
  return [...steps, '|', ...reader.operands].join(' ');
}

// prettier-ignore
const CASES: readonly (readonly [line: string, answer: string])[] = [
  ['-a x -b y z', 'a b=y | x z'],
  ['-abx', 'a b=x |'],
  ['-cx -c x', 'c=x c | x'],
  ['--alpha --beta=1 --beta 2 --gamma --gamma=3', 'a b=1 b=2 g g=3 |'],
  ['--al --g', 'a g |'],
  ['--beta', "!option '--beta' requires an argument [--beta] |"],
  ['--bet x', "!option '--bet' is ambiguous; possibilities: '--beta' '--betamax' [--bet] | x"],
  ['--betam', 'max |'],
  ['--alpha=1', "!option '--alpha' doesn't allow an argument [--alpha=1] |"],
  ['--delta=1', "!unrecognized option '--delta=1' [--delta=1] |"],
  ['-b', "!option requires an argument -- 'b' [-b] |"],
  ['-ax', "a !invalid option -- 'x' [-ax] |"],
  ['-xa', "!invalid option -- 'x' [command] a |"],
  ['f -xa', "!invalid option -- 'x' [f] a | f"],
  ['-a -- -b x', 'a | -b x'],
  ['- x', '| - x'],
];

for (const [line, answer] of CASES) test(line, () => assert.equal(parse(line), answer));

test('with + the first operand ends the options', () => {
  assert.equal(parse('-a x -a', { ...GRAMMAR, short: '+ab:' }), 'a | x -a');
});
