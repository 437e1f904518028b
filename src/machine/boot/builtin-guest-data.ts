// What the built-in guest says: its strings, the names of processor features and of PCI classes, laid out for the program
// in builtin-guest.ts.
import type { Assembler } from './assembler.ts';

/** CPUID words as the program stores them, and the names of their bits. */
// prettier-ignore
const FEATURES: readonly (readonly [word: number, bit: number, name: string])[] = [
  [0, 0, 'fpu'], [0, 4, 'tsc'], [0, 5, 'msr'], [0, 6, 'pae'], [0, 8, 'cx8'], [0, 9, 'apic'], [0, 15, 'cmov'], [0, 19, 'clflush'],
  [0, 23, 'mmx'], [0, 24, 'fxsr'], [0, 25, 'sse'], [0, 26, 'sse2'], [1, 0, 'sse3'], [1, 1, 'pclmul'], [1, 9, 'ssse3'], [1, 12, 'fma'],
  [1, 13, 'cx16'], [1, 17, 'pcid'], [1, 19, 'sse4.1'], [1, 20, 'sse4.2'], [1, 21, 'x2apic'], [1, 22, 'movbe'], [1, 23, 'popcnt'],
  [1, 25, 'aes'], [1, 26, 'xsave'], [1, 28, 'avx'], [1, 29, 'f16c'], [1, 30, 'rdrand'], [2, 0, 'fsgsbase'], [2, 3, 'bmi1'],
  [2, 5, 'avx2'], [2, 7, 'smep'], [2, 8, 'bmi2'], [2, 19, 'adx'], [2, 20, 'smap'], [2, 29, 'sha'], [3, 11, 'syscall'], [3, 20, 'nx'],
  [3, 29, 'lm'],
];
export const FEATURE_ROW_BYTES = 12;
const FEATURE_NAME_BYTES = FEATURE_ROW_BYTES - 2;

/** Base and sub-class of the usual PCI devices. */
// prettier-ignore
const PCI_CLASSES: readonly (readonly [code: number, name: string])[] = [
  [0x0100, 'SCSI controller'], [0x0101, 'IDE controller'], [0x0106, 'SATA controller'], [0x0108, 'NVMe controller'],
  [0x0200, 'Ethernet controller'], [0x0300, 'VGA display'], [0x0600, 'host bridge'], [0x0601, 'ISA bridge'], [0x0604, 'PCI bridge'],
  [0x0680, 'bridge'], [0x0780, 'communication controller'], [0x0c03, 'USB controller'], [0x0c05, 'SMBus'],
];
export const CLASS_ROW_BYTES = 34;
const CLASS_NAME_BYTES = CLASS_ROW_BYTES - 4;

/** The strings, labelled text.NAME. */
export function guestTexts(a: Assembler): void {
  const lines = {
    banner: '\r\nThis is the built-in guest of nandu: no operating system, just a look at the machine.\r\n\r\n',
    cpu: 'Processor: ',
    vendor: ' (',
    closeFeatures: ')\r\nFeatures:',
    memory: '\r\n\r\nMemory map:\r\n',
    indent: '  ',
    ram: '  RAM       ',
    reserved: '  reserved  ',
    kib: ' KiB\r\n',
    pci: '\r\nPCI devices:\r\n',
    class: 'class ',
    keys: '\r\nType something. Ctrl-D, or q alone on a line, powers off.\r\n',
    prompt: '> ',
    erase: '\b \b',
    newline: '\r\n',
    off: '\r\nPowering off.\r\n',
  };
  for (const [name, value] of Object.entries(lines)) {
    a.label(`text.${name}`);
    a.text(value);
  }
}

function paddedText(a: Assembler, value: string, sizeBytes: number): void {
  a.text(value);
  a.space(sizeBytes - value.length - 1);
}

/** The feature and class tables: rows of fixed size with an end mark. */
export function guestTables(a: Assembler): void {
  a.label('featureTable');
  for (const [word, bit, name] of FEATURES) {
    a.data(word, bit);
    paddedText(a, name, FEATURE_NAME_BYTES);
  }
  a.data(0xff);
  a.label('classTable');
  for (const [code, name] of PCI_CLASSES) {
    a.data(code & 0xff, code >> 8, 0, 0);
    paddedText(a, name, CLASS_NAME_BYTES);
  }
  a.space(CLASS_ROW_BYTES);
}
