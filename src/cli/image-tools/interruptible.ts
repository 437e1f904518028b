// Runs a long operation that the user may interrupt: it then ends between two steps, everything is closed, and the process
// ends as the signal would have ended it.
import type { ToolIo } from './tool-io.ts';

export interface StopSignal {
  aborted: boolean;
}

export async function interruptible<T>(io: ToolIo, action: (signal: StopSignal) => Promise<T>): Promise<T> {
  const signal: StopSignal = { aborted: false };
  const stopListening = io.onInterrupt?.(() => (signal.aborted = true));
  try {
    return await action(signal);
  } finally {
    stopListening?.();
  }
}
