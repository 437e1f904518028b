// A disk whose boot sector is a program of the tests' own: it loads the rest of itself by CHS and calls the services of a BIOS as
// DOS-like programs do. What it finds it writes on the screen, a line for each; the end is a write to isa-debug-exit.
import { RealModeAssembler } from '../../src/machine/boot/real-mode-assembler.ts';

const SECTOR_BYTES = 512;
const ORIGIN = 0x7c00;
const PROGRAM_SECTORS = 8;
const DISK_SECTORS = 4096;
const MARKED_SECTOR = 100;
export const WRITTEN_SECTOR = 200;
const BUFFER = 0x4000;
const EXIT_PORT = 0x501;

export const MARK = 'a marked sector';

function line(a: RealModeAssembler, text: string): void {
  a.mov('si', `text ${text}`);
  a.call('print');
}

/** What is checked, by the text that says that it is good; the code leaves the carry clear then. */
type Check = readonly [text: string, code: (a: RealModeAssembler) => void];

const checks: readonly Check[] = [
  ['memory size', (a) => {
    a.int(0x12);
    a.alu('cmp', 'ax', 600);
  }],
  ['memory map', (a) => {
    a.data(0x66, 0xb8, 0x20, 0xe8, 0, 0); // mov eax, e820h
    a.data(0x66, 0x31, 0xdb, 0x66, 0xb9, 20, 0, 0, 0); // xor ebx, ebx; mov ecx, 20
    a.data(0x66, 0xba, 0x50, 0x41, 0x4d, 0x53); // mov edx, SMAP
    a.mov('di', BUFFER);
    a.int(0x15);
  }],
  ['EDD', (a) => {
    a.mov('ax', 0x4100);
    a.mov('bx', 0x55aa);
    a.load('dl', 'drive');
    a.int(0x13);
    a.jcc('c', 'no EDD');
    a.alu('cmp', 'bx', 0xaa55);
    a.label('no EDD');
  }],
  ['block read', (a) => {
    packet(a, 0x42, 'read packet');
    a.jcc('c', 'not read');
    a.mov('si', BUFFER);
    a.mov('di', 'mark');
    a.mov('cx', MARK.length >> 1);
    a.repeCmpsw();
    a.jcc('e', 'same');
    a.stc();
    a.label('same');
    a.label('not read');
  }],
  ['block write', (a) => packet(a, 0x43, 'write packet')],
  ['clock', (a) => {
    a.mov('ax', 0);
    a.int(0x1a);
    a.push('dx');
    a.hlt();
    a.hlt();
    a.mov('ax', 0);
    a.int(0x1a);
    a.pop('bx');
    a.alu('cmp', 'bx', 'dx'); // a tick later: borrow
    a.cmc();
  }],
  ['wait', (a) => {
    a.mov('ax', 0x8600);
    a.mov('cx', 0);
    a.mov('dx', 2000);
    a.int(0x15);
  }],
];

function packet(a: RealModeAssembler, operation: number, label: string): void {
  a.mov('ax', operation << 8);
  a.load('dl', 'drive');
  a.mov('si', label);
  a.int(0x13);
}

function program(a: RealModeAssembler): void {
  line(a, 'PROGRAM');
  for (const [text, code] of checks) {
    code(a);
    a.jcc('c', 'failed');
    line(a, text);
  }
  line(a, 'type a key');
  a.mov('ah', 0);
  a.int(0x16);
  a.mov('ah', 0x0e);
  a.int(0x10);
  line(a, ' it was');
  a.mov('al', 3); // the process ends with 7
  a.jmp('exit');
  a.label('failed');
  line(a, 'FAILED');
  a.mov('al', 1);
  a.label('exit');
  a.mov('dx', EXIT_PORT);
  a.outDxAl();
  a.hlt();
}

/** The disk. */
export function biosProgramDisk(): Uint8Array {
  const a = new RealModeAssembler(ORIGIN);
  a.mov('ax', 0);
  for (const segment of ['ds', 'es', 'ss'] as const) a.movToSegment(segment, 'ax');
  a.mov('sp', ORIGIN);
  a.store('drive', 'dl');
  a.mov('ax', 0x0200 | (PROGRAM_SECTORS - 1));
  a.mov('bx', ORIGIN + SECTOR_BYTES);
  a.mov('cx', 2);
  a.mov('dh', 0);
  a.int(0x13);
  a.jmp('program');
  a.label('print'); // SI: NUL-terminated; then a new line
  a.lodsb();
  a.alu('or', 'al', 'al');
  a.jcc('e', 'print.end');
  a.mov('ah', 0x0e);
  a.mov('bx', 7);
  a.int(0x10);
  a.jmp('print');
  a.label('print.end');
  for (const code of [13, 10]) {
    a.mov('ax', 0x0e00 | code);
    a.int(0x10);
  }
  a.ret();
  a.label('drive');
  a.data(0);
  a.padTo(ORIGIN + SECTOR_BYTES - 2);
  a.words(0xaa55);
  a.label('program');
  program(a);
  for (const text of ['PROGRAM', ...checks.map(([name]) => name), 'type a key', ' it was', 'FAILED']) {
    a.label(`text ${text}`);
    a.text(text);
  }
  a.label('mark');
  a.text(MARK);
  for (const [label, sector] of [['read packet', MARKED_SECTOR], ['write packet', WRITTEN_SECTOR]] as const) {
    a.label(label);
    a.words(16, 1, BUFFER, 0, sector, 0, 0, 0);
  }
  const disk = new Uint8Array(DISK_SECTORS * SECTOR_BYTES);
  disk.set(a.assemble());
  disk.set(new TextEncoder().encode(MARK), MARKED_SECTOR * SECTOR_BYTES);
  return disk;
}
