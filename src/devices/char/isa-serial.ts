// A 16550A on the ISA bus: COM1 ... COM4.
import type { IsaBus } from '../../bus/isa-bus.ts';
import type { ResetTree } from '../../bus/reset-tree.ts';
import type { CharBackend } from '../../ports/char-backend.ts';
import { Uart16550, uartRegisters } from './uart16550.ts';

/** Where COM1 ... COM4 sit unless told otherwise. */
export const ISA_SERIAL_DEFAULTS = [
  { iobase: 0x3f8, irq: 4 },
  { iobase: 0x2f8, irq: 3 },
  { iobase: 0x3e8, irq: 4 },
  { iobase: 0x2e8, irq: 3 },
] as const;

export interface IsaSerialOptions {
  readonly iobase: number;
  readonly irq: number;
  readonly backend?: CharBackend | undefined;
}

export function isaSerial(bus: IsaBus, { iobase, irq, backend }: IsaSerialOptions): Uart16550 {
  const uart = new Uart16550({ irq: bus.irq(irq), timers: bus.timers, backend });
  bus.claimPorts({
    base: iobase, size: 8, name: 'serial', registers: uartRegisters,
    read: (at) => uartRegisters.read(uart, at), write: (at, _size, value) => uartRegisters.write(uart, at, value),
  });
  return uart;
}

/** A board's own ports, COM1 first; undefined for one that is not there. Returns the number up to the last one that is. */
export function addSerialPorts(bus: IsaBus, devices: ResetTree, backends: readonly (CharBackend | undefined)[]): number {
  let count = 0;
  for (const [n, backend] of backends.slice(0, ISA_SERIAL_DEFAULTS.length).entries()) {
    if (backend === undefined) continue;
    count = n + 1;
    devices.add(`serial${n}`, isaSerial(bus, { ...ISA_SERIAL_DEFAULTS[n]!, backend }));
  }
  return count;
}
