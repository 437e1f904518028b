// The log of `-d`: what the processor decodes, delivers and resets, and what guests do wrong. Text for people; the
// format is ours. Nothing is computed while an item is off.
import type { Vcpu } from '../cpu/vcpu.ts';
import { blockText, moduleListing } from '../cpu/translator/listing.ts';
import { disassemble } from '../cpu/x86/disassembler.ts';
import { GENERAL_REGISTERS, SEGMENT_REGISTERS } from '../cpu/x86/state.ts';
import { enableEvents, setTraceSink } from '../trace/event.ts';
import type { LogOptions } from './options.ts';

const KIND = ['exception', 'software', 'external', 'NMI', 'INT1'] as const;

export interface MachineLog {
  interrupt(vector: number, error: number, kind: number): void;
  reset(): void;
  note(text: string): void;
}

/** The registers as a person reads them, one line a group. */
export function registerText(vcpu: Vcpu): string {
  const wide = (name: string): string => hex(vcpu.get64(name), 16);
  const named = (name: string, width = 0): string => `${name.toUpperCase().padEnd(width)}=${wide(name)}`;
  const table = (name: 'gdtr' | 'idtr'): string => `${wide(`${name}Base`)} ${hex(vcpu.get32(`${name}Limit`), 4)}`;
  const narrow = (name: string, digits: number): string => hex(vcpu.get32(name), digits);
  const segment = (name: string): string =>
    [narrow(`${name}Selector`, 4), wide(`${name}Base`), narrow(`${name}Limit`, 8), narrow(`${name}Access`, 4)].join(' ');
  const eflags = hex((vcpu.get32('eflags') | vcpu.support.readFlags()) >>> 0, 8);
  const rows = [0, 4, 8, 12].map((start) => GENERAL_REGISTERS.slice(start, start + 4).map((name) => named(name, 3)).join(' '));
  rows.push(`${named('rip')} EFLAGS=${eflags} CPL=${vcpu.get32('cpl')} HLT=${vcpu.get32('halted')}`);
  rows.push(...SEGMENT_REGISTERS.map((name) => `${name.toUpperCase().padEnd(4)}=${segment(name)}`));
  rows.push(`GDT=${table('gdtr')} IDT=${table('idtr')}`);
  rows.push(['cr0', 'cr2', 'cr3', 'cr4', 'efer'].map((name) => named(name)).join(' '));
  return `${rows.join('\n')}\n`;
}

const hex = (value: bigint | number, digits: number): string => value.toString(16).padStart(digits, '0');

export function attachLog(vcpu: Vcpu, { items, write = () => {} }: LogOptions): MachineLog {
  const on = new Set(items);
  if (on.has('int')) vcpu.traceInterrupts = true;
  if (on.has('in_asm')) {
    vcpu.translator.onInstruction = (decoder, offset) => {
      if (offset === 0) write('----------------\nIN:\n');
      const rip = vcpu.get64('rip') + BigInt(offset);
      write(`0x${rip.toString(16).padStart(8, '0')}:  ${disassemble(decoder, rip)}\n`);
    };
  }
  const memory = vcpu.regions.memory;
  if (on.has('op')) vcpu.traceDecoded = (block) => write(blockText(memory, block, vcpu.get64('rip'), vcpu.translator));
  if (on.has('out_asm')) vcpu.regions.onModule = (codes, emitted) => write(moduleListing(codes, emitted, vcpu.translator, vcpu.area));
  if (on.has('exec')) vcpu.traceBlocks = (rip) => write(`Trace: ${rip.toString(16).padStart(16, '0')}\n`);
  if (on.has('guest_errors')) {
    enableEvents('guest_errors_*');
    const former = setTraceSink((event, atNs, values) => {
      if (event.component === 'guestErrors') write(`${event.name} ${event.text(values)}\n`);
      else former(event, atNs, values);
    });
  }
  let count = 0;
  return {
    interrupt(vector, error, kind) {
      const event = `v=${hex(vector, 2)} e=${hex(error, 4)} ${KIND[kind] ?? kind} cpl=${vcpu.get32('cpl')}`;
      const where = `IP=${hex(vcpu.get32('csSelector'), 4)}:${hex(vcpu.get64('rip'), 16)} SP=${hex(vcpu.get64('rsp'), 0)}`;
      write(`${String(count++).padStart(6)}: ${event} ${where} CR2=${hex(vcpu.get64('cr2'), 0)}\n`);
    },
    reset() {
      if (on.has('cpu_reset')) write(`CPU Reset (CPU 0)\n${registerText(vcpu)}`);
    },
    note(text) {
      if (on.has('int') || on.has('cpu_reset')) write(`${text}\n${registerText(vcpu)}`);
    },
  };
}
