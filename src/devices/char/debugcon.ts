// isa-debugcon: a port that prints what is written to it and reads as a signature (0xe9, the "port E9 hack").
import type { IsaBus } from '../../bus/isa-bus.ts';
import type { CharBackend } from '../../ports/char-backend.ts';
import { trace } from './trace.ts';

export interface DebugconOptions {
  readonly iobase?: number;
  /** What reads give. */
  readonly readback?: number;
  readonly backend?: CharBackend | undefined;
}

/** It has no state: bytes that the back end does not take are lost. */
export function isaDebugcon(bus: IsaBus, { iobase = 0xe9, readback = 0xe9, backend }: DebugconOptions): void {
  const single = new Uint8Array(1);
  bus.claimPorts({
    base: iobase, size: 1, name: 'debugcon',
    read: () => readback & 0xff,
    write: (_at, _size, value) => {
      trace.debugcon?.({ byte: value });
      single[0] = value;
      backend?.write(single);
    },
  });
}
