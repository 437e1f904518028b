// For tests: the trace events that happen during an action.
import { enableEvents, setTraceSink, type TraceValues } from '../src/trace/event.ts';

export interface TracedEvent {
  readonly name: string;
  readonly values: TraceValues;
}

/** Starts taking the events that match; `stop` ends that and gives what came. */
export function takeEvents(...patterns: readonly string[]): { readonly taken: readonly TracedEvent[]; stop(): readonly TracedEvent[] } {
  const taken: TracedEvent[] = [];
  const former = setTraceSink(({ name }, _atNs, values) => taken.push({ name, values }));
  for (const pattern of patterns) enableEvents(pattern);
  return { taken, stop() {
    for (const pattern of patterns) enableEvents(pattern, false);
    setTraceSink(former);
    return taken;
  } };
}

export function eventsDuring(patterns: readonly string[], action: () => void): readonly TracedEvent[] {
  const events = takeEvents(...patterns);
  try {
    action();
  } finally {
    events.stop();
  }
  return events.taken;
}
