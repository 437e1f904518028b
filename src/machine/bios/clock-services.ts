// INT 1Ah and the timer tick: ticks since midnight in the BIOS data area, and the real-time clock through its ports.
import type { AddressSpace } from '../../bus/address-space.ts';
import { BDA } from './data-area.ts';
import type { GuestMemory } from './guest-memory.ts';
import type { Answer, ServiceCall } from './service.ts';

export const TICKS_A_DAY = 0x1800b0;
/** 1,193,182 Hz divided by 65,536, a second. */
const TICKS_A_SECOND = 1_193_182 / 65_536;
const CMOS_INDEX = 0x70;
const CMOS_DATA = 0x71;
const NMI_OFF = 0x80;
export const CMOS = { SECOND: 0, MINUTE: 2, HOUR: 4, DAY: 7, MONTH: 8, YEAR: 9, A: 0x0a, B: 0x0b, C: 0x0c, SHUTDOWN: 0x0f, CENTURY: 0x32 };
const ALARM = { SECOND: 1, MINUTE: 3, HOUR: 5 } as const;
const B = { ALARM: 0x20, SET: 0x80, DAYLIGHT: 1 } as const;
const C_ALARM = 0x20;
const ALARM_SET = 1;

export function readCmos(ports: AddressSpace, index: number): number {
  ports.write(CMOS_INDEX, 1, index | NMI_OFF);
  const value = ports.read(CMOS_DATA, 1);
  ports.write(CMOS_INDEX, 1, 0x0d);
  return value;
}
export function writeCmos(ports: AddressSpace, index: number, value: number): void {
  ports.write(CMOS_INDEX, 1, index | NMI_OFF);
  ports.write(CMOS_DATA, 1, value);
  ports.write(CMOS_INDEX, 1, 0x0d);
}

const fromBcd = (value: number): number => (value >> 4) * 10 + (value & 15);

/** The tick count of the time that the clock shows. */
export function startTicks(memory: GuestMemory, ports: AddressSpace): void {
  const [hour = 0, minute = 0, second = 0] = [CMOS.HOUR, CMOS.MINUTE, CMOS.SECOND].map((index) => fromBcd(readCmos(ports, index)));
  const ticks = Math.floor(((hour * 60 + minute) * 60 + second) * TICKS_A_SECOND);
  memory.write32(BDA.TICKS, Math.min(ticks, TICKS_A_DAY - 1));
  memory.write8(BDA.MIDNIGHT, 0);
}

/** IRQ 0. */
export function tick(memory: GuestMemory): void {
  const ticks = memory.read32(BDA.TICKS) + 1;
  if (ticks >= TICKS_A_DAY) memory.write8(BDA.MIDNIGHT, 1);
  memory.write32(BDA.TICKS, ticks >= TICKS_A_DAY ? 0 : ticks);
}

/** IRQ 8: whether the alarm went off. */
export function clockInterrupt(ports: AddressSpace): boolean {
  return (readCmos(ports, CMOS.C) & readCmos(ports, CMOS.B) & C_ALARM) !== 0;
}

export function timeService(call: ServiceCall): Answer {
  const { registers: r, memory, ports } = call;
  switch (r.ah) {
    case 0x00: {
      const ticks = memory.read32(BDA.TICKS);
      r.cx = ticks >>> 16;
      r.dx = ticks;
      r.al = memory.read8(BDA.MIDNIGHT);
      memory.write8(BDA.MIDNIGHT, 0);
      return call.succeed();
    }
    case 0x01:
      memory.write32(BDA.TICKS, ((r.cx << 16) | r.dx) >>> 0);
      memory.write8(BDA.MIDNIGHT, 0);
      return call.succeed();
    case 0x02:
      [r.ch, r.cl, r.dh] = [readCmos(ports, CMOS.HOUR), readCmos(ports, CMOS.MINUTE), readCmos(ports, CMOS.SECOND)];
      r.dl = readCmos(ports, CMOS.B) & B.DAYLIGHT;
      return call.succeed();
    case 0x03:
      setClock(ports, [[CMOS.HOUR, r.ch], [CMOS.MINUTE, r.cl], [CMOS.SECOND, r.dh]]);
      return call.succeed();
    case 0x04:
      [r.ch, r.cl] = [readCmos(ports, CMOS.CENTURY), readCmos(ports, CMOS.YEAR)];
      [r.dh, r.dl] = [readCmos(ports, CMOS.MONTH), readCmos(ports, CMOS.DAY)];
      return call.succeed();
    case 0x05:
      setClock(ports, [[CMOS.CENTURY, r.ch], [CMOS.YEAR, r.cl], [CMOS.MONTH, r.dh], [CMOS.DAY, r.dl]]);
      return call.succeed();
    case 0x06:
    case 0x07:
      return setAlarm(call);
    default:
      return call.unsupported();
  }
}

function setClock(ports: AddressSpace, values: readonly (readonly [number, number])[]): void {
  const control = readCmos(ports, CMOS.B);
  writeCmos(ports, CMOS.B, control | B.SET);
  for (const [index, value] of values) writeCmos(ports, index, value);
  writeCmos(ports, CMOS.B, control & ~B.SET);
}

/** 06h sets an alarm, which must not be set already; 07h cancels it. INT 4Ah is called when it goes off. */
function setAlarm(call: ServiceCall): Answer {
  const { registers: r, ports } = call;
  const control = readCmos(ports, CMOS.B);
  if (r.ah === 0x07) {
    writeCmos(ports, CMOS.B, control & ~B.ALARM);
    return call.succeed();
  }
  if ((control & B.ALARM) !== 0) return call.unsupported(ALARM_SET);
  for (const [index, value] of [[ALARM.HOUR, r.ch], [ALARM.MINUTE, r.cl], [ALARM.SECOND, r.dh]] as const) writeCmos(ports, index, value);
  writeCmos(ports, CMOS.B, control | B.ALARM);
  ports.write(0xa1, 1, ports.read(0xa1, 1) & 0xfe); // IRQ 8 open
  return call.succeed();
}
