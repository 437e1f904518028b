// The bench that a device under the conformance checks stands on: buses, a clock that is moved by hand, lines that lead nowhere.
import { SystemBus } from '../bus/address-space.ts';
import { notConnected } from '../bus/irq.ts';
import { IsaBus } from '../bus/isa-bus.ts';
import { TimerQueue } from '../bus/timer-queue.ts';

export function bench(timeNs: number) {
  const clock = { timeNs, now: () => clock.timeNs };
  const timers = new TimerQueue(clock);
  const bus = new SystemBus();
  const irqs = Array.from({ length: 24 }, () => notConnected);
  return { clock, timers, bus, irqs, isa: new IsaBus(bus, timers, irqs.slice(0, 16)) };
}
