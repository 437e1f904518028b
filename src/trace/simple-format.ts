// QEMU's "simple" trace file, version 4, written and read. A header, then records in the host's byte order: one that gives an
// event's number a name, before its first use, and events with their arguments: 64-bit words, and strings with a length. Types are
// not in the file: whoever reads it has the declarations (`nandu trace --declarations` prints them as a trace-events file).
// Settled from QEMU 7.2's docs/devel/tracing.rst and its reader. Little-endian, as the hosts that there are.
import { Failure } from '../base/failure.ts';
import type { TraceEvent, TraceSink, TraceValue, TraceValues } from './event.ts';

const HEADER_EVENT = 0xffff_ffff_ffff_ffffn;
const DROPPED_EVENT = 0xffff_ffff_ffff_fffen;
const MAGIC = 0xf2b1_77cb_0aa4_29b4n;
const VERSION = 4n;
const RECORD = { MAPPING: 0, EVENT: 1 } as const;
const HEADER_BYTES = 24;
/** Type, event number, length of the name. */
const MAPPING_BYTES = 20;
/** Type, event number, time, length (of all but the type), process. */
const EVENT_BYTES = 32;
const TYPE_BYTES = 8;
const LENGTH_AT = 24;
const STRING_CHARACTERS_MAX = 4096;
/** Of a UTF-16 code unit. */
const UTF8_BYTES_MAX = 3;
const PIECE_BYTES = 256 * 1024;

const encoder = new TextEncoder();

/** Collects records and gives them to `write` in pieces. */
export class SimpleTraceWriter {
  readonly #write: (bytes: Uint8Array) => void;
  readonly #pid: number;
  readonly #named = new Set<number>();
  readonly #buffer = new Uint8Array(PIECE_BYTES);
  readonly #view = new DataView(this.#buffer.buffer);
  #used = 0;

  constructor(write: (bytes: Uint8Array) => void, pid: number) {
    this.#write = write;
    this.#pid = pid;
    for (const word of [HEADER_EVENT, MAGIC, VERSION]) {
      this.#view.setBigUint64(this.#used, word, true);
      this.#used += 8;
    }
  }

  readonly sink: TraceSink = (event, atNs, values) => {
    if (!this.#named.has(event.id)) this.#name(event);
    this.#reserve(roomFor(event, values));
    const start = this.#used;
    this.#u64(RECORD.EVENT);
    this.#u64(event.id);
    this.#u64(Math.floor(atNs));
    this.#used += 4; // the length, when it is known
    this.#u32(this.#pid);
    for (const { name, kind } of event.arguments) {
      if (kind === 'str') this.#text(values[name] as string);
      else this.#u64(values[name]!);
    }
    this.#view.setUint32(start + LENGTH_AT, this.#used - start - TYPE_BYTES, true);
  };

  flush(): void {
    if (this.#used > 0) this.#write(this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }

  #name(event: TraceEvent): void {
    this.#named.add(event.id);
    const name = encoder.encode(event.name);
    this.#reserve(MAPPING_BYTES + name.length);
    this.#u64(RECORD.MAPPING);
    this.#u64(event.id);
    this.#string(name);
  }

  #reserve(bytes: number): void {
    if (this.#used + bytes > PIECE_BYTES) this.flush();
  }

  #u32(value: number): void {
    this.#view.setUint32(this.#used, value, true);
    this.#used += 4;
  }

  #u64(value: TraceValue): void {
    if (typeof value === 'bigint') this.#view.setBigUint64(this.#used, BigInt.asUintN(64, value), true);
    else {
      const whole = Math.trunc(Number(value));
      this.#view.setUint32(this.#used, whole >>> 0, true);
      this.#view.setUint32(this.#used + 4, Math.floor(whole / 2 ** 32) >>> 0, true);
    }
    this.#used += 8;
  }

  #text(text: string): void {
    const length = Math.min(text.length, STRING_CHARACTERS_MAX);
    const start = this.#used + 4;
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index);
      if (code >= 0x80) {
        this.#string(encoder.encode(text.slice(0, length)));
        return;
      }
      this.#buffer[start + index] = code;
    }
    this.#u32(length);
    this.#used += length;
  }

  #string(bytes: Uint8Array): void {
    this.#u32(bytes.length);
    this.#buffer.set(bytes, this.#used);
    this.#used += bytes.length;
  }
}

/** Bytes that an event has at most. */
function roomFor({ arguments: declared }: TraceEvent, values: TraceValues): number {
  let bytes = EVENT_BYTES;
  for (const { name, kind } of declared) {
    bytes += kind === 'str' ? 4 + UTF8_BYTES_MAX * Math.min((values[name] as string).length, STRING_CHARACTERS_MAX) : 8;
  }
  return bytes;
}

/** An event read back; a count of lost ones has no event. */
export interface SimpleTraceRecord {
  readonly event: TraceEvent | undefined;
  readonly atNs: number;
  readonly pid: number;
  readonly values: TraceValues;
}

/** Reads a file with the declarations that it was written with. Failure when it is none, or does not fit them. */
export function* readSimpleTrace(bytes: Uint8Array, events: readonly TraceEvent[]): Generator<SimpleTraceRecord> {
  const file = new Cursor(bytes);
  if (bytes.length < HEADER_BYTES || file.u64() !== HEADER_EVENT || file.u64() !== MAGIC) throw invalid('not a trace file');
  const version = file.u64();
  if (version !== VERSION) throw new Failure('unsupported', `trace file version ${version} is not supported`);
  const byName = new Map(events.map((event) => [event.name, event]));
  const byNumber = new Map<bigint, TraceEvent>();
  while (!file.atEnd) {
    const type = file.u64();
    const number = file.u64();
    if (type === BigInt(RECORD.MAPPING)) {
      const name = file.string();
      const event = byName.get(name);
      if (event === undefined) throw invalid(`event '${name}' is not declared in this version`);
      byNumber.set(number, event);
    } else if (type === BigInt(RECORD.EVENT)) yield readEvent(file, number, byNumber);
    else throw invalid(`record of unknown type ${type}`);
  }
}

function readEvent(file: Cursor, number: bigint, events: ReadonlyMap<bigint, TraceEvent>): SimpleTraceRecord {
  const atNs = Number(file.u64());
  file.u32();
  const pid = file.u32();
  if (number === DROPPED_EVENT) return { event: undefined, atNs, pid, values: { count: file.u64() } };
  const event = events.get(number);
  if (event === undefined) throw invalid(`event number ${number} has no name`);
  const values: Record<string, TraceValue> = {};
  for (const { name, kind } of event.arguments) values[name] = kind === 'str' ? file.string() : file.u64();
  return { event, atNs, pid, values };
}

const invalid = (what: string): Failure => new Failure('invalid-format', what);

class Cursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8), true);
  }

  string(): string {
    const length = this.u32();
    const start = this.#advance(length);
    return new TextDecoder().decode(this.#bytes.subarray(start, start + length));
  }

  #advance(count: number): number {
    const start = this.#at;
    if (start + count > this.#bytes.length) throw invalid('the trace file ends in the middle of a record');
    this.#at += count;
    return start;
  }
}

const CONVERSIONS = { str: '%s', hex: '0x%"PRIx64"', value: '%"PRIu64"' } as const;

/** The declarations as QEMU's trace-events file, for readers that know that notation. */
export function traceEventsFile(events: readonly TraceEvent[]): string {
  return events.map((event) => {
    const parameters = event.arguments.map(({ name, kind }) => `${kind === 'str' ? 'const char *' : 'uint64_t '}${name}`);
    const format = event.arguments.map(({ name, kind }) => `${name} ${CONVERSIONS[kind]}`);
    return `${event.name}(${parameters.join(', ') || 'void'}) "${format.join(' ')}"\n`;
  }).join('');
}
