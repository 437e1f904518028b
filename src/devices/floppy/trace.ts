// Trace events of the diskette controller.
import { defineEvents } from '../../trace/event.ts';

export const trace = defineEvents('fdc', {
  command: '{command:hex} {name:str}',
  result: 'status {status0:hex} {status1:hex} at cylinder {cylinder} head {head} sector {sector}',
  format: '{row:str} cylinder {cylinder} head {head}, {sectors} sectors',
  failure: '{what:str}',
});
