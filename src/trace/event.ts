// Trace events: one line declares name, arguments and text; the argument types are computed from the text.
// An event that is off is undefined, so `trace.x?.({ ... })` does not even evaluate its arguments.
// Not a log: events are for people who look into a machine; errors for the user are Failures.

export type TraceValue = number | bigint | string | boolean;

/** `{name}` any value, `{name:hex}` a number or bigint, `{name:str}` a string. */
type ArgumentOf<Part extends string> = Part extends `${infer Name}:hex`
  ? { readonly [K in Name]: number | bigint }
  : Part extends `${infer Name}:str`
    ? { readonly [K in Name]: string }
    : { readonly [K in Part]: TraceValue };

type Merge<T> = { readonly [K in keyof T]: T[K] };

/** The argument object of an event with this text. */
export type ArgumentsOf<Text extends string> = Text extends `${string}{${infer Part}}${infer Rest}`
  ? Merge<ArgumentOf<Part> & ArgumentsOf<Rest>>
  : unknown;

export type TraceEvents<Declared extends Readonly<Record<string, string>>> = {
  readonly [Name in keyof Declared]: ((values: ArgumentsOf<Declared[Name]>) => void) | undefined;
};

/** An event that happened; `values` are in the order of the text. */
export interface TraceRecord {
  readonly component: string;
  readonly name: string;
  readonly values: Readonly<Record<string, TraceValue>>;
  /** The line for people, without component and name. */
  text(): string;
}

export type TraceSink = (record: TraceRecord) => void;

type Part = string | { readonly name: string; readonly hex: boolean };

function parseText(text: string): Part[] {
  return text.split(/(\{[^}]*\})/).map((part) => {
    const argument = /^\{(\w+)(?::(hex|str))?\}$/.exec(part);
    return argument === null ? part : { name: argument[1]!, hex: argument[2] === 'hex' };
  });
}

function formatParts(parts: readonly Part[], values: Readonly<Record<string, TraceValue>>): string {
  let line = '';
  for (const part of parts) {
    if (typeof part === 'string') line += part;
    else {
      const value = values[part.name];
      line += part.hex && (typeof value === 'number' || typeof value === 'bigint') ? `0x${value.toString(16)}` : String(value);
    }
  }
  return line;
}

interface Declaration {
  readonly component: string;
  readonly name: string;
  readonly text: string;
  readonly set: (call: ((values: Readonly<Record<string, TraceValue>>) => void) | undefined) => void;
  enabled: boolean;
}

const catalogue: Declaration[] = [];
let sink: TraceSink = () => {};

/** Declares the events of a component; all start off. */
export function defineEvents<const Declared extends Readonly<Record<string, string>>>(
  component: string,
  declared: Declared,
): TraceEvents<Declared> {
  const events: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(declared)) {
    events[name] = undefined;
    catalogue.push({
      component,
      name,
      text,
      enabled: false,
      set: (call) => {
        events[name] = call;
      },
    });
  }
  return events as TraceEvents<Declared>;
}

function matcher(pattern: string): RegExp {
  const escaped = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.');
  return new RegExp(`^${escaped}$`);
}

/** Turns on (or off) the events whose `component.name` matches a pattern with * and ?. Returns how many matched. */
export function enableEvents(pattern: string, on = true): number {
  const matches = matcher(pattern);
  let count = 0;
  for (const event of catalogue) {
    if (!matches.test(`${event.component}.${event.name}`)) continue;
    count++;
    event.enabled = on;
    const parts = parseText(event.text);
    event.set(
      on ? (values) => sink({ component: event.component, name: event.name, values, text: () => formatParts(parts, values) }) : undefined,
    );
  }
  return count;
}

/** Where events that are on go; the former sink is returned. */
export function setTraceSink(next: TraceSink): TraceSink {
  const former = sink;
  sink = next;
  return former;
}

/** A sink that writes lines: `component.name text`. */
export function textSink(write: (line: string) => void): TraceSink {
  return (record) => write(`${record.component}.${record.name} ${record.text()}\n`);
}

/** Every declared event, for `-trace help` and the manual. */
export function eventCatalogue(): readonly {
  readonly component: string;
  readonly name: string;
  readonly text: string;
  readonly enabled: boolean;
}[] {
  return catalogue;
}
