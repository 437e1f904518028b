// -object of a machine: the objects of the tools, and those that only guests' devices use. See image-tools/objects.ts.
import { inContext } from '../schema/command-line.ts';
import type { MachineOptions } from '../vm/options.ts';
import { MACHINE_OBJECT_TYPES, ObjectHelp, ToolObjects } from './image-tools/objects.ts';
import type { SystemSettings } from './system-settings.ts';

export function readMachineObjects(declared: SystemSettings['objects']): Pick<MachineOptions, 'secrets' | 'throttleGroups'> {
  const objects = new ToolObjects({ out: (text) => void process.stdout.write(text) }, MACHINE_OBJECT_TYPES);
  try {
    for (const { text, origin } of declared) inContext(origin, () => objects.add(text));
  } catch (error) {
    if (error instanceof ObjectHelp) process.exit(0);
    throw error;
  }
  const groups = objects.ofType('throttle-group').map(({ id, values }) => [id, Object.fromEntries(values)] as const);
  return { secrets: objects.secrets, throttleGroups: Object.fromEntries(groups) };
}
