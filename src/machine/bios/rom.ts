// The BIOS's ROM: 64 KiB of real-mode stubs, assembled when a machine without another firmware is made. A stub of interrupt n
// pushes n and writes to a port that only the BIOS device claims (bios.ts); the service is TypeScript's. On the pushed word
// the service leaves what to do next: return to the caller, or call again, now or after the next interrupt.
// The fixed addresses at the end are those of the IBM BIOS that programs look at.
import { RealModeAssembler } from '../boot/real-mode-assembler.ts';

export const BIOS_SEGMENT = 0xf000;
export const BIOS_BYTES = 0x10000;
/** Below are the tables that firmware-tables.ts writes, and its idle handlers. */
const CODE_OFFSET = 0x8000;

/** Ports of the BIOS device, from BIOS_PORT on: an interrupt service, a step of starting up, the 32-bit PCI services. */
export const BIOS_PORT = 0xe4;
export const BIOS_PORTS = { SERVICE: 0, START: 1, PCI32: 2, COUNT: 3 } as const;

/** What the high byte of the pushed word, or AL at START, says afterwards. */
export const ANSWER = { DONE: 0, AGAIN: 1, HALT: 2, RESUME: 3 } as const;
/** AL on the way to START. */
export const START = { RESET: 0, BOOTSTRAP: 1, NEXT_DEVICE: 2 } as const;

/** Interrupts whose stub is nothing but the call of a service. */
export const SERVICE_VECTORS = [0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x1a, 0x40] as const;

export interface BiosRom {
  readonly bytes: Uint8Array;
  /** Offset of the handler of each vector that has one. */
  readonly vectors: ReadonlyMap<number, number>;
  readonly tables: { readonly floppyParameters: number; readonly configuration: number };
}

const MASTER_COMMAND = 0x20;
const SLAVE_COMMAND = 0xa0;
const END_OF_INTERRUPT = 0x20;

/** `push vector` is each one's own, everything up to the IRET is common. */
function serviceStubs(a: RealModeAssembler): void {
  for (const vector of SERVICE_VECTORS) {
    a.label(vectorLabel(vector));
    a.pushImm(vector);
    a.jmp('service');
  }
  a.label('service');
  callService(a, 'service');
  a.iret();
}

const vectorLabel = (vector: number): string => `int${vector.toString(16)}`;

/** The call with its loop; it takes the pushed word off the stack. Interrupts are let in between two calls. */
function callService(a: RealModeAssembler, name: string): void {
  a.label(`${name}.call`);
  a.outAl(BIOS_PORT + BIOS_PORTS.SERVICE);
  a.push('bp');
  a.mov('bp', 'sp');
  a.cmpAtBp(3, ANSWER.AGAIN);
  a.pop('bp');
  a.jcc('c', `${name}.done`);
  a.sti();
  a.jcc('e', `${name}.again`);
  a.hlt();
  a.label(`${name}.again`);
  a.nop();
  a.cli();
  a.jmp(`${name}.call`);
  a.label(`${name}.done`);
  a.alu('add', 'sp', 2);
}

/** A hardware interrupt's stub around `body`; AX is saved. */
function interruptStub(a: RealModeAssembler, vector: number, body: () => void): void {
  a.label(vectorLabel(vector));
  a.push('ax');
  body();
  a.mov('al', END_OF_INTERRUPT);
  if (vector >= 0x70) a.outAl(SLAVE_COMMAND);
  a.outAl(MASTER_COMMAND);
  a.pop('ax');
  a.iret();
}

function callVector(a: RealModeAssembler, vector: number): void {
  a.pushImm(vector);
  callService(a, vectorLabel(vector));
}

function interruptStubs(a: RealModeAssembler): void {
  interruptStub(a, 0x08, () => {
    callVector(a, 0x08);
    for (const segment of ['ds', 'es'] as const) a.pushSegment(segment);
    a.push('dx');
    a.int(0x1c);
    a.pop('dx');
    for (const segment of ['es', 'ds'] as const) a.popSegment(segment);
  });
  interruptStub(a, 0x09, () => {
    a.inAl(0x60);
    a.mov('ah', 0x4f);
    a.stc();
    a.int(0x15); // whoever hooks it may change or swallow the scan code
    a.jcc('nc', 'int09.skip');
    callVector(a, 0x09);
    a.alu('cmp', 'ah', 1);
    a.jcc('ne', 'int09.skip');
    a.int(0x1b);
    a.label('int09.skip');
  });
  interruptStub(a, 0x70, () => {
    callVector(a, 0x70);
    a.alu('cmp', 'al', 1);
    a.jcc('ne', 'int70.skip');
    a.int(0x4a);
    a.label('int70.skip');
  });
  interruptStub(a, 0x75, () => {
    a.outAl(0xf0); // the coprocessor's error latch
    a.int(0x02);
  });
}

/** Power-on and reset, INT 19h, INT 18h: AH keeps which of them it was. When it is DONE, the stack holds where to go. */
function startStubs(a: RealModeAssembler): void {
  for (const [label, kind] of [['reset', START.RESET], ['int19', START.BOOTSTRAP], ['int18', START.NEXT_DEVICE]] as const) {
    a.label(label);
    a.mov('ah', kind);
    a.jmp('start');
  }
  a.label('start');
  a.cli();
  a.cld();
  a.label('start.call');
  a.outAl(BIOS_PORT + BIOS_PORTS.START);
  a.alu('cmp', 'al', ANSWER.AGAIN);
  a.jcc('c', 'start.done');
  a.jcc('e', 'start.again');
  a.alu('cmp', 'al', ANSWER.HALT);
  a.jcc('ne', 'start.resume');
  a.sti();
  a.hlt();
  a.label('start.again');
  a.sti();
  a.nop();
  a.cli();
  a.jmp('start.call');
  a.label('start.resume');
  a.mov('ax', DATA_AREA_SEGMENT);
  a.movToSegment('ds', 'ax');
  a.jmpFarAt(RESUME_VECTOR);
  a.label('start.done');
  a.iret();
}

const DATA_AREA_SEGMENT = 0x40;
const RESUME_VECTOR = 0x67;

/** BIOS32 service directory (Phoenix, 1993) with the PCI services behind it, in 32-bit code. */
function bios32(a: RealModeAssembler): void {
  a.padTo((a.here + 15) & ~15);
  a.label('bios32');
  const header = [0x5f, 0x33, 0x32, 0x5f, 0, 0, 0x0f, 0, 0, 1, 0, 0, 0, 0, 0, 0];
  const entry = a.here + header.length;
  header.splice(4, 2, entry & 0xff, entry >> 8);
  header[10] = -header.reduce((sum, byte) => sum + byte, 0) & 0xff;
  a.data(...header);
  const PCI_ENTRY = entry + 0x20;
  a.data(0x3d, 0x24, 0x50, 0x43, 0x49, 0x75, 0x12); // cmp eax, "$PCI"; jne
  a.data(0xbb, 0x00, 0x00, 0x0f, 0x00, 0xb9, 0x00, 0x00, 0x01, 0x00); // mov ebx, base; mov ecx, length
  a.data(0xba, PCI_ENTRY & 0xff, PCI_ENTRY >> 8, 0, 0, 0x30, 0xc0, 0xcb); // mov edx, entry; xor al, al; retf
  a.data(0xb0, 0x80, 0xcb); // mov al, 80h; retf
  a.padTo(PCI_ENTRY);
  a.data(0xe6, BIOS_PORT + BIOS_PORTS.PCI32, 0x80, 0xfc, 0x01, 0xf5, 0xcb); // out; cmp ah, 1; cmc; retf
}

/** Places that programs know by their address in the IBM BIOS. */
const AT = { POST: 0xe05b, CONFIGURATION: 0xe6f5, FLOPPY_PARAMETERS: 0xefc7, IRET: 0xff53, RESET: 0xfff0, DATE: 0xfff5, MODEL: 0xfffe };
export const MODEL_AT = 0xfc;

/** INT 15h C0h: second 8259, RTC, INT 15h 4Fh is called, EBDA; INT 16h 09h is there. */
const CONFIGURATION = [8, 0, MODEL_AT, 0, 1, 0x74, 0x40, 0, 0, 0];
/** The diskette parameter table of a 1.44 MB drive: step rate, motor times, 512 bytes, 18 sectors, gaps, fill byte. */
const FLOPPY_PARAMETERS = [0xdf, 0x02, 0x25, 0x02, 18, 0x1b, 0xff, 0x6c, 0xf6, 0x0f, 0x08];

export function buildBiosRom(): BiosRom {
  const a = new RealModeAssembler(CODE_OFFSET);
  serviceStubs(a);
  interruptStubs(a);
  startStubs(a);
  bios32(a);
  a.padTo(AT.POST);
  a.jmp('reset');
  a.padTo(AT.CONFIGURATION);
  a.data(...CONFIGURATION);
  a.padTo(AT.FLOPPY_PARAMETERS);
  a.data(...FLOPPY_PARAMETERS);
  a.padTo(AT.IRET);
  a.iret();
  a.padTo(AT.RESET);
  a.jmpFar(BIOS_SEGMENT, 'reset');
  a.data(...new TextEncoder().encode('01/01/26'));
  a.padTo(AT.MODEL);
  a.data(MODEL_AT, 0);
  const bytes = new Uint8Array(BIOS_BYTES);
  bytes.set(a.assemble(), CODE_OFFSET);
  const own = [...SERVICE_VECTORS, 0x08, 0x09, 0x18, 0x19, 0x70, 0x75];
  return {
    bytes,
    vectors: new Map(own.map((vector) => [vector, a.offsetOf(vectorLabel(vector))])),
    tables: { floppyParameters: AT.FLOPPY_PARAMETERS, configuration: AT.CONFIGURATION },
  };
}
