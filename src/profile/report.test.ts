// Samples by hand, what they add up to, and its forms.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACTIVITY } from '../trace/activity.ts';
import { flameGraph } from './flame-graph.ts';
import { foldedStacks, speedscopeFile } from './profile-files.ts';
import { profileText } from './report-text.ts';
import { buildProfile, type Profile } from './report.ts';
import { ROOT, Samples, StackTree } from './samples.ts';
import { plainSymbols, SymbolTable } from './symbols.ts';

const symbols = new SymbolTable(plainSymbols([
  { address: 0x1000, name: 'main' }, { address: 0x2000, name: 'work<T>' }, { address: 0x3000, name: 'rest;of "it"' },
]));

function sample(): Profile {
  const samples = new Samples();
  const main = samples.stacks.child(ROOT, 0x1010);
  const work = samples.stacks.child(main, 0x2004);
  const again = samples.stacks.child(samples.stacks.child(main, 0x2008), 0x2010); // work calls itself
  const rest = samples.stacks.child(main, 0x3000);
  const add = (node: number, count: number, activity: number = ACTIVITY.REGION): void => {
    for (let n = 0; n < count; n++) samples.add(samples.count * 100_000, node, activity, node === ROOT ? 0 : 1);
  };
  add(work, 5);
  add(again, 1);
  add(rest, 2);
  add(rest, 1, ACTIVITY.PAGE_WALK);
  add(main, 1);
  add(ROOT, 10, ACTIVITY.IDLE);
  const programs = [{ name: '', isUser: false }, { name: 'shell', isUser: true }];
  return buildProfile({ samples, programs, symbols, isLinux: false, seconds: 2, lost: 0 });
}

test('functions have what they did themselves and with what they called, once for each sample', () => {
  const { functions, guestCount, count, activities } = sample();
  assert.equal(count, 20);
  assert.equal(guestCount, 10);
  assert.deepEqual(functions, [
    { name: 'work<T>', self: 6, total: 6 }, { name: 'rest;of "it"', self: 3, total: 3 }, { name: 'main', self: 1, total: 10 },
  ]);
  assert.deepEqual(activities[0], { name: 'idle', count: 10 });
});

test('every piece of time has its row', () => {
  const { times } = sample();
  assert.equal(times.length, 2);
  assert.deepEqual([times[0]!.count, times[0]!.topFunction, times[0]!.topProgram], [10, 'work<T>', 'shell']);
  assert.deepEqual([...times[1]!.groups], [['idle', 10]]);
  assert.match(profileText(sample(), { top: 2, calls: true }), /^ {2}60\.0 {3}60\.0 {2}work<T>$/m);
});

test('folded stacks', () => {
  assert.equal(foldedStacks(sample()), [
    '[host];idle 10', 'shell;[user];main 1', 'shell;[user];main;rest:of "it" 2', 'shell;[user];main;rest:of "it";[page walk] 1',
    'shell;[user];main;work<T> 5', 'shell;[user];main;work<T>;work<T> 1', '',
  ].join('\n'));
});

test('a speedscope file has what its schema demands', () => {
  const file = JSON.parse(speedscopeFile(sample(), 'test')) as {
    $schema: string; shared: { frames: { name: string }[] };
    profiles: { type: string; name: string; unit: string; startValue: number; endValue: number; samples: number[][]; weights: number[] }[];
  };
  assert.equal(file.$schema, 'https://www.speedscope.app/file-format-schema.json');
  const [profile] = file.profiles;
  assert.deepEqual([profile!.type, profile!.unit, profile!.startValue], ['sampled', 'seconds', 0]);
  assert.equal(profile!.samples.length, profile!.weights.length);
  assert.ok(profile!.samples.flat().every((frame) => file.shared.frames[frame] !== undefined));
  assert.ok(Math.abs(profile!.endValue - 2) < 1e-9);
});

test('a flame graph escapes the names, and every frame lies on its caller', () => {
  const svg = flameGraph(sample(), 'a & b');
  assert.match(svg, /<text class="title"[^>]*>a &amp; b</);
  assert.match(svg, /<title>work&lt;T&gt;: 6 samples, 30\.00 %<\/title>/);
  assert.doesNotMatch(svg.replace(/<script>[\s\S]*<\/script>/, ''), /<T>/);
  const frames = [...svg.matchAll(/data-x="(\d+)" data-n="(\d+)" data-d="(\d+)"/g)].map(([, ...values]) => values.map(Number));
  for (const [x, n, depth] of frames) {
    const isOn = depth === 0 || frames.some(([left, wide, below]) => below === depth! - 1 && left! <= x! && left! + wide! >= x! + n!);
    assert.ok(isOn, `${x} ${n} ${depth}`);
  }
});

test('a tree of stacks finds its nodes again when it has grown', () => {
  const tree = new StackTree();
  const nodes = Array.from({ length: 20_000 }, (_, n) => tree.child(n % 7, -0x7f00_0000 + n * 3));
  assert.equal(new Set(nodes).size, nodes.length);
  nodes.forEach((node, n) => assert.equal(tree.child(n % 7, -0x7f00_0000 + n * 3), node));
});

test('a program has the symbols that were given for its task; another one at the same addresses has not', () => {
  const samples = new Samples();
  const node = samples.stacks.child(ROOT, 0x2004);
  samples.add(0, node, ACTIVITY.REGION, 1);
  samples.add(1, node, ACTIVITY.REGION, 2);
  const programs = [{ name: '', isUser: false }, { name: 'shell', isUser: true }, { name: 'other', isUser: true }];
  const programSymbols = new Map([['shell', symbols]]);
  const { functions } = buildProfile({ samples, programs, symbols: undefined, isLinux: true, seconds: 1, lost: 0, programSymbols });
  assert.deepEqual(functions.map(({ name }) => name).sort(), ['[user code]', 'work<T>']);
});
