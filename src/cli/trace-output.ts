// What `-trace` turns on, and where it goes: standard error, or a file in one of three formats, at once or from a ring of the last
// events. The formats are those of src/trace.
import { closeSync, openSync, readFileSync } from 'node:fs';
import { Failure } from '../base/failure.ts';
import { hostClockNs, wallClockMs } from '../platform/node/host-clock.ts';
import { LogWriter, writeFully } from '../platform/node/log-writer.ts';
import { asyncRequestCarrier } from '../platform/node/request-carrier.ts';
import { systemErrorText } from '../platform/node/system-error.ts';
import { enableEvents, setTraceClock, setTraceSink, type TraceSink } from '../trace/event.ts';
import { FlightRecorder } from '../trace/flight-recorder.ts';
import { setRequestCarrier } from '../trace/request.ts';
import { SimpleTraceWriter } from '../trace/simple-format.ts';
import { textSink, type TextStamp } from '../trace/text-sink.ts';
import { TimelineWriter } from '../trace/timeline.ts';
import type { TraceSettings } from './system-settings.ts';

const STDERR = 2;
/** Text on standard error is for somebody who watches. */
const TEXT_DELAY_MS = 50;

export interface TraceOutput {
  /** Writes what is waiting, or the ring; says what was done. */
  flush(): string;
  close(): void;
}

interface Writer {
  readonly sink: TraceSink;
  flush(): void;
  close(): void;
}

/** Turns the events on. `log` takes the text where no file is named. */
export function openTraceOutput(settings: TraceSettings, log: ((text: string) => void) | undefined): TraceOutput {
  for (const { kind, text, origin } of settings.enabled) {
    for (const pattern of kind === 'pattern' ? [text] : readPatterns(text, origin)) {
      enableEvents(pattern.replace(/^-/, ''), !pattern.startsWith('-'));
    }
  }
  setTraceClock(hostClockNs);
  setRequestCarrier(asyncRequestCarrier);
  const { file, bufferEvents } = settings;
  const open = (): Writer => (file === undefined ? textWriter(log) : fileWriter(file));
  return bufferEvents === undefined ? streamed(open(), file) : recorded(open, bufferEvents, file);
}

function streamed(writer: Writer, file: string | undefined): TraceOutput {
  setTraceSink(writer.sink);
  return {
    flush() {
      writer.flush();
      return file === undefined ? '' : `written to '${file}'`;
    },
    close: () => writer.close(),
  };
}

function recorded(open: () => Writer, events: number, file: string | undefined): TraceOutput {
  const recorder = new FlightRecorder(events);
  setTraceSink(recorder.sink);
  const flush = (): string => {
    const writer = open();
    recorder.replay(writer.sink);
    writer.close();
    return `${recorder.kept} events written${file === undefined ? '' : ` to '${file}'`}, ${recorder.lost} older ones lost`;
  };
  return { flush, close: () => void flush() };
}

function readPatterns(path: string, origin: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new Failure('io', `${origin}: could not open trace events file '${path}': ${systemErrorText(error)}`, { cause: error });
  }
  return text.split('\n').map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
}

const stamp = (): TextStamp => ({ pid: process.pid, wallOffsetNs: wallClockMs() * 1e6 - hostClockNs() });

function textWriter(log: ((text: string) => void) | undefined): Writer {
  if (log !== undefined) return { sink: textSink(log, stamp()), flush: () => {}, close: () => {} };
  const lines = new LogWriter(STDERR);
  const flush = (): void => lines.flush();
  let waiting: NodeJS.Timeout | undefined;
  const write = (line: string): void => {
    lines.write(line);
    waiting ??= setTimeout(() => {
      waiting = undefined;
      flush();
    }, TEXT_DELAY_MS).unref();
  };
  return { sink: textSink(write, stamp()), flush, close: flush };
}

function fileWriter(path: string): Writer {
  const descriptor = openFile(path);
  const close = (): void => closeSync(descriptor);
  if (/\.(log|txt)$/.test(path)) {
    const lines = new LogWriter(descriptor);
    return closing(textSink((line) => lines.write(line), stamp()), () => lines.flush(), close);
  }
  if (path.endsWith('.json')) {
    const text = new LogWriter(descriptor);
    const timeline = new TimelineWriter((part) => text.write(part), { pid: process.pid, program: 'nandu' });
    return { sink: timeline.sink, flush: () => text.flush(), close() {
      timeline.finish();
      text.flush();
      close();
    } };
  }
  const writer = new SimpleTraceWriter((bytes) => writeFully(descriptor, bytes), process.pid);
  return closing(writer.sink, () => writer.flush(), close);
}

const closing = (sink: TraceSink, flush: () => void, close: () => void): Writer => ({ sink, flush, close() {
  flush();
  close();
} });

function openFile(path: string): number {
  try {
    return openSync(path, 'w', 0o666);
  } catch (error) {
    throw new Failure('io', `could not open trace file '${path}': ${systemErrorText(error)}`, { cause: error });
  }
}
