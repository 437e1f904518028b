// Every trace event of a machine: loading its modules is what declares them.
import { eventCatalogue, type TraceEvent } from '../trace/event.ts';

export async function allEvents(): Promise<readonly TraceEvent[]> {
  await import('../platform/node/machine.ts');
  return eventCatalogue();
}
