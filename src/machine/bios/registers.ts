// The processor's registers as a real-mode service sees them: AX and its halves, segments, the flags that it returns. A view of
// the vCPU's state (cpu/x86/state.ts), which is complete in memory while a port is written.
import { CPU_STATE_BYTES, cpuOffset } from '../../cpu/x86/state.ts';

type SegmentName = 'es' | 'cs' | 'ss' | 'ds';
export const FLAG = { CARRY: 0x01, ZERO: 0x40, INTERRUPT: 0x200 } as const;

const AT = {
  ax: cpuOffset('rax'), cx: cpuOffset('rcx'), dx: cpuOffset('rdx'), bx: cpuOffset('rbx'),
  sp: cpuOffset('rsp'), bp: cpuOffset('rbp'), si: cpuOffset('rsi'), di: cpuOffset('rdi'),
  a20: cpuOffset('a20Mask'), eflags: cpuOffset('eflags'), cr0: cpuOffset('cr0'),
};
const SEGMENT_AT = Object.fromEntries(
  (['es', 'cs', 'ss', 'ds'] as const).map((name) => [
    name,
    { selector: cpuOffset(`${name}Selector`), base: cpuOffset(`${name}Base`), access: cpuOffset(`${name}Access`) },
  ]),
) as Record<SegmentName, { readonly selector: number; readonly base: number; readonly access: number }>;

const BIG = 0x4000; // access: the D/B bit
const CR0_PE = 1;
const EFLAGS_VM = 0x20000;

export class RealModeRegisters {
  readonly #view: DataView;

  /** `view` begins where the vCPU's area begins. */
  constructor(view: DataView = new DataView(new ArrayBuffer(CPU_STATE_BYTES))) {
    this.#view = view;
  }

  #get16(at: number): number {
    return this.#view.getUint16(at, true);
  }
  #set16(at: number, value: number): void {
    this.#view.setUint16(at, value & 0xffff, true);
  }
  /** A write to a 32-bit register clears the upper half, as the processor's does. */
  #set32(at: number, value: number): void {
    this.#view.setUint32(at, value >>> 0, true);
    this.#view.setUint32(at + 4, 0, true);
  }

  get ax(): number { return this.#get16(AT.ax); }
  set ax(value: number) { this.#set16(AT.ax, value); }
  get bx(): number { return this.#get16(AT.bx); }
  set bx(value: number) { this.#set16(AT.bx, value); }
  get cx(): number { return this.#get16(AT.cx); }
  set cx(value: number) { this.#set16(AT.cx, value); }
  get dx(): number { return this.#get16(AT.dx); }
  set dx(value: number) { this.#set16(AT.dx, value); }
  get si(): number { return this.#get16(AT.si); }
  set si(value: number) { this.#set16(AT.si, value); }
  get di(): number { return this.#get16(AT.di); }
  set di(value: number) { this.#set16(AT.di, value); }
  get bp(): number { return this.#get16(AT.bp); }
  set bp(value: number) { this.#set16(AT.bp, value); }

  get al(): number { return this.#view.getUint8(AT.ax); }
  set al(value: number) { this.#view.setUint8(AT.ax, value); }
  get ah(): number { return this.#view.getUint8(AT.ax + 1); }
  set ah(value: number) { this.#view.setUint8(AT.ax + 1, value); }
  get bl(): number { return this.#view.getUint8(AT.bx); }
  set bl(value: number) { this.#view.setUint8(AT.bx, value); }
  get bh(): number { return this.#view.getUint8(AT.bx + 1); }
  set bh(value: number) { this.#view.setUint8(AT.bx + 1, value); }
  get cl(): number { return this.#view.getUint8(AT.cx); }
  set cl(value: number) { this.#view.setUint8(AT.cx, value); }
  get ch(): number { return this.#view.getUint8(AT.cx + 1); }
  set ch(value: number) { this.#view.setUint8(AT.cx + 1, value); }
  get dl(): number { return this.#view.getUint8(AT.dx); }
  set dl(value: number) { this.#view.setUint8(AT.dx, value); }
  get dh(): number { return this.#view.getUint8(AT.dx + 1); }
  set dh(value: number) { this.#view.setUint8(AT.dx + 1, value); }

  get eax(): number { return this.#view.getUint32(AT.ax, true); }
  set eax(value: number) { this.#set32(AT.ax, value); }
  get ebx(): number { return this.#view.getUint32(AT.bx, true); }
  set ebx(value: number) { this.#set32(AT.bx, value); }
  get ecx(): number { return this.#view.getUint32(AT.cx, true); }
  set ecx(value: number) { this.#set32(AT.cx, value); }
  get edx(): number { return this.#view.getUint32(AT.dx, true); }
  set edx(value: number) { this.#set32(AT.dx, value); }
  get edi(): number { return this.#view.getUint32(AT.di, true); }

  segment(name: SegmentName): number {
    return this.#view.getUint16(SEGMENT_AT[name].selector, true);
  }

  /** Limit and size stay, as when real mode loads it. */
  setSegment(name: SegmentName, selector: number): void {
    this.#view.setUint32(SEGMENT_AT[name].selector, selector, true);
    this.#view.setBigUint64(SEGMENT_AT[name].base, BigInt(selector * 16), true);
  }

  #base(name: SegmentName): number {
    return this.#view.getUint32(SEGMENT_AT[name].base, true);
  }

  /** Linear address; with line 20 closed it wraps at 1 MiB as on the 8086. */
  address(segment: SegmentName, offset: number): number {
    return ((this.#base(segment) + (offset & 0xffff)) & this.#view.getUint32(AT.a20, true)) >>> 0;
  }

  /** The same for an address that is given as segment and offset in memory. */
  linear(selector: number, offset: number): number {
    return ((selector * 16 + offset) & this.#view.getUint32(AT.a20, true)) >>> 0;
  }

  /** Where the top of the stack is. */
  get stack(): number {
    const pointer = this.#view.getUint32(AT.sp, true);
    const big = (this.#view.getUint32(SEGMENT_AT.ss.access, true) & BIG) !== 0;
    return ((this.#base('ss') + (big ? pointer : pointer & 0xffff)) & this.#view.getUint32(AT.a20, true)) >>> 0;
  }

  setStack(selector: number, pointer: number): void {
    this.setSegment('ss', selector);
    this.#set32(AT.sp, pointer);
  }

  clear(): void {
    for (const at of [AT.ax, AT.bx, AT.cx, AT.dx, AT.si, AT.di, AT.bp]) this.#set32(at, 0);
  }

  /** Real mode or virtual-8086 mode, in the segment of the BIOS. */
  runs16BitCodeOf(selector: number): boolean {
    const protectedMode = (this.#view.getUint32(AT.cr0, true) & CR0_PE) !== 0;
    const virtual = (this.#view.getUint32(AT.eflags, true) & EFLAGS_VM) !== 0;
    return (!protectedMode || virtual) && this.segment('cs') === selector;
  }
}
