// Trace events as lines: QEMU's log with time stamps, `pid@seconds.microseconds:name text`.
import type { TraceEvent, TraceSink, TraceValues } from './event.ts';

export interface TextStamp {
  readonly pid: number;
  /** What makes the wall clock of an event's time. */
  readonly wallOffsetNs: number;
}

export function traceLine(event: TraceEvent, atNs: number, values: TraceValues, { pid, wallOffsetNs }: TextStamp): string {
  const microseconds = Math.floor((atNs + wallOffsetNs) / 1000);
  const fraction = String(microseconds % 1e6).padStart(6, '0');
  return `${pid}@${Math.floor(microseconds / 1e6)}.${fraction}:${event.name} ${event.text(values)}\n`;
}

export const textSink = (write: (line: string) => void, stamp: TextStamp): TraceSink =>
  (event, atNs, values) => write(traceLine(event, atNs, values, stamp));
