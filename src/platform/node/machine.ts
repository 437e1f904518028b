// The library's machine on Node: `import { Machine } from 'nandu'`. Everything is in vm/machine.ts; this adds the host.
import { Machine as PortableMachine } from '../../vm/machine.ts';
import type { MachineOptions } from '../../vm/options.ts';
import { nodePlatform } from './node-platform.ts';

export type Machine = PortableMachine;
export const Machine = {
  /** Reads the files that `options` name and builds the machine, which `start()` sets going. */
  create: (options: MachineOptions): Promise<PortableMachine> => PortableMachine.createOn(nodePlatform, options),
};
export type { MachineConsole } from '../../vm/console.ts';
export type { ExitReason, MachineOptions } from '../../vm/options.ts';
export { Failure } from '../../base/failure.ts';
