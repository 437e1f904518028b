// What the interpreter and TypeScript call in the system half of the processor. A helper op has the signature
// (d, a, b: addresses of state slots, imm) and reports a guest fault through faults.ts.
export { readMemory, writeMemory, prepareRead, prepareWrite, readMemory128, writeMemory128 } from './memory';
export { translateExecute } from './paging';
export { flushTlb, flushPage, dropWriteEntries } from './tlb';
export { readPhysical, writePhysical } from './physical';
export { updateMode } from './mode';
export { initCpu, resetCpu } from './reset';
export { raise, raiseError } from './faults';
export { deliverFault, deliverInterrupt, deliverNmi, softwareInterrupt, int1, int3, into } from './interrupts';
export { iret } from './iret';
export { checkBreakpoint, stepTrap } from './debug';
export { checkSegment } from './segment-check';
export { loadSegment, lldt, ltr, sldt, str, smsw, sgdt, sidt, lgdt, lidt } from './segments';
export { lar, lsl, verr, verw, arpl, arplMemory } from './segment-queries';
export { farJump, farCall, farReturn } from './transfers';
export { syscall, sysret, sysenter, sysexit } from './system-calls';
export { movToCr, movFromCr, movToDr, movFromDr, clts, lmsw, xgetbv, xsetbv, invlpg, invpcid, wbinvd, invd } from './control';
export { rdmsr, wrmsr } from './msr';
export { rdtsc, rdtscp, rdpmc, rdpid, readTsc } from './time-stamp';
export { cpuid } from './cpuid';
export { cli, sti, readEflags, popf, clac, stac, hlt, monitor, mwait } from './flag-instructions';
export { swapgs, rdfsbase, rdgsbase, wrfsbase, wrgsbase } from './segment-bases';
export { portIn, portOut } from './port-access';
export { enter, pusha, popa, bound, cmpxchg8b, cmpxchg16b, rdrand, rdseed } from './compound';
export { movs, cmps, stos, lods, scas, ins, outs } from './strings';
