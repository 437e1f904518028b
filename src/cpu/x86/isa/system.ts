// Privileged and system instructions. Their rights are checked in the helpers (assembly/), at run time. SDM volumes 2 and 3.
import { register, type BlockBuilder } from '../builder.ts';
import { ZERO } from '../record-writer.ts';
import { instruction, row, type Row, type InstructionOptions } from '../row.ts';

type HelperName = Parameters<BlockBuilder['helper']>[0];

/** An instruction that is one helper call after which the block goes on. */
const plain = (name: string, text: string, helper: HelperName, options: InstructionOptions = {}): void =>
  instruction(name, [row(text)], (b) => b.helper(helper), options);
/** The same, but what follows must be looked up anew: the mode, the mapping or IF may have changed. */
const serializing = (name: string, text: string, helper: HelperName, options: InstructionOptions = {}): void =>
  instruction(name, [row(text)], (b) => {
    b.setNextRip();
    b.helper(helper);
    b.continueAfter();
  }, options);

plain('cpuid', '0F A2', 'cpuid');
plain('rdtsc', '0F 31', 'rdtsc');
plain('rdtscp', '0F 01 |F9', 'rdtscp', { feature: 'rdtscp' });
plain('rdpmc', '0F 33', 'rdpmc');
plain('rdmsr', '0F 32', 'rdmsr');
serializing('wrmsr', '0F 30', 'wrmsr');
serializing('clts', '0F 06', 'clts');
serializing('invd', '0F 08', 'wbinvd');
serializing('wbinvd', '0F 09', 'wbinvd');
plain('cli', 'FA', 'cli');
plain('swapgs', '0F 01 |F8', 'swapgs');
serializing('xsetbv', '0F 01 |D1', 'xsetbv', { feature: 'xsave' });
plain('xgetbv', '0F 01 |D0', 'xgetbv', { feature: 'xsave' });
serializing('clac', '0F 01 |CA', 'clac', { feature: 'smap' });
serializing('stac', '0F 01 |CB', 'stac', { feature: 'smap' });
plain('monitor', '0F 01 |C8', 'monitor', { feature: 'monitor' });
/** STI: the next instruction runs before interrupts are looked at, so it belongs to the same block. */
instruction('sti', [row('FB')], (b) => {
  b.helper('sti');
  b.shadow = true;
});
instruction('hlt', [row('F4')], (b) => {
  b.setNextRip();
  b.helper('hlt');
  b.leave();
});
instruction('mwait', [row('0F 01 |C9')], (b) => {
  b.setNextRip();
  b.helper('mwait');
  b.leave();
}, { feature: 'monitor' });
instruction('vmcall', [row('0F 01 |C1'), row('0F 01 |D9')], (b) => b.raise(6));
instruction('ud', [row('0F 0B'), row('0F B9 /r', ['Gv', 'Ev']), row('0F FF /r', ['Gv', 'Ev'])], (b) => b.raise(6));
instruction('fence', [row('NP 0F AE /5', ['Rv']), row('NP 0F AE /6', ['Rv']), row('NP 0F AE /7', ['Rv'])], () => {});
instruction('clflush', [row('NP 0F AE /7', ['Mb']), row('66 0F AE /7', ['Mb'])], (b) => {
  b.load(0);
}, { feature: 'clflush' });

instruction('movcr', [row('0F 20 /r', ['Rv', 'Cy'], { force64: true })], (b) => {
  if (!controlExists(b)) return b.raise(6);
  return b.helper('movFromCr', register(b.insn.rm), ZERO, ZERO, controlRegister(b));
});
instruction('movcr', [row('0F 22 /r', ['Cy', 'Rv'], { force64: true })], (b) => {
  if (!controlExists(b)) return b.raise(6);
  b.setNextRip();
  b.helper('movToCr', ZERO, register(b.insn.rm), ZERO, controlRegister(b));
  return b.continueAfter();
});
/** LOCK MOV CR0 is the way to CR8 outside 64-bit mode on some processors; not here. */
const controlRegister = (b: BlockBuilder): number => b.insn.reg;
/** An absent register is #UD before any question of privilege. */
const controlExists = (b: BlockBuilder): boolean => [0, 2, 3, 4, 8].includes(controlRegister(b));
// prettier-ignore
instruction('movdr', [row('0F 21 /r', ['Rv', 'Dy'], { force64: true })], (b) => b.helper('movFromDr', register(b.insn.rm), ZERO, ZERO, b.insn.reg));
instruction('movdr', [row('0F 23 /r', ['Dy', 'Rv'], { force64: true })], (b) => {
  b.helper('movToDr', ZERO, register(b.insn.rm), ZERO, b.insn.reg);
  b.continueAfter();
});

/** Descriptor-table registers: b = linear address of the 6 or 10 bytes, imm = operand size. */
for (const [name, digit, write] of [['sgdt', 0, true], ['sidt', 1, true], ['lgdt', 2, false], ['lidt', 3, false]] as const)
  instruction(name, [row(`0F 01 /${digit}`, ['Mv'])], (b) => {
    const size = b.long ? 8 : 1 << b.opWidth;
    if (!write) b.helper('checkRing0');
    b.helper(name, ZERO, ZERO, b.linearAddress(b.long ? 10 : 6, write), size);
    if (!write) b.continueAfter();
  });
for (const [name, text] of [['sldt', '0F 00 /0'], ['str', '0F 00 /1'], ['smsw', '0F 01 /4']] as const)
  instruction(name, [row(text, ['Ev'])], (b) => {
    const value = b.temporary();
    b.helper(name, value, ZERO, ZERO, 1 << b.opWidth);
    if (b.isMemory(0)) b.store(1, value);
    else b.write(0, value);
  });
// prettier-ignore
for (const [name, text] of [['lldt', '0F 00 /2'], ['ltr', '0F 00 /3'], ['verr', '0F 00 /4'], ['verw', '0F 00 /5'], ['lmsw', '0F 01 /6']] as const)
  instruction(name, [row(text, ['Ew'])], (b) => {
    if (name !== 'lmsw' && !b.protectedMode) return b.raise(6);
    if (!name.startsWith('ver')) b.helper('checkRing0'); // before the operand is read
    b.helper(name, ZERO, b.read(0));
    return b.continueAfter();
  });
for (const [name, text] of [['lar', '0F 02 /r'], ['lsl', '0F 03 /r']] as const)
  instruction(name, [row(text, ['Gv', 'Ew'])], (b) => b.helper(name, b.registerSlot(0), b.read(1), ZERO, 1 << b.opWidth));
instruction('arpl', [row('63 /r', ['Ew', 'Gw'], { no64: true })], (b) => {
  if (!b.protectedMode) return b.raise(6);
  if (b.isMemory(0)) return b.helper('arplMemory', ZERO, b.linearAddress(2, true), b.registerSlot(1));
  return b.helper('arpl', b.registerSlot(0), b.registerSlot(0), b.registerSlot(1));
});
instruction('bound', [row('62 /r', ['Gv', 'M'], { no64: true })], (b) => {
  b.helper('bound', ZERO, b.registerSlot(0), b.linearAddress(2 << b.opWidth, false), 1 << b.opWidth);
});
instruction('invlpg', [row('0F 01 /7', ['M'])], (b) => {
  b.helper('checkRing0');
  b.helper('invlpg', ZERO, b.linearAddress(1, false));
  b.continueAfter();
});
instruction('invpcid', [row('66 0F 38 82 /r', ['Gy', 'M'])], (b) => {
  b.helper('checkRing0');
  const type = b.long ? b.registerSlot(0) : b.target(2, b.registerSlot(0));
  b.helper('invpcid', ZERO, type, b.linearAddress(16, false));
  b.continueAfter();
}, { feature: 'invpcid' });

instruction('pushf', [row('9C', [], { default64: true })], (b) => {
  const value = b.temporary();
  // IOPL and VM86 rights are the helper's; imm 1 asks for the image that PUSHF stores (VM and RF clear).
  b.helper('readEflags', value, ZERO, ZERO, 1);
  b.push(b.opWidth, value);
});
instruction('popf', [row('9D', [], { default64: true })], (b) => {
  const value = b.peek(b.opWidth);
  const top = b.stackAfterPop(1 << b.opWidth);
  b.setNextRip();
  b.helper('popf', ZERO, value, ZERO, 1 << b.opWidth);
  b.setStackPointer(top);
  b.continueAfter();
});

for (const [name, digit, read] of [['rdfsbase', 0, true], ['rdgsbase', 1, true], ['wrfsbase', 2, false], ['wrgsbase', 3, false]] as const)
  instruction(name, [row(`F3 0F AE /${digit}`, ['Ry'], { only64: true })], (b) => {
    const size = 1 << b.width(0);
    if (read) b.helper(name, b.registerSlot(0), ZERO, ZERO, size);
    else b.helper(name, ZERO, b.registerSlot(0), ZERO, size);
  }, { feature: 'fsgsbase' });
instruction('rdpid', [row('F3 0F C7 /7', ['Ry'])], (b) => b.helper('rdpid', b.registerSlot(0)), { feature: 'rdpid' });
const random = (name: 'rdrand' | 'rdseed', digit: number): void => {
  const rows: Row[] = [row(`NP 0F C7 /${digit}`, ['Rv']), row(`66 0F C7 /${digit}`, ['Rv'])];
  instruction(name, rows, (b) => b.helper(name, b.registerSlot(0), ZERO, ZERO, 1 << b.opWidth), { feature: name });
};
random('rdrand', 6);
random('rdseed', 7);

