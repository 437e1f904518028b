// The house rules as a test: tools/tidy.ts over the whole repository, and the rules themselves on small examples.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkText, findUntidy } from '../tools/tidy.ts';

test('the repository is tidy', () => {
  assert.deepEqual(findUntidy(), []);
});

// prettier-ignore
const violations: readonly [path: string, text: string, problem: RegExp][] = [
  ['src/base/a.ts', '// A.\nexport class TlbManager {}', /:2: name it/],
  ['src/base/a.ts', '// A.\nexport default 1;', /default/],
  ['src/base/a.ts', '// A.\nexport enum X { A }', /enum/],
  ['src/cpu/a.ts', '// A.\nconst now = Date.now();', /wall clock/],
  ['src/cpu/a.ts', '// A.\nsetTimeout(() => {}, 1);', /timers/],
  ['src/cpu/a.ts', "// A.\nimport { uart } from '../devices/uart.ts';", /layer 4/],
  ['src/base/a.ts', "// A.\nimport type { X } from '../cpu/x.ts';", /layer 0/],
  ['src/vm/a.ts', "// A.\nconst x = await import('../platform/node/x.ts');", /layer 6/],
  ['src/cpu/a.ts', "// A.\nimport {\n  b,\n} from '../vm/b.ts';", /:4: .*layer 4/],
  ['src/cpu/a.ts', "// A.\nimport { readFileSync } from 'node:fs';", /node:fs/],
  ['src/base/a.ts', 'export const a = 1;', /no header/],
  ['src/base/a.ts', `// A.\n${'x'.repeat(141)}`, /140 columns/],
  ['src/base/a.ts', "// A.\nexport { b } from './b.ts';", /re-exports/],
  ['src/base/a.ts', '// A.\n// TO' + 'DO later', /names its issue/],
  ['src/base/a.ts', "// A.\nconst a = '" + "/tm" + "p/x';", /path of one machine/],
  ['README.md', '[x](no-such-file.md)', /leads nowhere/],
];

for (const [path, text, problem] of violations) {
  test(`found in ${path}: ${problem.source}`, () => {
    const problems = checkText(path, text);
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems[0]!, problem);
  });
}

// prettier-ignore
const allowed: readonly [path: string, text: string][] = [
  ['src/cpu/a.ts', "// A Date of no importance.\nconst text = 'Date.now() setTimeout(';\nconst date = clock.Date;"],
  ['src/cpu/a.ts', '// A.\nconst text = `${`Date ${1}`} process.exit`;\nconst expression = /Date "/;\nconst half = 1 / 2;'],
  ['src/cpu/a.ts', "// A.\nimport { x } from './x86/x.ts';\nimport { y } from '../base/y.ts';"],
  ['src/cpu/a.test.ts', "// A.\nimport { test } from 'node:test';"],
  ['src/base/a.ts', `// A.\n// prettier-ignore\nconst rows = [\n  ${'x'.repeat(150)},\n];`],
];

for (const [index, [path, text]] of allowed.entries()) {
  test(`nothing to find in example ${index}`, () => assert.deepEqual(checkText(path, text), []));
}
