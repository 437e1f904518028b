// A machine's figures with those of the process that it is, for whoever asks its socket.
import type { Machine } from '../platform/node/machine.ts';
import { machineFigures } from '../vm/machine-figures.ts';
import type { ProcessFigures } from './top.ts';

export function processFigures(machine: Machine): ProcessFigures {
  const { user, system } = process.cpuUsage();
  return {
    ...machineFigures(machine), cpuSeconds: (user + system) / 1e6, residentBytes: process.memoryUsage.rss(), upSeconds: process.uptime(),
  };
}
