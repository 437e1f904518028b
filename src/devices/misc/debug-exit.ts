// isa-debug-exit: a write ends the emulator with status (value << 1) | 1. For test guests.
import type { IsaBus } from '../../bus/isa-bus.ts';

export interface DebugExitOptions {
  readonly iobase?: number;
  readonly iosize?: number;
  readonly exit: (status: number) => void;
}

export function isaDebugExit(bus: IsaBus, { iobase = 0x501, iosize = 2, exit }: DebugExitOptions): void {
  bus.claimPorts({
    base: iobase, size: iosize, name: 'debug-exit', widthMax: 4,
    read: () => 0,
    write: (_at, _size, value) => exit((((value << 1) | 1) & 0xff) >>> 0),
  });
}
