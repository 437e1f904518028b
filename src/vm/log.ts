// The log of `-d`: what the processor decodes, delivers and resets, and what guests do wrong. Text for people; the
// format is ours. Nothing is computed while an item is off.
import type { Vcpu } from '../cpu/vcpu.ts';
import { disassemble } from '../cpu/x86/disassembler.ts';
import { GENERAL_REGISTERS, SEGMENT_REGISTERS } from '../cpu/x86/state.ts';
import { enableEvents, setTraceSink, textSink } from '../trace/event.ts';
import type { LogOptions } from './options.ts';

const KIND = ['exception', 'software', 'external', 'NMI', 'INT1'] as const;

export interface MachineLog {
  interrupt(vector: number, error: number, kind: number): void;
  reset(): void;
  note(text: string): void;
}

/** The registers as a person reads them, one line a group. */
export function registerText(vcpu: Vcpu): string {
  const hex = (value: bigint): string => value.toString(16).padStart(16, '0');
  const rows: string[] = [];
  for (let n = 0; n < 16; n += 4) rows.push(GENERAL_REGISTERS.slice(n, n + 4).map((name) => `${name.toUpperCase().padEnd(3)}=${hex(vcpu.get64(name))}`).join(' '));
  rows.push(`RIP=${hex(vcpu.get64('rip'))} EFLAGS=${(vcpu.get32('eflags') | vcpu.support.readFlags()).toString(16).padStart(8, '0')} CPL=${vcpu.get32('cpl')} HLT=${vcpu.get32('halted')}`);
  for (const name of SEGMENT_REGISTERS) {
    rows.push(`${name.toUpperCase().padEnd(4)}=${vcpu.get32(`${name}Selector`).toString(16).padStart(4, '0')} ${hex(vcpu.get64(`${name}Base`))} ` +
      `${vcpu.get32(`${name}Limit`).toString(16).padStart(8, '0')} ${vcpu.get32(`${name}Access`).toString(16).padStart(4, '0')}`);
  }
  rows.push(`GDT=${hex(vcpu.get64('gdtrBase'))} ${vcpu.get32('gdtrLimit').toString(16).padStart(4, '0')} IDT=${hex(vcpu.get64('idtrBase'))} ${vcpu.get32('idtrLimit').toString(16).padStart(4, '0')}`);
  rows.push(['cr0', 'cr2', 'cr3', 'cr4', 'efer'].map((name) => `${name.toUpperCase()}=${hex(vcpu.get64(name))}`).join(' '));
  return `${rows.join('\n')}\n`;
}

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
  if (on.has('exec')) vcpu.traceBlocks = (rip) => write(`Trace: ${rip.toString(16).padStart(16, '0')}\n`);
  if (on.has('guest_errors')) {
    enableEvents('guestErrors:*');
    setTraceSink(textSink((line) => write(`${line}\n`)));
  }
  let count = 0;
  return {
    interrupt(vector, error, kind) {
      write(`${String(count++).padStart(6)}: v=${vector.toString(16).padStart(2, '0')} e=${error.toString(16).padStart(4, '0')} ${KIND[kind] ?? kind} cpl=${vcpu.get32('cpl')} ` +
        `IP=${vcpu.get32('csSelector').toString(16).padStart(4, '0')}:${vcpu.get64('rip').toString(16).padStart(16, '0')} SP=${vcpu.get64('rsp').toString(16)} CR2=${vcpu.get64('cr2').toString(16)}\n`);
    },
    reset() {
      if (on.has('cpu_reset')) write(`CPU Reset (CPU 0)\n${registerText(vcpu)}`);
    },
    note(text) {
      if (on.has('int') || on.has('cpu_reset')) write(`${text}\n${registerText(vcpu)}`);
    },
  };
}
