// Trace events of ATA disks, CD drives and their controllers.
import { defineEvents } from '../../trace/event.ts';

export const trace = defineEvents('ata', {
  command: '{drive:str}: command {command:hex} {name:str}',
  packet: '{drive:str}: packet {operation:hex} {plan:str}',
  failure: '{drive:str}: command {command:hex} failed: {what:str}',
  dma: 'request {request} {kind:str} {bytes} bytes at {offset} in {pieces} pieces',
  reset: '{device:str} reset',
  ideCommand: 'request {request} channel {channel:str} command {command:hex}',
  ideInterrupt: 'request {request} channel {channel:str}',
  ahciIssue: 'port {port} slots {slots:hex}',
  ahciCommand: 'request {request} port {port} slot {slot} command {command:hex} bytes {bytes}',
  ahciComplete: 'request {request} port {port} slot {slot} failed {failed}',
  ahciInterrupt: 'port {port} status {status:hex} enable {enable:hex}',
});
