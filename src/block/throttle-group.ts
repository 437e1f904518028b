// Throttle groups: limits that several nodes share. Requests over the limit wait; of the members that have some waiting each
// gets its turn. The object `throttle-group` of the command line and of QMP (object-add) is made here.
import type { Eventual } from '../base/eventual.ts';
import { Failure } from '../base/failure.ts';
import type { BlockGraph } from './graph.ts';
import type { BlockHost } from './host.ts';
import type { OptionDict, OptionValue } from './options.ts';
import { checkLimits, LeakyBucket, LIMIT_KINDS, noLimits, type Limit, type LimitKind, type ThrottleLimits } from './throttle-limits.ts';

export type Direction = 'read' | 'write';

const NS_PER_MS = 1e6;

interface WaitingRequest {
  readonly bytes: number;
  readonly start: () => void;
}

/** One node's requests in a group. */
export class ThrottleMember {
  readonly group: ThrottleGroup;
  readonly waiting: Readonly<Record<Direction, WaitingRequest[]>> = { read: [], write: [] };
  /** While above 0 nothing waits: somebody drains the graph. */
  drains = 0;

  constructor(group: ThrottleGroup) {
    this.group = group;
  }

  /** Resolves when a request may start. */
  enter(direction: Direction, bytes: number): Eventual<void> {
    return this.group.enter(this, direction, bytes);
  }

  drainBegin(): void {
    this.drains++;
    for (const direction of ['read', 'write'] as const) for (const request of this.waiting[direction].splice(0)) request.start();
  }

  drainEnd(): void {
    this.drains--;
  }

  leave(): void {
    this.drainBegin();
    this.group.remove(this);
  }
}

export class ThrottleGroup {
  readonly name: string;
  readonly #host: BlockHost;
  readonly #members: ThrottleMember[] = [];
  #limits!: ThrottleLimits;
  #buckets!: Readonly<Record<LimitKind, LeakyBucket>>;
  #leakedAtNs: number;
  /** Whose turn was last. */
  readonly #turn: Record<Direction, number> = { read: -1, write: -1 };
  readonly #pumping: Record<Direction, boolean> = { read: false, write: false };

  constructor(name: string, host: BlockHost, limits: ThrottleLimits) {
    this.name = name;
    this.#host = host;
    this.#leakedAtNs = host.nowNs();
    this.limits = limits;
  }

  get limits(): ThrottleLimits {
    return this.#limits;
  }

  /** New limits count from now on. */
  set limits(limits: ThrottleLimits) {
    checkLimits(limits);
    this.#limits = limits;
    this.#buckets = Object.fromEntries(LIMIT_KINDS.map((kind) => [kind, new LeakyBucket(limits.limits[kind])])) as Record<
      LimitKind,
      LeakyBucket
    >;
  }

  join(): ThrottleMember {
    const member = new ThrottleMember(this);
    this.#members.push(member);
    return member;
  }

  remove(member: ThrottleMember): void {
    const index = this.#members.indexOf(member);
    if (index >= 0) this.#members.splice(index, 1);
  }

  enter(member: ThrottleMember, direction: Direction, bytes: number): Eventual<void> {
    const free = member.drains > 0 || (!this.#pumping[direction] && this.#waitNs(direction) <= 0);
    if (free) return this.#account(direction, bytes);
    return new Promise((start) => {
      member.waiting[direction].push({ bytes, start });
      if (!this.#pumping[direction]) void this.#pump(direction);
    });
  }

  #bucketsOf(direction: Direction): LeakyBucket[] {
    const buckets = this.#buckets;
    return [buckets['bps-total'], buckets[`bps-${direction}`], buckets['iops-total'], buckets[`iops-${direction}`]];
  }

  #waitNs(direction: Direction): number {
    const now = this.#host.nowNs();
    const elapsed = now - this.#leakedAtNs;
    if (elapsed > 0) {
      this.#leakedAtNs = now;
      for (const kind of LIMIT_KINDS) this.#buckets[kind].leak(elapsed);
    }
    return Math.max(...this.#bucketsOf(direction).map((bucket) => bucket.waitNs()));
  }

  #account(direction: Direction, bytes: number): void {
    const { operationSize } = this.#limits;
    const operations = operationSize > 0 && bytes > operationSize ? bytes / operationSize : 1;
    const [bytesTotal, bytesOwn, operationsTotal, operationsOwn] = this.#bucketsOf(direction);
    for (const bucket of [bytesTotal!, bytesOwn!]) if (bucket.limited) bucket.add(bytes);
    for (const bucket of [operationsTotal!, operationsOwn!]) if (bucket.limited) bucket.add(operations);
  }

  /** Starts what waits, one request of each member in turn, as the buckets allow. */
  async #pump(direction: Direction): Promise<void> {
    this.#pumping[direction] = true;
    try {
      for (;;) {
        const waitNs = this.#waitNs(direction);
        if (waitNs > 0) await this.#host.sleep(Math.max(1, waitNs / NS_PER_MS));
        const member = this.#next(direction);
        if (member === undefined) return;
        if (this.#waitNs(direction) > 0) continue;
        const request = member.waiting[direction].shift()!;
        this.#turn[direction] = this.#members.indexOf(member);
        this.#account(direction, request.bytes);
        request.start();
      }
    } finally {
      this.#pumping[direction] = false;
    }
  }

  #next(direction: Direction): ThrottleMember | undefined {
    const count = this.#members.length;
    for (let step = 1; step <= count; step++) {
      const member = this.#members[(this.#turn[direction] + step + count) % count];
      if (member !== undefined && member.waiting[direction].length > 0) return member;
    }
    return undefined;
  }
}

// The objects -----------------------------------------------------------------------------------------------------------

const groups = new WeakMap<BlockGraph, Map<string, ThrottleGroup>>();

function groupsOf(graph: BlockGraph): Map<string, ThrottleGroup> {
  const known = groups.get(graph) ?? new Map<string, ThrottleGroup>();
  groups.set(graph, known);
  return known;
}

export const knownThrottleGroup = (graph: BlockGraph, name: string): ThrottleGroup | undefined => groupsOf(graph).get(name);

export function findThrottleGroup(graph: BlockGraph, name: string): ThrottleGroup {
  const group = knownThrottleGroup(graph, name);
  if (group === undefined) throw new Failure('not-found', `Throttle group '${name}' does not exist`);
  return group;
}

/** `-object throttle-group,id=…`: `options` without qom-type and id. */
export function addThrottleGroup(graph: BlockGraph, id: string, options: OptionDict): ThrottleGroup {
  const known = groupsOf(graph);
  if (known.has(id)) throw new Failure('invalid-argument', `attempt to add duplicate property '${id}' to object (type 'container')`);
  const group = new ThrottleGroup(id, graph.host, limitsFromOptions(options));
  known.set(id, group);
  return group;
}

const MAX_LENGTH_END = 4294967295;

/** `x-iops-total=…` and `limits.iops-total=…`. */
export function limitsFromOptions(options: OptionDict): ThrottleLimits {
  const limits = noLimits();
  const names = options.keys().sort((a, b) => Number(b.startsWith('x-')) - Number(a.startsWith('x-'))); // `limits` has the last word
  for (const name of names) setProperty(limits, name, options.take(name)!);
  return limits;
}

function setProperty(limits: ThrottleLimits, name: string, given: OptionValue): void {
  const experimental = name.startsWith('x-');
  const plain = experimental ? name.slice(2) : name.startsWith('limits.') ? name.slice('limits.'.length) : '';
  const kind = LIMIT_KINDS.find((candidate) => plain === candidate || plain.startsWith(`${candidate}-max`));
  if (plain !== 'iops-size' && (kind === undefined || !['', '-max', '-max-length'].includes(plain.slice(kind.length)))) {
    throw new Failure('invalid-argument', `Parameter '${name}' is unexpected`);
  }
  const value = integer(name, given);
  if (experimental && value < 0) throw new Failure('invalid-argument', 'Property values cannot be negative');
  if (plain === 'iops-size') limits.operationSize = value;
  else setLimit(limits.limits[kind!], plain.slice(kind!.length), value, name);
}

function setLimit(limit: Limit, what: string, value: number, name: string): void {
  if (what === '') limit.average = value;
  else if (what === '-max') limit.max = value;
  else {
    const shown = name.startsWith('x-')
      ? `${name} value must be in therange`
      : `${name.slice('limits.'.length)} value must be in the range`;
    if (value > MAX_LENGTH_END) throw new Failure('invalid-argument', `${shown} [0, ${MAX_LENGTH_END}]`);
    limit.maxLength = value < 0 ? MAX_LENGTH_END : value;
  }
}

function integer(name: string, value: OptionValue): number {
  const number = typeof value === 'string' && /^[+-]?(0[xX][0-9a-fA-F]+|\d+)$/.test(value) ? Number(value) : value;
  if (typeof number === 'number' && Number.isInteger(number)) return number;
  throw new Failure('invalid-argument', `Parameter '${name}' expects integer`);
}
