// `nandu trace`: prints a trace file in QEMU's simple format, and the declarations that other readers of it need.
import { readFileSync } from 'node:fs';
import { Failure } from '../base/failure.ts';
import { systemErrorText } from '../platform/node/system-error.ts';
import { readSimpleTrace, traceEventsFile, type SimpleTraceRecord } from '../trace/simple-format.ts';
import { allEvents } from './trace-events.ts';

const HELP = `usage: nandu trace FILE            print a trace file in the simple format (-trace PATTERN,file=FILE)
       nandu trace --declarations  the events as a trace-events file, for QEMU's simpletrace.py

A line has the microseconds since the event before it, the process, and the event with its arguments.
`;

/** Prints through `out`; the process's exit status. */
export async function runTrace(words: readonly string[], out: (text: string) => void): Promise<number> {
  const [word, ...rest] = words;
  if (word === undefined || word === '--help' || word === '-h') out(HELP);
  else if (rest.length > 0) throw new Failure('invalid-argument', `trace: unexpected argument '${rest[0]}'`);
  else if (word === '--declarations') out(traceEventsFile(await allEvents()));
  else if (word.startsWith('-')) throw new Failure('invalid-argument', `${word}: invalid option (see nandu trace --help)`);
  else await printFile(word, out);
  return 0;
}

async function printFile(path: string, out: (text: string) => void): Promise<void> {
  let before: number | undefined;
  for (const record of await readTraceFile(path)) {
    out(lineOf(record, before ?? record.atNs));
    before = record.atNs;
  }
}

/** The events of a file, read as they are asked for. */
export async function readTraceFile(path: string): Promise<Iterable<SimpleTraceRecord>> {
  const bytes = read(path);
  return named(path, readSimpleTrace(bytes, await allEvents()));
}

function* named(path: string, records: Iterable<SimpleTraceRecord>): Generator<SimpleTraceRecord> {
  try {
    yield* records;
  } catch (error) {
    if (error instanceof Failure) throw new Failure(error.kind, `${path}: ${error.message}`, { cause: error });
    throw error;
  }
}

function read(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Failure('io', `Could not open '${path}': ${systemErrorText(error)}`, { cause: error });
  }
}

function lineOf({ event, atNs, pid, values }: SimpleTraceRecord, beforeNs: number): string {
  const name = event?.name ?? 'dropped';
  const text = event?.text(values) ?? `${values['count']} events`;
  return `${name} ${((atNs - beforeNs) / 1000).toFixed(3)} pid=${pid} ${text}\n`;
}
