// Every trace event of a machine and of the tools: loading their modules is what declares them, also of those that are loaded late.
import { eventCatalogue, type TraceEvent } from '../trace/event.ts';

export async function allEvents(): Promise<readonly TraceEvent[]> {
  await import('../platform/node/machine.ts');
  await Promise.all([import('../block/file/trace.ts'), import('../block/operations/trace.ts')]);
  return eventCatalogue();
}
