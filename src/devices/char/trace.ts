// Trace events of the character devices.
import { defineEvents } from '../../trace/event.ts';

export const trace = defineEvents('char', {
  uartTransmit: 'uart byte {byte:hex}',
  uartReceive: 'uart byte {byte:hex}',
  uartOverrun: 'uart lost byte {byte:hex}',
  debugcon: 'debugcon byte {byte:hex}',
});
