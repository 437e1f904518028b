// Modules in a guest's memory made by hand, in the three orders that their structure has had, and memory that lies.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GUEST_RAM } from '../memory/memory-map.ts';
import { LinuxModules } from './linux-modules.ts';
import { KERNEL, SampleMemory } from './sample-memory.ts';
import { plainSymbols, SymbolTable } from './symbols.ts';
import { FRAMES_MAX, Unwinder } from './unwinder.ts';

/** One piece until 6.3; pieces by their use from 6.4 on; in 6.13 with the address of a copy too. */
type Order = 'one piece' | 'split' | 'split, with copies';
const ORDERS: readonly Order[] = ['one piece', 'split', 'split, with copies'];
const HEAD = 0x8000;
const LIST_AT = 8;
const NAME_AT = 24;
/** Where the tests put fields that kernels have in other places from build to build. */
const AT = { PIECES: 0x150, KALLSYMS: 0x258, ORC: 0x2e0 } as const;
const BYTES = 0x400;

interface Places {
  readonly code: number;
  readonly data: number;
  readonly dataEnd: number;
  readonly structure: number;
  readonly symbols: number;
}

/** By physical address: code of 0x2000 bytes, and behind it, or elsewhere, data with the structure. */
function placesOf(order: Order, base: number): Places {
  const data = order === 'one piece' ? base + 0x2000 : base - 0x4000;
  return { code: base, data, dataEnd: data + 0x3000, structure: data + 0x140, symbols: data + 0x800 };
}

const FUNCTIONS = [['first', 0x100], ['second', 0x400], ['init_module', 0x400], ['la;st', 0x1000]] as const;

/** A module in the list, which `next` goes on from. */
function putModule(memory: SampleMemory, order: Order, name: string, base: number, next: number): Places {
  const places = placesOf(order, base);
  const { structure } = places;
  memory.word(structure, 0);
  memory.word(structure + LIST_AT, KERNEL + next);
  memory.bytes(structure + NAME_AT, ...new TextEncoder().encode(name), 0);
  putPieces(memory, order, places);
  putSymbols(memory, places);
  putOrc(memory, places);
  return places;
}

function putPieces(memory: SampleMemory, order: Order, { code, data, dataEnd, structure }: Places): void {
  const piece = (at: number, start: number, bytes: number): void => {
    memory.word(at, KERNEL + start);
    const size = at + (order === 'split, with copies' ? 20 : 8);
    memory.number(size, bytes, 4);
    if (order === 'one piece') memory.number(size + 4, 0x2000, 4); // of it, code
    memory.word(at + (order === 'split' ? 16 : 24), KERNEL + structure);
  };
  if (order === 'one piece') return piece(structure + AT.PIECES, code, dataEnd - code);
  piece(structure + AT.PIECES, code, 0x2000);
  piece(structure + AT.PIECES + 0x60, data, dataEnd - data);
}

function putSymbols(memory: SampleMemory, { code, structure, symbols, data }: Places): void {
  const functions = FUNCTIONS.map(([name, at]) => [name, code + at, 1, 0x74] as const);
  const all: readonly (readonly [name: string, value: number, section: number, letter: number])[] = [
    ['', 0, 0, 0x55], ...functions, ['variable', data, 2, 0x64], ['other', 0, 0, 0x55],
  ];
  const strings = symbols + all.length * 24;
  let end = strings;
  all.forEach(([name, value, section], n) => {
    memory.number(symbols + n * 24, end - strings, 4);
    memory.number(symbols + n * 24 + 4, 2 | (section << 16), 4);
    memory.word(symbols + n * 24 + 8, section === 0 ? 0 : KERNEL + value);
    memory.bytes(end, ...new TextEncoder().encode(name), 0);
    end += name.length + 1;
  });
  all.forEach(([, , , letter], n) => memory.bytes(end + n, letter));
  const kallsyms = structure + AT.KALLSYMS;
  memory.word(kallsyms, KERNEL + symbols);
  memory.number(kallsyms + 8, all.length, 4);
  memory.word(kallsyms + 16, KERNEL + strings);
  memory.word(kallsyms + 24, KERNEL + end);
}

/** `first` is called with one word on the stack, `second` with four; what is between them with none. Not aligned: some are not. */
function putOrc(memory: SampleMemory, { code, data, structure }: Places): void {
  const [ips, entries] = [data + 0x1203, data + 0x1301];
  [[code, 8, 0x05], [code + 0x100, 16, 0x05], [code + 0x400, 40, 0x05]].forEach(([begins, sp, kinds], n) => {
    memory.number(ips + n * 4, begins! - (ips + n * 4), 4);
    memory.number(entries + n * 6, sp!, 2);
    memory.number(entries + n * 6 + 4, kinds!, 2);
  });
  memory.number(structure + AT.ORC, 3, 4);
  memory.word(structure + AT.ORC + 8, KERNEL + ips);
  memory.word(structure + AT.ORC + 16, KERNEL + entries);
}

interface Made {
  readonly memory: SampleMemory;
  readonly modules: LinuxModules;
  readonly one: Places;
  readonly two: Places;
}

function made(order: Order): Made {
  const memory = new SampleMemory();
  const bases = [0x24000, 0x34000];
  const ends = bases.map((base) => placesOf(order, base).structure + LIST_AT);
  const one = putModule(memory, order, 'one', bases[0]!, ends[1]!);
  const two = putModule(memory, order, 'two', bases[1]!, HEAD);
  memory.word(HEAD, KERNEL + ends[0]!);
  const modules = new LinuxModules(memory.guest);
  modules.use({ head: KERNEL + HEAD, pointerBytes: 8, tables: -1, isSplit: order !== 'one piece' });
  modules.refresh();
  return { memory, modules, one, two };
}

for (const order of ORDERS) {
  test(`functions of modules have names: ${order}`, () => {
    const { modules, two: { code, dataEnd } } = made(order);
    const names = [0xff, 0x100, 0x3ff, 0x400, 0x1001].map((at) => modules.nameOf(KERNEL + code + at));
    assert.deepEqual(names, ['[module two]', 'first [two]', 'first [two]', 'second [two]', 'la_st [two]']);
    const found = modules.tableAt(KERNEL + code)!.find(['variable', 'first']);
    assert.deepEqual([...found], [['first', KERNEL + code + 0x100]]);
    for (const elsewhere of [dataEnd, 0x9000, 0x80000]) assert.equal(modules.nameOf(KERNEL + elsewhere), undefined);
  });

  test(`a module that is loaded later, and one that is gone: ${order}`, () => {
    const { memory, modules, one, two } = made(order);
    const { version } = modules;
    modules.refresh();
    assert.equal(modules.version, version);
    const table = modules.tableAt(KERNEL + one.code);
    const { structure, code } = putModule(memory, order, 'three', 0x44000, one.structure + LIST_AT);
    memory.word(HEAD, KERNEL + structure + LIST_AT);
    assert.equal(modules.nameOf(KERNEL + code + 0x100), undefined);
    modules.refresh();
    assert.equal(modules.nameOf(KERNEL + code + 0x100), 'first [three]');
    assert.notEqual(modules.version, version);
    memory.word(one.structure + LIST_AT, KERNEL + HEAD);
    modules.refresh(true);
    assert.equal(modules.nameOf(KERNEL + two.code + 0x100), undefined);
    assert.ok(table !== undefined && modules.tableAt(KERNEL + one.code) === table); // read once
  });

  test(`stacks of modules are walked by their own tables: ${order}`, () => {
    const { memory, modules, one: { code }, two: other } = made(order);
    const unwinder = new Unwinder(memory.guest, modules);
    const kernel = {
      _stext: 0x10000, _etext: 0x11000, __start_orc_unwind_ip: 0x12000, __stop_orc_unwind_ip: 0x12004, __start_orc_unwind: 0x13000,
    };
    memory.number(0x12000, -0x2000, 4); // the end of every stack
    unwinder.use(new SymbolTable(plainSymbols(Object.entries(kernel).map(([name, at]) => ({ name, address: KERNEL + at })))));
    const sp = 0x60000;
    memory.word(sp + 32, KERNEL + other.code + 0x150);
    memory.word(sp + 40 + 8, KERNEL + 0x10050);
    const frames = new Float64Array(FRAMES_MAX + 2);
    const count = unwinder.unwind(memory.stack, { ip: KERNEL + code + 0x410, sp: KERNEL + sp, bp: 0 }, frames);
    assert.deepEqual([...frames.subarray(0, count)], [KERNEL + other.code + 0x150, KERNEL + 0x10050]);
  });
}

/** What is wrong with a module of which no function is known then. */
const LIES: readonly (readonly [string, (memory: SampleMemory, places: Places) => void])[] = [
  ['more symbols than there is memory', (memory, { structure }) => memory.number(structure + AT.KALLSYMS + 8, 0x7fff_ffff, 4)],
  ['no symbols', (memory, { structure }) => memory.number(structure + AT.KALLSYMS + 8, 0, 4)],
  ['symbols in a program', (memory, { structure }) => memory.word(structure + AT.KALLSYMS, 0x1000)],
  ['names elsewhere', (memory, { structure, symbols }) => memory.word(structure + AT.KALLSYMS + 16, KERNEL + symbols + 0x4000)],
  ['letters before names', (memory, { structure, symbols }) => memory.word(structure + AT.KALLSYMS + 24, KERNEL + symbols)],
  ['letters far behind', (memory, { structure }) => memory.word(structure + AT.KALLSYMS + 24, KERNEL + 0x7000_0000)],
  ['functions of other code', (memory, { symbols }) => {
    for (let n = 0; n < FUNCTIONS.length; n++) memory.word(symbols + (n + 1) * 24 + 8, KERNEL + 0x1000);
  }],
  ['names behind the end', (memory, { symbols }) => {
    for (let n = 0; n < FUNCTIONS.length; n++) memory.number(symbols + (n + 1) * 24, 0x7fff_fff0, 4);
  }],
];

for (const [what, lie] of LIES) {
  test(`of a module with ${what} the name is known`, () => {
    for (const order of ORDERS) {
      const { memory, modules, one } = made(order);
      lie(memory, one);
      modules.refresh(true);
      assert.equal(modules.nameOf(KERNEL + one.code + 0x100), '[module one]', order);
    }
  });
}

test('where the memory of modules is not known, their code is what lies before the structure', () => {
  for (const order of ORDERS) {
    const { memory, modules, one } = made(order);
    for (const at of [AT.PIECES, AT.PIECES + 0x60]) for (let word = 0; word < 32; word += 8) memory.word(one.structure + at + word, -8);
    modules.refresh(true);
    assert.equal(modules.nameOf(KERNEL + one.code + 0x100), order === 'one piece' ? '[module one]' : undefined);
  }
});

test('a list that never comes back has an end', () => {
  const { memory, modules, one, two } = made('one piece');
  memory.word(two.structure + LIST_AT, KERNEL + one.structure + LIST_AT);
  modules.refresh(true);
  assert.deepEqual(modules.all.map(({ name }) => name), ['one', 'two']);
  for (const head of [0, -8, 0x7fff_0000_0000]) {
    modules.use({ head, pointerBytes: 8, tables: -1, isSplit: false });
    modules.refresh();
    assert.equal(modules.nameOf(KERNEL + one.code), undefined);
  }
});

test('tables of many modules are not read without end', () => {
  const { memory, modules, one } = made('one piece');
  let reads = 0;
  for (let round = 0; round < 1_000_000; round++) {
    // Each time another table, of as much memory as there is.
    memory.number(one.structure + AT.PIECES + 8, 0x90000 + round, 4);
    memory.word(one.structure + AT.KALLSYMS + 24, KERNEL + one.symbols + 0x80000 + (round & 1) * 8);
    modules.refresh(true);
    if (modules.tableAt(KERNEL + one.code) === undefined) break;
    reads++;
  }
  assert.ok(reads > 10 && reads < 300, `${reads} tables`);
});

test('whatever memory holds, there are names or none, and stacks end', () => {
  let seed = 1;
  const random = (below: number): number => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) % below;
  const values = [0, 1, 0xffff_ffff, 0x7fff_ffff, 0x8000_0000, 0x2000, 0x1000];
  const frames = new Float64Array(FRAMES_MAX + 2);
  for (let round = 0; round < 600; round++) {
    const { memory, modules, one, two } = made(ORDERS[round % 3]!);
    const unwinder = new Unwinder(memory.guest, modules);
    for (let change = 0; change < 4; change++) {
      const { structure, data } = [one, two][random(2)]!;
      const at = [structure + random(BYTES), data + random(0x3000), HEAD + random(16)][random(3)]! & ~3;
      memory.view.setUint32(GUEST_RAM + at, random(2) === 0 ? random(0xffff_ffff) : values[random(values.length)]!, true);
    }
    modules.refresh(random(2) === 0);
    for (let at = 0x20000; at < 0x40000; at += 0x155) {
      assert.match(modules.nameOf(KERNEL + at) ?? '-', /^[!-~]+( \[\w+\])?$|^\[module \w+\]$/);
      if (at % 16 === 0) assert.ok(unwinder.unwind(memory.stack, { ip: KERNEL + at, sp: KERNEL + 0x60000, bp: 0 }, frames) <= FRAMES_MAX);
    }
  }
});
