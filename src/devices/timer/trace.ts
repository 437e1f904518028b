// Trace events of the timers.
import { defineEvents } from '../../trace/event.ts';

export const trace = defineEvents('timer', {
  pitLoad: 'pit channel {channel} mode {mode} count {count}',
  pitTick: 'pit channel 0 at {deadline}',
  rtcWrite: 'rtc {index:hex} = {value:hex}',
  hpetArm: 'hpet timer {timer} at {deadline}',
});
