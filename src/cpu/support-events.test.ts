// Interrupts, exceptions, their return, and transfers of control between privileges, in the support module.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import {
  enterUser, longMode, pageEntryAt, protectedMode, SELECTOR, setGate, SUPPORT_WASM, SupportBench, TABLES,
} from './support-bench.ts';
import { EXIT } from './x86/state.ts';

const support = new WebAssembly.Module(readFileSync(SUPPORT_WASM));
const IF = 0x200, NT = 0x4000, RF = 0x10000n, VM = 0x20000;

function bench(prepare?: (bench: SupportBench) => void): SupportBench {
  const made = new SupportBench(support);
  prepare?.(made);
  return made;
}
/** 32-bit TSS: the stack of privilege 0. */
function setInnerStack(cpu: SupportBench, sp: number): void {
  cpu.poke(TABLES.tss + 4, 4, sp);
  cpu.poke(TABLES.tss + 8, 4, SELECTOR.data0);
}
const stackWords = (cpu: SupportBench, size: 2 | 4 | 8, count: number): bigint[] =>
  Array.from({ length: count }, (_, n) => cpu.peek(Number(cpu.get('rsp')) + n * size, size));
function fault(cpu: SupportBench, vector: number, error?: number): void {
  cpu.call(error === undefined ? 'raise' : 'raiseError', vector, ...(error === undefined ? [] : [error]));
  cpu.call('deliverFault');
}

test('power-on state', () => {
  const cpu = bench();
  assert.deepEqual(
    [cpu.get('rip'), cpu.get('csBase'), cpu.selector('cs'), cpu.get32('eflags'), cpu.get('cr0')],
    [0xfff0n, 0xffff0000n, 0xf000, 2, 0x60000010n],
  );
  assert.equal(cpu.get32('modeKey') & 0xfff, 0x20, '16-bit, x87 usable');
});

describe('real mode', () => {
  test('INT pushes FLAGS, CS, IP and IRET takes them back', () => {
    const cpu = bench();
    cpu.poke(0x21 * 4, 4, 0x12345678);
    cpu.set('rsp', 0x1000n);
    cpu.set32('eflags', IF | 2);
    cpu.set('nextRip', 0x102n);
    assert.equal(cpu.help('softwareInterrupt', { imm: 0x21 }), undefined);
    assert.deepEqual([cpu.get('rip'), cpu.selector('cs'), cpu.get('csBase'), cpu.get32('eflags')], [0x5678n, 0x1234, 0x12340n, 2]);
    assert.deepEqual(stackWords(cpu, 2, 3), [0x102n, 0xf000n, BigInt(IF | 2)]);
    assert.equal(cpu.help('iret', { imm: 2 }), undefined);
    assert.deepEqual([cpu.get('rip'), cpu.selector('cs'), cpu.get('rsp'), cpu.get32('eflags')], [0x102n, 0xf000, 0x1000n, IF | 2]);
  });
});

describe('32-bit protected mode', () => {
  test('same privilege: an interrupt gate clears IF, IRET restores it', () => {
    const cpu = bench(protectedMode);
    setGate(cpu, 0x30, SELECTOR.code0, 0xc0de00);
    cpu.set32('eflags', IF | 2);
    cpu.set('rip', 0x1234n);
    cpu.call('deliverInterrupt', 0x30);
    assert.deepEqual([cpu.get('rip'), cpu.get('rsp'), cpu.get32('eflags')], [0xc0de00n, 0x7ff4n, 2]);
    assert.deepEqual(stackWords(cpu, 4, 3), [0x1234n, 8n, BigInt(IF | 2)]);
    assert.equal(cpu.help('iret', { imm: 4 }), undefined);
    assert.deepEqual([cpu.get('rip'), cpu.get('rsp'), cpu.get32('eflags')], [0x1234n, 0x8000n, IF | 2]);
  });

  test('inner privilege takes its stack from the TSS; a fault pushes RF and its error code; IRET goes back out', () => {
    const cpu = bench(protectedMode);
    setInnerStack(cpu, 0x9000);
    setGate(cpu, 13, SELECTOR.code0, 0x500000, { type: 15 });
    enterUser(cpu);
    cpu.set('rsp', 0x7000n);
    cpu.set('rip', 0x444n);
    cpu.set32('eflags', IF | 2);
    fault(cpu, 13, 0x18);
    assert.deepEqual([cpu.get32('cpl'), cpu.selector('ss'), cpu.get32('eflags') & IF], [0, SELECTOR.data0, IF]);
    assert.deepEqual(stackWords(cpu, 4, 6), [0x18n, 0x444n, BigInt(SELECTOR.code3), BigInt(IF | 2) | RF, 0x7000n, BigInt(SELECTOR.data3)]);
    cpu.set('rsp', cpu.get('rsp') + 4n);
    cpu.setSegment('ds', SELECTOR.data0, 0n, 0xffffffff, 0xc093);
    cpu.set('dr7', 0x402n); // RF has a meaning where there are breakpoints only
    assert.equal(cpu.help('iret', { imm: 4 }), undefined);
    assert.deepEqual(
      [cpu.get32('cpl'), cpu.get('rsp'), cpu.get('rip'), cpu.selector('ds'), cpu.selector('es')],
      [3, 0x7000n, 0x444n, 0, SELECTOR.data3],
    );
    assert.equal(cpu.get32('eflags') & Number(RF), Number(RF));
  });

  test('INIT starts at the reset vector and keeps caching bits, floating-point state and MSRs', () => {
    const cpu = bench(protectedMode);
    cpu.set('cr0', cpu.get('cr0') | 0x40000000n);
    cpu.set32('mxcsr', 0x1fa0);
    cpu.set('msrLstar', 0x1234n);
    cpu.call('initCpu');
    assert.deepEqual([cpu.get('rip'), cpu.selector('cs'), cpu.get('cr0'), cpu.get32('cpl')], [0xfff0n, 0xf000, 0x40000010n, 0]);
    assert.deepEqual([cpu.get32('mxcsr'), cpu.get('msrLstar')], [0x1fa0, 0x1234n]);
  });

  test('INT n respects the gate\'s DPL and names the gate in the error code', () => {
    const cpu = bench(protectedMode);
    setInnerStack(cpu, 0x9000);
    setGate(cpu, 0x80, SELECTOR.code0, 0x1000);
    setGate(cpu, 0x81, SELECTOR.code0, 0x1000, { dpl: 3 });
    enterUser(cpu);
    assert.deepEqual(cpu.help('softwareInterrupt', { imm: 0x80 }), { vector: 13, error: 0x80 * 8 + 2 });
    assert.equal(cpu.help('softwareInterrupt', { imm: 0x81 }), undefined);
    assert.equal(cpu.get('rip'), 0x1000n);
  });

  test('virtual-8086: entered by IRET, left by an interrupt with null data segments', () => {
    const cpu = bench(protectedMode);
    setInnerStack(cpu, 0x9000);
    setGate(cpu, 0x20, SELECTOR.code0, 0x1000);
    const frame = [0x100, 0x2000, VM | IF | 2, 0xfffe, 0x3000, 1, 2, 3, 4];
    frame.forEach((word, n) => cpu.poke(0x7000 + n * 4, 4, word));
    cpu.set('rsp', 0x7000n);
    assert.equal(cpu.help('iret', { imm: 4 }), undefined);
    assert.deepEqual(
      [cpu.get32('cpl'), cpu.get('csBase'), cpu.get('ssBase'), cpu.get('gsBase'), cpu.get('rip')],
      [3, 0x20000n, 0x30000n, 0x40n, 0x100n],
    );
    assert.deepEqual(cpu.help('softwareInterrupt', { imm: 0x20 }), { vector: 13, error: 0 }, 'IOPL below 3');
    cpu.call('deliverInterrupt', 0x20);
    assert.deepEqual([cpu.get32('cpl'), cpu.get32('eflags') & VM, cpu.selector('ds'), cpu.get('rsp')], [0, 0, 0, 0x9000n - 36n]);
    assert.deepEqual(stackWords(cpu, 4, 9), frame.map(BigInt));
  });

  test('a fault in the delivery of a contributory fault is a double fault, another one shuts down', () => {
    const cpu = bench(protectedMode);
    setGate(cpu, 8, SELECTOR.code0, 0x800);
    setGate(cpu, 13, SELECTOR.absent, 0x1300);
    fault(cpu, 13, 0);
    assert.equal(cpu.get('rip'), 0x800n);
    assert.equal(stackWords(cpu, 4, 1)[0], 0n);
    cpu.set('rip', 0x55n);
    cpu.poke(TABLES.idt + 8 * 8, 8, 0);
    fault(cpu, 13, 0);
    assert.deepEqual([cpu.get32('exitReason'), cpu.get32('exitDetail'), cpu.get('rip')], [EXIT.SHUTDOWN, 1, 0x55n]);
  });

  test('a fault while a benign one is delivered replaces it', () => {
    const cpu = bench(protectedMode);
    setGate(cpu, 13, SELECTOR.code0, 0x1300);
    fault(cpu, 6);
    assert.equal(cpu.get('rip'), 0x1300n);
    assert.equal(stackWords(cpu, 4, 1)[0], BigInt(6 * 8 + 3), 'the gate of vector 6, EXT');
  });

  test('task switch: CALL to a TSS nests, IRET comes back', () => {
    const cpu = bench(protectedMode);
    const other = TABLES.otherTss;
    cpu.help('ltr', { a: BigInt(SELECTOR.tss) });
    const { data0, code0 } = SELECTOR;
    const registers = { 0x20: 0x600, 0x24: 2, 0x28: 111, 0x38: 0x6000 };
    const words = { ...registers, 0x48: data0, 0x4c: code0, 0x50: data0, 0x54: data0 };
    for (const [at, word] of Object.entries(words)) cpu.poke(other + Number(at), 4, word);
    cpu.set('rax', 222n);
    cpu.set('nextRip', 0x777n);
    assert.equal(cpu.help('farCall', { a: BigInt(SELECTOR.otherTss), imm: 4 }), undefined);
    assert.deepEqual([cpu.get('rip'), cpu.get('rax'), cpu.get('rsp'), cpu.selector('tr'), cpu.get32('eflags') & NT, cpu.get('cr0') & 8n],
      [0x600n, 111n, 0x6000n, SELECTOR.otherTss, NT, 8n]);
    assert.equal(cpu.peek(other, 2), BigInt(SELECTOR.tss));
    assert.equal(cpu.help('iret', { imm: 4 }), undefined);
    assert.deepEqual(
      [cpu.get('rip'), cpu.get('rax'), cpu.get('rsp'), cpu.selector('tr'), cpu.get32('eflags')],
      [0x777n, 222n, 0x8000n, SELECTOR.tss, 2],
    );
    assert.equal(cpu.peek(TABLES.gdt + SELECTOR.otherTss + 5, 1), 0x89n, 'not busy');
  });

  test('a call gate to an inner privilege copies its parameters, RETF goes back', () => {
    const cpu = bench(protectedMode);
    setInnerStack(cpu, 0x9000);
    const gate = (BigInt(0x0050ec02) << 32n) | BigInt((SELECTOR.code0 << 16) | 0x1234); // two parameters, DPL 3
    cpu.poke(TABLES.gdt + SELECTOR.gate, 8, gate);
    enterUser(cpu);
    cpu.set('rsp', 0x7000n);
    cpu.poke(0x7000, 4, 11);
    cpu.poke(0x7004, 4, 22);
    cpu.set('nextRip', 0x333n);
    assert.equal(cpu.help('farCall', { a: BigInt(SELECTOR.gate | 3), imm: 4 }), undefined);
    assert.deepEqual([cpu.get('rip'), cpu.get32('cpl')], [0x501234n, 0]);
    assert.deepEqual(stackWords(cpu, 4, 6), [0x333n, BigInt(SELECTOR.code3), 11n, 22n, 0x7000n, BigInt(SELECTOR.data3)]);
    assert.equal(cpu.help('farReturn', { imm: 4 | (8 << 8) }), undefined);
    assert.deepEqual([cpu.get('rip'), cpu.get32('cpl'), cpu.get('rsp')], [0x333n, 3, 0x7008n]);
  });

  test('far jumps check privilege and presence', () => {
    const cpu = bench(protectedMode);
    const jump = (selector: number): ReturnType<SupportBench['help']> => cpu.help('farJump', { a: BigInt(selector), b: 0x99n, imm: 4 });
    assert.deepEqual(jump(0), { vector: 13, error: 0 });
    assert.deepEqual(jump(SELECTOR.code3 & ~3), { vector: 13, error: SELECTOR.code3 & ~3 });
    assert.deepEqual(jump(SELECTOR.data0), { vector: 13, error: SELECTOR.data0 });
    assert.deepEqual(jump(0x1000), { vector: 13, error: 0x1000 });
    assert.equal(jump(SELECTOR.code16), undefined);
    assert.equal(cpu.get32('modeKey') & 3, 0);
  });
});

describe('long mode', () => {
  function withTss(cpu: SupportBench): void {
    longMode(cpu);
    cpu.poke(TABLES.tss + 4, 8, 0x9000);
    cpu.poke(TABLES.tss + 0x24, 8, 0xa008);
  }

  test('from user to kernel: RSP0 aligned, null SS, and IRETQ back', () => {
    const cpu = bench(withTss);
    setGate(cpu, 14, SELECTOR.code64, 0x500000, { long: true });
    enterUser(cpu, SELECTOR.code64User);
    cpu.set('rsp', 0x7001n);
    cpu.set('rip', 0x4444n);
    cpu.set32('eflags', IF | 2);
    fault(cpu, 14, 6);
    assert.deepEqual(
      [cpu.get32('cpl'), cpu.selector('ss'), cpu.get('rip'), cpu.get('rsp'), cpu.get32('modeKey') & 3],
      [0, 0, 0x500000n, 0x8fd0n, 2],
    );
    const frame = [6n, 0x4444n, BigInt(SELECTOR.code64User), BigInt(IF | 2) | RF, 0x7001n, BigInt(SELECTOR.data3)];
    assert.deepEqual(stackWords(cpu, 8, 6), frame);
    cpu.set('rsp', cpu.get('rsp') + 8n);
    assert.equal(cpu.help('iret', { imm: 8 }), undefined);
    assert.deepEqual([cpu.get32('cpl'), cpu.selector('ss'), cpu.get('rip'), cpu.get('rsp')], [3, SELECTOR.data3, 0x4444n, 0x7001n]);
  });

  test('an IST stack is taken also at the same privilege, RSP is aligned first', () => {
    const cpu = bench(withTss);
    setGate(cpu, 2, SELECTOR.code64, 0x1000, { long: true, ist: 1 });
    cpu.set('rip', 1n);
    cpu.call('deliverNmi');
    assert.equal(cpu.get('rsp'), 0xa000n - 40n);
    assert.equal(cpu.get32('inhibit') & 2, 2);
    assert.equal(cpu.help('iret', { imm: 8 }), undefined);
    assert.deepEqual([cpu.get('rsp'), cpu.get32('inhibit') & 2], [0x8000n, 0]);
  });

  test('a page fault on the new stack while delivering a page fault is a double fault on its own stack', () => {
    const cpu = bench(withTss);
    setGate(cpu, 14, SELECTOR.code64, 0x1000, { long: true });
    setGate(cpu, 8, SELECTOR.code64, 0x2000, { long: true, ist: 1 });
    cpu.poke(pageEntryAt(0x8000), 8, 0);
    enterUser(cpu, SELECTOR.code64User);
    fault(cpu, 14, 4);
    assert.deepEqual([cpu.get('rip'), cpu.get('cr2')], [0x2000n, 0x8ff8n]);
  });

  test('32-bit code segments and missing gates are refused', () => {
    const cpu = bench(withTss);
    setGate(cpu, 0x40, SELECTOR.code0, 0x1000, { long: true });
    assert.deepEqual(cpu.help('softwareInterrupt', { imm: 0x40 }), { vector: 13, error: SELECTOR.code0 });
    assert.deepEqual(cpu.help('softwareInterrupt', { imm: 0x41 }), { vector: 13, error: 0x41 * 8 + 2 });
  });

  test('SYSCALL and SYSRET', () => {
    const cpu = bench(withTss);
    cpu.set('msrStar', (0x0023n << 48n) | (BigInt(SELECTOR.code64) << 32n));
    cpu.set('msrLstar', 0xffff800000001000n);
    cpu.set('msrSfmask', 0x200n);
    enterUser(cpu, SELECTOR.code64User);
    cpu.set32('eflags', IF | 2);
    cpu.call('writeFlags', 0x41);
    cpu.set('nextRip', 0x1002n);
    assert.equal(cpu.help('syscall'), undefined);
    assert.deepEqual([cpu.get('rip'), cpu.get('rcx'), cpu.get('r11'), cpu.get32('cpl'), cpu.selector('cs'), cpu.selector('ss')],
      [0xffff800000001000n, 0x1002n, 0x243n, 0, SELECTOR.code64, SELECTOR.code64 + 8]);
    assert.equal(cpu.get32('eflags'), 2);
    assert.equal(cpu.help('sysret', { imm: 8 }), undefined);
    assert.deepEqual(
      [cpu.get('rip'), cpu.get32('cpl'), cpu.selector('cs'), cpu.selector('ss'), cpu.get32('eflags')],
      [0x1002n, 3, 0x33, 0x2b, IF | 2],
    );
    cpu.set('rcx', 0x800000000000n);
    assert.deepEqual(cpu.help('sysret', { imm: 8 }), { vector: 13, error: 0 });
  });

  test('SYSENTER from compatibility mode and SYSEXIT to it', () => {
    const cpu = bench(withTss);
    cpu.set('msrSysenterCs', BigInt(SELECTOR.code64));
    cpu.set('msrSysenterEsp', 0x8800n);
    cpu.set('msrSysenterEip', 0xffff800000002000n);
    enterUser(cpu, SELECTOR.code3);
    assert.equal(cpu.get32('modeKey') & 3, 1);
    assert.equal(cpu.help('sysenter'), undefined);
    assert.deepEqual([cpu.get('rip'), cpu.get('rsp'), cpu.get32('cpl'), cpu.get32('modeKey') & 3], [0xffff800000002000n, 0x8800n, 0, 2]);
    cpu.set('rdx', 0x400n);
    cpu.set('rcx', 0x7000n);
    assert.equal(cpu.help('sysexit', { imm: 4 }), undefined);
    assert.deepEqual([cpu.get('rip'), cpu.get('rsp'), cpu.get32('cpl'), cpu.get32('modeKey') & 3], [0x400n, 0x7000n, 3, 1]);
  });
});

describe('debug traps', () => {
  test('TF set before an instruction traps after it, with BS in DR6', () => {
    const cpu = bench(protectedMode);
    cpu.set32('eflags', 0x102);
    cpu.call('updateMode');
    assert.equal(cpu.help('checkBreakpoint', { a: 0x100n }), undefined);
    assert.deepEqual(cpu.help('stepTrap'), { vector: 1, error: undefined });
    assert.equal(cpu.get('dr6') & 0x4000n, 0x4000n);
    assert.equal(cpu.help('stepTrap'), undefined);
  });

  test('an instruction breakpoint strikes unless RF is set, and RF lasts for one instruction', () => {
    const cpu = bench(protectedMode);
    cpu.help('movToDr', { a: 0x100n, imm: 0 });
    cpu.help('movToDr', { a: 1n, imm: 7 });
    assert.deepEqual(cpu.help('checkBreakpoint', { a: 0x100n }), { vector: 1, error: undefined });
    cpu.set32('eflags', Number(RF) | 2);
    assert.equal(cpu.help('checkBreakpoint', { a: 0x100n }), undefined);
    assert.equal(cpu.get32('eflags'), 2);
    assert.equal(cpu.help('checkBreakpoint', { a: 0x101n }), undefined);
  });
});

test('a 64-bit call gate takes the inner stack from RSP0', () => {
  const cpu = bench(longMode);
  cpu.poke(TABLES.tss + 4, 8, 0x9000);
  cpu.poke(TABLES.gdt + SELECTOR.gate, 8, (0xec00n << 32n) | BigInt((SELECTOR.code64 << 16) | 0x1234));
  cpu.poke(TABLES.gdt + SELECTOR.gate + 8, 8, 1n);
  enterUser(cpu, SELECTOR.code64User);
  cpu.set('rsp', 0x7000n);
  cpu.set('nextRip', 0x333n);
  assert.equal(cpu.help('farCall', { a: BigInt(SELECTOR.gate | 3), imm: 8 }), undefined);
  assert.deepEqual([cpu.get('rip'), cpu.get('rsp'), cpu.get32('cpl')], [0x1_0000_1234n, 0x8fe0n, 0]);
  assert.deepEqual(stackWords(cpu, 8, 4), [0x333n, BigInt(SELECTOR.code64User), 0x7000n, BigInt(SELECTOR.data3)]);
});
