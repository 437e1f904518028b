// What samples add up to: names instead of addresses, functions with what they did themselves and with what they called, shares of the
// host's activities, and a row for each piece of time. Text and files of it are in report-text.ts, profile-files.ts, flame-graph.ts.
import { ACTIVITY, activityTitle, isForGuest } from '../trace/activity.ts';
import { ROOT, type Samples } from './samples.ts';
import type { Program } from './sampler.ts';
import { codeName, programCodeName, type KnownSymbols, type SymbolTable } from './symbols.ts';

export interface ProfileInput extends KnownSymbols {
  readonly samples: Samples;
  readonly programs: readonly Program[];
  readonly seconds: number;
  readonly lost: number;
  /** By the name of their task. */
  readonly programSymbols?: ReadonlyMap<string, SymbolTable>;
}

/** Frames that have the same name under the same caller. */
export interface CallNode {
  readonly name: string;
  /** Samples that end here, and here or below. */
  self: number;
  total: number;
  readonly children: Map<string, CallNode>;
}

export interface FunctionRow {
  readonly name: string;
  readonly self: number;
  /** With what it called. */
  readonly total: number;
}

/** Samples in a function itself, or in a program of which the functions are not told apart: as a counted profile has its rows. */
export interface CodeRow {
  readonly name: string;
  readonly self: number;
  /** Of them, those in the guest's own instructions; the rest is work for them: page walks, translation, devices. */
  readonly translated: number;
  readonly interpreted: number;
}

export interface Share {
  readonly name: string;
  readonly count: number;
}

export interface TimeRow {
  readonly fromSeconds: number;
  readonly count: number;
  /** By group of activities. */
  readonly groups: ReadonlyMap<ActivityGroup, number>;
  readonly topFunction: string;
  readonly topProgram: string;
}

export interface Profile {
  readonly seconds: number;
  readonly count: number;
  readonly lost: number;
  /** Samples in which the guest, or something for it, ran. */
  readonly guestCount: number;
  readonly activities: readonly Share[];
  readonly programs: readonly Share[];
  readonly functions: readonly FunctionRow[];
  readonly code: readonly CodeRow[];
  readonly tree: CallNode;
  readonly times: readonly TimeRow[];
}

export const ACTIVITY_GROUPS = [
  'translated', 'interpreter', 'walks', 'translating', 'V8', 'devices', 'disks', 'loop', 'waiting', 'idle',
] as const;
export type ActivityGroup = (typeof ACTIVITY_GROUPS)[number];

const TIME_ROWS_MAX = 60;
const NAME_CHARACTERS_MAX = 200;
/** More than there are programs (sampler.ts), so that node and program make one number. */
const PROGRAMS = 4096;

function groupOf(activity: number): ActivityGroup {
  if (activity === ACTIVITY.REGION) return 'translated';
  if (activity === ACTIVITY.INTERPRETER) return 'interpreter';
  if (activity === ACTIVITY.PAGE_WALK) return 'walks';
  if (activity === ACTIVITY.DECODING || activity === ACTIVITY.TRANSLATING) return 'translating';
  if (activity === ACTIVITY.COMPILING || activity === ACTIVITY.GARBAGE) return 'V8';
  if (activity === ACTIVITY.IDLE) return 'idle';
  if (activity === ACTIVITY.WAITING) return 'waiting';
  const title = activityTitle(activity);
  if (/^(device|timer) /.test(title)) return 'devices';
  return /^(block node|completion) /.test(title) ? 'disks' : 'loop';
}

/** Names of the places where samples were. Nodes of the tree of stacks are addresses: the same ones may be of several programs. */
class Names {
  readonly #input: ProfileInput;
  readonly #byNode = new Map<number, string>();

  constructor(input: ProfileInput) {
    this.#input = input;
  }

  ofNode(node: number, program: number): string {
    const key = node * PROGRAMS + program;
    const known = this.#byNode.get(key);
    if (known !== undefined) return known;
    const { samples, programs, programSymbols } = this.#input;
    const { name: task, isUser } = programs[program]!;
    const own = isUser ? programSymbols?.get(task) : undefined;
    const name = codeName(this.#input, samples.stacks.addresses[node]!, isUser, own).slice(0, NAME_CHARACTERS_MAX);
    this.#byNode.set(key, name);
    return name;
  }
}

export function buildProfile(input: ProfileInput): Profile {
  const names = new Names(input);
  const { samples, programs } = input;
  const groups = grouped(samples);
  const tree: CallNode = { name: 'all', self: 0, total: 0, children: new Map() };
  const totals = new Map<string, { self: number; total: number }>();
  const code = new Map<string, { self: number; translated: number; interpreted: number }>();
  const programCounts = new Map<string, number>();
  const activityCounts = new Map<string, number>();
  let guestCount = 0;
  for (const { node, activity, program, count } of groups) {
    add(activityCounts, activityTitle(activity), count);
    const forGuest = isForGuest(activity) || (activity === ACTIVITY.GARBAGE && node !== ROOT);
    const { name, isUser } = programs[program]!;
    const frames = forGuest ? framesOf(samples, node).map((frame) => names.ofNode(frame, program)) : [];
    addPath(tree, forGuest ? guestPath(name, isUser, frames, activity) : ['[host]', activityTitle(activity)], count);
    if (!forGuest) continue;
    guestCount += count;
    add(programCounts, `${name}${isUser ? '' : ' [kernel]'}`, count);
    addFunctions(totals, frames, count);
    const leaf = frames.at(-1);
    if (leaf !== undefined) addCode(code, isUser && input.isLinux ? programCodeName(name) : leaf, activity, count);
  }
  return {
    seconds: input.seconds, count: samples.count, lost: input.lost, guestCount, tree,
    activities: ranked(activityCounts), programs: ranked(programCounts),
    functions: [...totals].map(([name, row]) => ({ name, ...row })).sort((a, b) => b.self - a.self || b.total - a.total),
    code: [...code].map(([name, row]) => ({ name, ...row })),
    times: timeRows(input, names),
  };
}

function guestPath(program: string, isUser: boolean, frames: readonly string[], activity: number): string[] {
  const host = activity === ACTIVITY.REGION ? [] : [`[${activityTitle(activity)}]`];
  return [program === '' ? '[guest]' : program, isUser ? '[user]' : '[kernel]', ...frames, ...host];
}

interface Group {
  readonly node: number;
  readonly activity: number;
  readonly program: number;
  count: number;
}

function grouped(samples: Samples): Group[] {
  const groups = new Map<number, Group>();
  for (let n = 0; n < samples.count; n++) {
    const node = samples.nodes[n]!;
    const activity = samples.activities[n]!;
    const program = samples.programs[n]!;
    const key = (node * 2048 + activity) * PROGRAMS + program;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { node, activity, program, count: 1 });
    else group.count++;
  }
  return [...groups.values()];
}

/** Nodes from the outermost caller to the code itself. */
function framesOf({ stacks }: Samples, leaf: number): number[] {
  const frames: number[] = [];
  for (let node = leaf; node !== ROOT; node = stacks.parents[node]!) frames.unshift(node);
  return frames;
}

function addPath(tree: CallNode, path: readonly string[], count: number): void {
  tree.total += count;
  let node = tree;
  for (const name of path) {
    let child = node.children.get(name);
    if (child === undefined) node.children.set(name, (child = { name, self: 0, total: 0, children: new Map() }));
    child.total += count;
    node = child;
  }
  node.self += count;
}

function addFunctions(totals: Map<string, { self: number; total: number }>, frames: readonly string[], count: number): void {
  for (const name of new Set(frames)) {
    const row = totals.get(name) ?? { self: 0, total: 0 };
    totals.set(name, row);
    row.total += count;
    if (name === frames.at(-1)) row.self += count;
  }
}

function addCode(
  code: Map<string, { self: number; translated: number; interpreted: number }>, name: string, activity: number, count: number,
): void {
  const row = code.get(name) ?? { self: 0, translated: 0, interpreted: 0 };
  code.set(name, row);
  row.self += count;
  if (activity === ACTIVITY.REGION) row.translated += count;
  if (activity === ACTIVITY.INTERPRETER) row.interpreted += count;
}

const add = <K>(counts: Map<K, number>, key: K, count: number): void => void counts.set(key, (counts.get(key) ?? 0) + count);

const ranked = (counts: ReadonlyMap<string, number>): Share[] =>
  [...counts].map(([name, count]) => ({ name, count })).sort((a, b) => b.count - a.count);

const topOf = (counts: ReadonlyMap<string, number>): string => ranked(counts)[0]?.name ?? '';

/** A row a second, or longer pieces where there would be too many. */
function timeRows({ samples, programs, seconds }: ProfileInput, names: Names): TimeRow[] {
  const step = Math.max(1, Math.ceil(seconds / TIME_ROWS_MAX));
  const rows: { groups: Map<ActivityGroup, number>; functions: Map<string, number>; programs: Map<string, number>; count: number }[] = [];
  for (let n = 0; n < samples.count; n++) {
    const at = Math.max(0, Math.floor(samples.timesUs[n]! / 1e6 / step));
    while (rows.length <= at) rows.push({ groups: new Map(), functions: new Map(), programs: new Map(), count: 0 });
    const row = rows[at]!;
    row.count++;
    add(row.groups, groupOf(samples.activities[n]!), 1);
    if (samples.nodes[n] === ROOT) continue;
    const { name, isUser } = programs[samples.programs[n]!]!;
    add(row.functions, names.ofNode(samples.nodes[n]!, samples.programs[n]!), 1);
    add(row.programs, `${name}${isUser ? '' : ' [kernel]'}`, 1);
  }
  return rows.map((row, index) => ({
    fromSeconds: index * step, count: row.count, groups: row.groups, topFunction: topOf(row.functions), topProgram: topOf(row.programs),
  }));
}
