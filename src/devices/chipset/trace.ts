// Trace events of the chipset.
import { defineEvents } from '../../trace/event.ts';

export const trace = defineEvents('chipset', {
  pam: 'pam region {start:hex} readable {readable} writable {writable}',
  pirq: 'pirq {pirq} to irq {irq}',
  reset: 'reset control {value:hex}',
  pmControl: 'pm1 control {value:hex}',
  pmStatus: 'pm1 status {status:hex} enable {enable:hex}',
  smiCommand: 'smi command {value:hex}',
});
