// The ToolIo of a real process.
import { basename } from 'node:path';
import type { ToolIo } from './tool-io.ts';

/** `program` is what the process was started as, unless it is given (`nandu img`). */
export function processIo(program = basename(process.argv[1] ?? 'nandu-img').replace(/\.js$/, '')): ToolIo {
  return {
    program,
    isTerminal: process.stdout.isTTY === true,
    out: (text) => void process.stdout.write(text),
    error: (text) => void process.stderr.write(text),
    onInterrupt(stop) {
      const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
      const received = (signal: NodeJS.Signals): void => {
        process.exitCode = undefined;
        interruptedBy = signal;
        stop();
      };
      for (const signal of signals) process.once(signal, received);
      return () => signals.forEach((signal) => process.removeListener(signal, received));
    },
  };
}

let interruptedBy: NodeJS.Signals | undefined;

/** Ends the process as the signal would have, once everything is closed. */
export function dieOfInterrupt(): void {
  if (interruptedBy !== undefined) process.kill(process.pid, interruptedBy);
}
