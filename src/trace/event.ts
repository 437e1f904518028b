// Trace events: one line declares name, arguments and text; the argument types are computed from the text.
// An event that is off is undefined, so `trace.x?.({ ... })` does not even evaluate its arguments.
// Not a log: events are for people who look into a machine; errors for the user are Failures. Files of events: simple-format.ts,
// timeline.ts.
import { countRequestEvents } from './request.ts';

export type TraceValue = number | bigint | string | boolean;
export type TraceValues = Readonly<Record<string, TraceValue>>;

/** `{name}` a number, bigint or boolean, `{name:hex}` a number or bigint, `{name:str}` a string. */
type ArgumentOf<Part extends string> = Part extends `${infer Name}:hex`
  ? { readonly [K in Name]: number | bigint }
  : Part extends `${infer Name}:str`
    ? { readonly [K in Name]: string }
    : { readonly [K in Part]: number | bigint | boolean };

type Merge<T> = { readonly [K in keyof T]: T[K] };

/** The argument object of an event with this text. */
export type ArgumentsOf<Text extends string> = Text extends `${string}{${infer Part}}${infer Rest}`
  ? Merge<ArgumentOf<Part> & ArgumentsOf<Rest>>
  : unknown;

export type TraceEvents<Declared extends Readonly<Record<string, string>>> = {
  readonly [Name in keyof Declared]: ((values: ArgumentsOf<Declared[Name]>) => void) | undefined;
};

export interface TraceArgument {
  readonly name: string;
  readonly kind: 'value' | 'hex' | 'str';
}

type Part = string | TraceArgument;

/** A declared event. */
export class TraceEvent {
  readonly component: string;
  /** In QEMU's manner: virtio_blk_req_complete. */
  readonly name: string;
  /** Its place in the catalogue. */
  readonly id: number;
  readonly arguments: readonly TraceArgument[];
  enabled = false;
  readonly #parts: readonly Part[];
  readonly #set: (call: ((values: TraceValues) => void) | undefined) => void;

  constructor(component: string, name: string, id: number, text: string, set: (call: ((values: TraceValues) => void) | undefined) => void) {
    this.component = component;
    this.name = underscored(`${component}_${name}`);
    this.id = id;
    this.#parts = parseText(text);
    this.arguments = this.#parts.filter((part) => typeof part !== 'string');
    this.#set = set;
  }

  enable(on: boolean): void {
    if (on !== this.enabled && this.arguments.some(({ name }) => name === 'request')) countRequestEvents(on ? 1 : -1);
    this.enabled = on;
    this.#set(on ? (values) => sink(this, traceClock(), values) : undefined);
  }

  /** The line for people, without the name. */
  text(values: TraceValues): string {
    let line = '';
    for (const part of this.#parts) {
      if (typeof part === 'string') line += part;
      else {
        const value = values[part.name];
        line += part.kind === 'hex' && (typeof value === 'number' || typeof value === 'bigint') ? `0x${value.toString(16)}` : String(value);
      }
    }
    return line;
  }
}

/** Takes an event that happened, with host nanoseconds. */
export type TraceSink = (event: TraceEvent, atNs: number, values: TraceValues) => void;

const underscored = (name: string): string => name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').replaceAll('-', '_').toLowerCase();

function parseText(text: string): Part[] {
  return text.split(/(\{[^}]*\})/).map((part): Part => {
    const argument = /^\{(\w+)(?::(hex|str))?\}$/.exec(part);
    return argument === null ? part : { name: argument[1]!, kind: (argument[2] as 'hex' | 'str' | undefined) ?? 'value' };
  });
}

const catalogue: TraceEvent[] = [];
/** What was asked for by pattern: it holds for events that are declared later too. */
const orders: { readonly pattern: RegExp; readonly on: boolean }[] = [];
let sink: TraceSink = () => {};
let traceClock: () => number = () => 0;

/** Declares the events of a component; all start off unless a pattern has asked for them. */
export function defineEvents<const Declared extends Readonly<Record<string, string>>>(
  component: string,
  declared: Declared,
): TraceEvents<Declared> {
  const events: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(declared)) {
    events[name] = undefined;
    const event = new TraceEvent(component, name, catalogue.length, text, (call) => { events[name] = call; });
    catalogue.push(event);
    const order = orders.findLast(({ pattern }) => pattern.test(event.name));
    if (order?.on === true) event.enable(true);
  }
  return events as TraceEvents<Declared>;
}

/** A pattern of event names with * and ?. */
export function eventPattern(pattern: string): RegExp {
  const escaped = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.');
  return new RegExp(`^${escaped}$`);
}

/** Turns on (or off) the events whose name matches a pattern, also those that are declared later. Returns how many matched. */
export function enableEvents(text: string, on = true): number {
  const pattern = eventPattern(text);
  orders.push({ pattern, on });
  const matching = catalogue.filter(({ name }) => pattern.test(name));
  for (const event of matching) event.enable(on);
  return matching.length;
}

/** Where events that are on go; the former sink is returned. */
export function setTraceSink(next: TraceSink): TraceSink {
  const former = sink;
  sink = next;
  return former;
}

/** Gives the events their clock: monotonic host nanoseconds. */
export function setTraceClock(now: () => number): void {
  traceClock = now;
}

/** Every event that is declared so far, for `-trace help` and the manual. */
export function eventCatalogue(): readonly TraceEvent[] {
  return catalogue;
}
