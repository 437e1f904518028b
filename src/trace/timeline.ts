// Trace events as a Chrome trace (JSON object format), which Perfetto and chrome://tracing show. The machine runs on one thread, which
// is one track. Events `x_begin` and `x_end` (or `x_enter`, `x_leave`) are a span; any other is a moment. What has a `request` is
// joined by a flow from its first event on. Format: "Trace Event Format", the Chromium project.
import type { TraceEvent, TraceSink, TraceValue, TraceValues } from './event.ts';

const BEGIN = /_(begin|enter)$/;
const END = /_(end|leave)$/;
const LAST_OF_REQUEST = /_req_complete$/;
/** A moment needs some length for a flow to be drawn from it, in microseconds. */
const MOMENT_US = 0.1;
const MACHINE_THREAD = 1;

export class TimelineWriter {
  readonly #write: (text: string) => void;
  readonly #pid: number;
  #lastRequest = 0;

  constructor(write: (text: string) => void, { pid, program }: { readonly pid: number; readonly program: string }) {
    this.#write = write;
    this.#pid = pid;
    write('{"displayTimeUnit":"ns","traceEvents":[\n');
    const metadata = (name: string, value: string): string => this.#entry({ ph: 'M', name, args: { name: value } }, 0);
    write(`${metadata('process_name', program)},\n${metadata('thread_name', 'machine')}`);
  }

  readonly sink: TraceSink = (event, atNs, values) => {
    this.#write(`,\n${this.#entry(entryOf(event, values), atNs)}`);
    const request = Number(values['request'] ?? 0);
    if (request === 0) return;
    const ph = request > this.#lastRequest ? 's' : LAST_OF_REQUEST.test(event.name) ? 'f' : 't';
    this.#lastRequest = Math.max(this.#lastRequest, request);
    this.#write(`,\n${this.#entry({ ph, cat: 'request', name: 'request', id: request, ...(ph === 'f' && { bp: 'e' }) }, atNs)}`);
  };

  /** The end of the file. */
  finish(): void {
    this.#write('\n]}\n');
  }

  #entry(entry: object, atNs: number): string {
    return JSON.stringify({ ...entry, pid: this.#pid, tid: MACHINE_THREAD, ts: Math.round(atNs) / 1000 });
  }
}

function entryOf(event: TraceEvent, values: TraceValues): object {
  const args: Record<string, number | string | boolean> = {};
  for (const { name, kind } of event.arguments) args[name] = plain(values[name]!, kind === 'hex');
  const { component: cat, name } = event;
  if (BEGIN.test(name)) return { ph: 'B', cat, name: name.replace(BEGIN, ''), args };
  if (END.test(name)) return { ph: 'E', cat, name: name.replace(END, ''), args };
  return { ph: 'X', cat, name, dur: MOMENT_US, args };
}

function plain(value: TraceValue, hex: boolean): number | string | boolean {
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (hex) return `0x${value.toString(16)}`;
  return typeof value === 'bigint' ? String(value) : value;
}
