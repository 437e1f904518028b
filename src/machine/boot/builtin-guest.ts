// The guest that runs where no kernel is at hand: a 64-bit program of our own on the bare machine. On COM1 it shows the
// processor, the memory map and the PCI devices, then echoes what is typed; Ctrl-D, or q alone on a line, powers off
// through ACPI. It sleeps in HLT between keys. It is a kernel file with the 64-bit Linux entry: boot_params in RSI.
import { layout, le16, le32, le64, u8 } from '../../struct/layout.ts';
import { LOCAL_APIC_ADDRESS, PM_CONTROL_OFFSET, PM_EVENT_PORT } from '../acpi/pc-hardware.ts';
import { E820, E820_ENTRY_BYTES, HIGH_MEMORY } from '../e820.ts';
import { alignUp } from '../guest-ram.ts';
import { Assembler, type Register } from './assembler.ts';
import { SELECTOR } from './boot-state.ts';
import { CLASS_ROW_BYTES, FEATURE_ROW_BYTES, guestTables, guestTexts } from './builtin-guest-data.ts';
import { BOOT_FLAG, bootParams, ENTRY64_OFFSET, HDRS, LOADED_HIGH, setupHeader, XLF_KERNEL_64 } from './linux.ts';

const COM1 = { DATA: 0x3f8, IER: 0x3f9, FCR: 0x3fa, LCR: 0x3fb, MCR: 0x3fc, LSR: 0x3fd } as const;
const LSR = { DATA_READY: 1, THR_EMPTY: 0x20 } as const;
const PIC = { COMMAND: 0x20, DATA: 0x21, SLAVE_COMMAND: 0xa0, SLAVE_DATA: 0xa1, EOI: 0x20 } as const;
const IRQ_VECTOR = 0x20;
const SERIAL_VECTOR = IRQ_VECTOR + 4;
const SPURIOUS_VECTOR = IRQ_VECTOR + 7;
const CONFIG_ADDRESS = 0xcf8;
const CONFIG_DATA = 0xcfc;
const SLEEP_ENABLE = 0x2000; // with SLP_TYP 0: soft off
const KEY = { CTRL_D: 4, BACKSPACE: 8, LF: 10, CR: 13, DELETE: 0x7f } as const;
const LINE_BYTES_MAX = 200;
const STACK_BYTES = 4096;

function outByte(a: Assembler, port: number, value: number): void {
  a.movImm('rdx', port);
  a.movImm('rax', value);
  a.outAl();
}

function print(a: Assembler, label: string): void {
  a.lea('rsi', label);
  a.call('puts');
}

/** putc: AL to the serial line. Keeps everything. */
function characterOutput(a: Assembler): void {
  a.label('putc');
  a.push('rax');
  a.push('rdx');
  a.push('rax');
  a.movImm('rdx', COM1.LSR);
  a.label('putc.wait');
  a.inAl();
  a.alu('and', 'rax', LSR.THR_EMPTY);
  a.jcc('e', 'putc.wait');
  a.pop('rax');
  a.movImm('rdx', COM1.DATA);
  a.outAl();
  a.pop('rdx');
  a.pop('rax');
  a.ret();

  // puts: the string at RSI, up to its NUL; RSI ends behind it
  a.label('puts');
  a.push('rax');
  a.label('puts.next');
  a.load('byte', 'rax', 'rsi');
  a.alu('add', 'rsi', 1);
  a.alu('cmp', 'rax', 0);
  a.jcc('e', 'puts.done');
  a.call('putc');
  a.jmp('puts.next');
  a.label('puts.done');
  a.pop('rax');
  a.ret();
}

/** putHex: the low RCX digits of RAX. putDecimal: RAX. */
function numberOutput(a: Assembler): void {
  a.label('putHex');
  a.push('rax');
  a.push('rcx');
  a.mov('r8', 'rax');
  a.movImm('r9', 0);
  a.label('putHex.split'); // least significant digit first, onto the stack
  a.mov('rax', 'r8');
  a.alu('and', 'rax', 15);
  a.push('rax');
  a.shiftRight('r8', 4);
  a.alu('add', 'r9', 1);
  a.alu('cmp', 'r9', 'rcx');
  a.jcc('ne', 'putHex.split');
  a.label('putHex.digit');
  a.pop('rax');
  a.alu('add', 'rax', 0x30);
  a.alu('cmp', 'rax', 0x3a);
  a.jcc('l', 'putHex.put');
  a.alu('add', 'rax', 0x61 - 0x3a);
  a.label('putHex.put');
  a.call('putc');
  a.alu('sub', 'r9', 1);
  a.jcc('ne', 'putHex.digit');
  a.pop('rcx');
  a.pop('rax');
  a.ret();

  a.label('putDecimal');
  a.push('rax');
  a.movImm('r8', 10);
  a.movImm('r9', 0);
  a.label('putDecimal.split');
  a.movImm('rdx', 0);
  a.div('r8');
  a.push('rdx');
  a.alu('add', 'r9', 1);
  a.alu('cmp', 'rax', 0);
  a.jcc('ne', 'putDecimal.split');
  a.label('putDecimal.digit');
  a.pop('rax');
  a.alu('add', 'rax', 0x30);
  a.call('putc');
  a.alu('sub', 'r9', 1);
  a.jcc('ne', 'putDecimal.digit');
  a.pop('rax');
  a.ret();
}

/** CPUID with the leaf in RAX; the given registers go to consecutive doublewords at [RDI], which moves behind them. */
function storeCpuid(a: Assembler, leaf: number, registers: readonly Register[]): void {
  a.movImm('rax', leaf);
  a.movImm('rcx', 0);
  a.cpuid();
  registers.forEach((register, n) => a.store('dword', 'rdi', 4 * n, register));
  a.alu('add', 'rdi', 4 * registers.length);
}

function showProcessor(a: Assembler): void {
  a.label('showProcessor');
  a.push('rbx');
  print(a, 'text.cpu');
  a.lea('rdi', 'scratch');
  for (const leaf of [0x80000002, 0x80000003, 0x80000004]) storeCpuid(a, leaf, ['rax', 'rbx', 'rcx', 'rdx']);
  print(a, 'scratch');
  print(a, 'text.vendor');
  a.lea('rdi', 'vendor');
  storeCpuid(a, 0, ['rbx', 'rdx', 'rcx']);
  print(a, 'vendor');
  print(a, 'text.closeFeatures');
  a.lea('rdi', 'features');
  storeCpuid(a, 1, ['rdx', 'rcx']);
  a.movImm('rax', 0);
  a.cpuid();
  a.mov('r8', 'rax');
  storeCpuid(a, 7, ['rbx']);
  a.alu('cmp', 'r8', 7); // a leaf beyond the last one answers with something else
  a.jcc('ge', 'feature.leaf7');
  a.movImm('rax', 0);
  a.store('dword', 'rdi', -4, 'rax');
  a.label('feature.leaf7');
  storeCpuid(a, 0x80000001, ['rdx']);

  a.lea('rdi', 'featureTable');
  a.label('feature.next');
  a.load('byte', 'rax', 'rdi', 0);
  a.alu('cmp', 'rax', 0xff);
  a.jcc('e', 'feature.done');
  a.lea('rcx', 'features');
  a.shiftLeft('rax', 2);
  a.alu('add', 'rcx', 'rax');
  a.load('dword', 'rax', 'rcx');
  a.load('byte', 'rcx', 'rdi', 1);
  a.bitTest('rax', 'rcx');
  a.jcc('nc', 'feature.skip');
  a.mov('rsi', 'rdi');
  a.alu('add', 'rsi', 2);
  a.movImm('rax', 0x20);
  a.call('putc');
  a.call('puts');
  a.label('feature.skip');
  a.alu('add', 'rdi', FEATURE_ROW_BYTES);
  a.jmp('feature.next');
  a.label('feature.done');
  a.pop('rbx');
  a.ret();
}

/** RBX points to boot_params. */
function showMemory(a: Assembler): void {
  a.label('showMemory');
  print(a, 'text.memory');
  a.mov('rdi', 'rbx');
  a.alu('add', 'rdi', bootParams.fields.e820Entries.offset);
  a.load('byte', 'rbp', 'rdi');
  a.mov('rdi', 'rbx');
  a.alu('add', 'rdi', bootParams.fields.e820Table.offset);
  a.label('memory.next');
  print(a, 'text.indent');
  a.movImm('rcx', 12);
  a.load('qword', 'rax', 'rdi', 0);
  a.call('putHex');
  a.movImm('rax', 0x2d);
  a.call('putc');
  a.load('qword', 'rax', 'rdi', 0);
  a.load('qword', 'rdx', 'rdi', 8);
  a.alu('add', 'rax', 'rdx');
  a.alu('sub', 'rax', 1);
  a.call('putHex');
  a.lea('rsi', 'text.ram');
  a.load('dword', 'rax', 'rdi', 16);
  a.alu('cmp', 'rax', E820.RAM);
  a.jcc('e', 'memory.type');
  a.lea('rsi', 'text.reserved');
  a.label('memory.type');
  a.call('puts');
  a.load('qword', 'rax', 'rdi', 8);
  a.shiftRight('rax', 10);
  a.call('putDecimal');
  print(a, 'text.kib');
  a.alu('add', 'rdi', E820_ENTRY_BYTES);
  a.alu('sub', 'rbp', 1);
  a.jcc('ne', 'memory.next');
  a.ret();
}

/** Configuration space of the function in RBX (bus << 8 | device << 3 | function), doubleword at RCX, to RAX. */
function readConfiguration(a: Assembler): void {
  a.label('readConfig');
  a.push('rdx');
  a.mov('rax', 'rbx');
  a.shiftLeft('rax', 8);
  a.alu('or', 'rax', 'rcx');
  a.alu('or', 'rax', 0x80000000 | 0); // sign-extended; OUT takes the low half
  a.movImm('rdx', CONFIG_ADDRESS);
  a.outEax();
  a.movImm('rdx', CONFIG_DATA);
  a.inEax();
  a.pop('rdx');
  a.ret();
}

function readConfig(a: Assembler, register: number): void {
  a.movImm('rcx', register);
  a.call('readConfig');
}

/** All functions of bus 0 up to the last bus that a bridge announces (R12). */
function showPci(a: Assembler): void {
  a.label('showPci');
  a.push('rbx');
  print(a, 'text.pci');
  a.movImm('rbx', 0);
  a.movImm('r12', 0);
  a.label('pci.function');
  readConfig(a, 0);
  a.mov('rbp', 'rax');
  a.alu('and', 'rax', 0xffff);
  a.alu('cmp', 'rax', 0xffff);
  a.jcc('e', 'pci.next');
  a.call('showFunction');
  a.label('pci.next');
  a.alu('add', 'rbx', 1);
  a.mov('rax', 'rbx');
  a.shiftRight('rax', 8);
  a.alu('cmp', 'rax', 'r12');
  a.jcc('be', 'pci.function');
  a.pop('rbx');
  a.ret();
}

/** One line for the function in RBX with its identifier in RBP. A bridge raises R12 to its subordinate bus. */
function showFunction(a: Assembler): void {
  const putPart = (shift: number, mask: number, digits: number, separator: string): void => {
    a.shiftRight('rax', shift);
    a.alu('and', 'rax', mask);
    a.movImm('rcx', digits);
    a.call('putHex');
    a.movImm('rax', separator.charCodeAt(0));
    a.call('putc');
  };
  a.label('showFunction');
  print(a, 'text.indent');
  a.mov('rax', 'rbx');
  putPart(8, 0xff, 2, ':');
  a.mov('rax', 'rbx');
  putPart(3, 0x1f, 2, '.');
  a.mov('rax', 'rbx');
  putPart(0, 7, 1, ' ');
  a.mov('rax', 'rbp');
  putPart(0, 0xffff, 4, ':');
  a.mov('rax', 'rbp');
  putPart(16, 0xffff, 4, ' ');
  readConfig(a, 8);
  a.shiftRight('rax', 16);
  a.call('putClass');
  print(a, 'text.newline');
  readConfig(a, 0xc);
  a.shiftRight('rax', 16);
  a.alu('and', 'rax', 0x7f);
  a.alu('cmp', 'rax', 1);
  a.jcc('ne', 'showFunction.done');
  readConfig(a, 0x18);
  a.shiftRight('rax', 16);
  a.alu('and', 'rax', 0xff);
  a.alu('cmp', 'rax', 'r12');
  a.jcc('be', 'showFunction.done');
  a.mov('r12', 'rax');
  a.label('showFunction.done');
  a.ret();

  // putClass: the name of the class code in RAX, or its digits
  a.label('putClass');
  a.lea('rdi', 'classTable');
  a.label('putClass.next');
  a.load('dword', 'rcx', 'rdi', 0);
  a.mov('rsi', 'rdi');
  a.alu('add', 'rsi', 4);
  a.alu('cmp', 'rcx', 'rax');
  a.jcc('e', 'putClass.found');
  a.alu('add', 'rdi', CLASS_ROW_BYTES);
  a.alu('cmp', 'rcx', 0);
  a.jcc('ne', 'putClass.next');
  print(a, 'text.class');
  a.movImm('rcx', 4);
  a.call('putHex');
  a.ret();
  a.label('putClass.found');
  a.call('puts');
  a.ret();
}

/** readKey: waits for a character, asleep, and returns it in RAX. */
function keyboardInput(a: Assembler): void {
  a.label('readKey');
  a.cli();
  a.movImm('rdx', COM1.LSR);
  a.inAl();
  a.alu('and', 'rax', LSR.DATA_READY);
  a.jcc('ne', 'readKey.ready');
  a.sti();
  a.hlt(); // STI holds the interrupt off until HLT has begun, so none is lost
  a.jmp('readKey');
  a.label('readKey.ready');
  a.movImm('rdx', COM1.DATA);
  a.movImm('rax', 0);
  a.inAl();
  a.ret();

  a.label('onInterrupt');
  a.push('rax');
  a.push('rdx');
  outByte(a, PIC.COMMAND, PIC.EOI);
  a.pop('rdx');
  a.pop('rax');
  a.iretq();
}

/** R13 counts the characters of the line, R14 is its first one. */
function echoLoop(a: Assembler): void {
  a.label('echo');
  print(a, 'text.prompt');
  a.movImm('r13', 0);
  a.movImm('r14', 0);
  a.label('echo.key');
  a.call('readKey');
  a.alu('cmp', 'rax', KEY.CTRL_D);
  a.jcc('e', 'powerOff');
  a.alu('cmp', 'rax', KEY.CR);
  a.jcc('e', 'echo.line');
  a.alu('cmp', 'rax', KEY.LF);
  a.jcc('e', 'echo.line');
  a.alu('cmp', 'rax', KEY.BACKSPACE);
  a.jcc('e', 'echo.erase');
  a.alu('cmp', 'rax', KEY.DELETE);
  a.jcc('e', 'echo.erase');
  a.alu('cmp', 'r13', LINE_BYTES_MAX);
  a.jcc('e', 'echo.key');
  a.alu('cmp', 'r13', 0);
  a.jcc('ne', 'echo.put');
  a.mov('r14', 'rax');
  a.label('echo.put');
  a.alu('add', 'r13', 1);
  a.call('putc');
  a.jmp('echo.key');

  a.label('echo.erase');
  a.alu('cmp', 'r13', 0);
  a.jcc('e', 'echo.key');
  a.alu('sub', 'r13', 1);
  print(a, 'text.erase');
  a.jmp('echo.key');

  a.label('echo.line');
  print(a, 'text.newline');
  a.alu('cmp', 'r13', 1);
  a.jcc('ne', 'echo');
  a.alu('cmp', 'r14', 'q'.charCodeAt(0));
  a.jcc('ne', 'echo');

  a.label('powerOff');
  print(a, 'text.off');
  a.movImm('rdx', PM_EVENT_PORT + PM_CONTROL_OFFSET);
  a.movImm('rax', SLEEP_ENABLE);
  a.outAx();
  a.label('halt');
  a.cli();
  a.hlt();
  a.jmp('halt');
}

/** Local APIC registers: enabled, with the 8259s on LINT0, in case nobody has done it. */
const LOCAL_APIC = [
  { register: 0xf0, value: 0x1ff },
  { register: 0x350, value: 0x700 },
];

/** Serial line at 115200 8N1 with receive interrupts; of the interrupt lines only IRQ 4 is open. */
function initialise(a: Assembler): void {
  const ICW = [
    [PIC.COMMAND, 0x11], [PIC.SLAVE_COMMAND, 0x11], [PIC.DATA, IRQ_VECTOR], [PIC.SLAVE_DATA, IRQ_VECTOR + 8],
    [PIC.DATA, 4], [PIC.SLAVE_DATA, 2], [PIC.DATA, 1], [PIC.SLAVE_DATA, 1], [PIC.DATA, 0xef], [PIC.SLAVE_DATA, 0xff],
  ] as const;
  const SERIAL = [
    [COM1.LCR, 0x80], [COM1.DATA, 1], [COM1.IER, 0], [COM1.LCR, 3], [COM1.FCR, 7], [COM1.MCR, 0xb], [COM1.IER, 1],
  ] as const;
  for (const [port, value] of [...ICW, ...SERIAL]) outByte(a, port, value);
  for (const { register, value } of LOCAL_APIC) {
    a.movImm('rdi', LOCAL_APIC_ADDRESS + register);
    a.movImm('rax', value);
    a.store('dword', 'rdi', 0, 'rax');
  }
}

// prettier-ignore
const gate = layout('interrupt gate', {
  offsetLow: le16(0), selector: le16(2), access: u8(5), offsetMiddle: le16(6), offsetHigh: le32(8),
}, 16);
const tableRegister = layout('IDTR', { limit: le16(0), base: le64(2) });
const PRESENT_INTERRUPT_GATE = 0x8e;
const IDT_BYTES = (SPURIOUS_VECTOR + 1) * gate.sizeBytes;

/** What the program writes to. */
function variables(a: Assembler): void {
  a.label('idtr');
  a.space(tableRegister.sizeBytes);
  a.label('idt');
  a.space(IDT_BYTES);
  a.label('scratch');
  a.space(64);
  a.label('vendor');
  a.space(16);
  a.label('features');
  a.space(16);
  a.space(STACK_BYTES);
  a.label('stackTop');
}

/** Fills in what holds absolute addresses, for code that will lie at `address`. */
function patchInterruptTable(a: Assembler, code: Uint8Array, address: number): void {
  const handler = address + a.offsetOf('onInterrupt');
  const values = { offsetLow: handler & 0xffff, offsetMiddle: handler >>> 16, selector: SELECTOR.CODE, access: PRESENT_INTERRUPT_GATE };
  for (const vector of [SERIAL_VECTOR, SPURIOUS_VECTOR]) gate.write(code, values, a.offsetOf('idt') + vector * gate.sizeBytes);
  tableRegister.write(code, { limit: IDT_BYTES - 1, base: BigInt(address + a.offsetOf('idt')) }, a.offsetOf('idtr'));
}

/** The program, entered at its first byte, as it lies at `address`. */
function assembleProgram(address: number): Uint8Array {
  const a = new Assembler();
  a.lea('rsp', 'stackTop');
  a.lidt('idtr');
  a.mov('rbx', 'rsi');
  initialise(a);
  print(a, 'text.banner');
  a.call('showProcessor');
  a.call('showMemory');
  a.call('showPci');
  print(a, 'text.keys');
  echoLoop(a);
  characterOutput(a);
  numberOutput(a);
  showProcessor(a);
  showMemory(a);
  readConfiguration(a);
  showPci(a);
  showFunction(a);
  keyboardInput(a);
  guestTexts(a);
  guestTables(a);
  variables(a);
  const code = a.assemble();
  patchInterruptTable(a, code, address);
  return code;
}

/** 32-bit code for a processor without long mode: it stops. */
const STOP_32 = [0xfa, 0xf4, 0xeb, 0xfc]; // cli; hlt; jmp back to cli

/** The guest as a kernel file: a bzImage whose 64-bit entry is the program. */
export function builtinGuest(): Uint8Array {
  const SETUP_BYTES = 1024;
  const program = assembleProgram(HIGH_MEMORY + ENTRY64_OFFSET);
  const file = new Uint8Array(alignUp(SETUP_BYTES + ENTRY64_OFFSET + program.length, 16));
  const code = file.length - SETUP_BYTES;
  setupHeader.write(file, {
    setupSects: SETUP_BYTES / 512 - 1,
    syssize: code / 16,
    bootFlag: BOOT_FLAG,
    jumpShort: 0xeb,
    jumpDistance: setupHeader.sizeBytes - 0x202,
    header: HDRS,
    version: 0x20c,
    loadflags: LOADED_HIGH,
    code32Start: HIGH_MEMORY,
    initrdAddrMax: 0x7fffffff,
    kernelAlignment: 4096,
    xloadflags: XLF_KERNEL_64,
    cmdlineSize: 2047,
    prefAddress: BigInt(HIGH_MEMORY),
    initSize: code,
  });
  file.set(STOP_32, SETUP_BYTES);
  file.set(program, SETUP_BYTES + ENTRY64_OFFSET);
  return file;
}
