// Trace events of the NVMe controller.
import { defineEvents } from '../../trace/event.ts';

export const trace = defineEvents('nvme', {
  doorbell: 'queue {queue} completion {completion} value {value}',
  command: 'request {request} queue {queue} command {command} opcode {opcode:hex}',
  completion: 'request {request} queue {queue} command {command} status {status:hex}',
  interrupt: 'queue {queue} vector {vector}',
  failure: 'opcode {opcode:hex} failed: {what:str}',
  reset: 'controller reset',
});
