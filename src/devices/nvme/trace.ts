// Trace events of the NVMe controller.
import { defineEvents } from '../../trace/event.ts';

export const trace = defineEvents('nvme', {
  command: 'queue {queue} command {command} opcode {opcode:hex}',
  failure: 'opcode {opcode:hex} failed: {what:str}',
  reset: 'controller reset',
});
