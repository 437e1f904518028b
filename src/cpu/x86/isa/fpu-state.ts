// Control and state of the floating-point units: control and status words, environment, FXSAVE and XSAVE. SDM volumes 1
// and 2. Arithmetic is in x87.ts and the sse-*.ts files.
import { ZERO } from '../record-writer.ts';
import { instruction, row, type Unit } from '../row.ts';
import { cpuOffset } from '../state.ts';

const x87 = { unit: 'x87' as Unit };
const sse = { unit: 'sse' as Unit };
const RAX = cpuOffset('rax');

instruction('fninit', [row('DB |E3', [], x87)], (b) => b.helper('fninit'));
instruction('fnclex', [row('DB |E2', [], x87)], (b) => b.helper('fnclex'));
instruction('fneni', [row('DB |E0', [], x87), row('DB |E1', [], x87), row('DB |E4', [], x87)], () => {}); // 8087 and 287 leftovers: nothing
instruction('fwait', [row('9B', [], { unit: 'wait' as Unit })], (b) => b.helper('fpCheck'));
instruction('fnstcw', [row('D9 /7', ['Mw'], x87)], (b) => b.store(1, cpuOffset('fcw')));
instruction('fldcw', [row('D9 /5', ['Mw'], x87)], (b) => {
  b.helper('fpCheck');
  const value = b.load(1);
  b.helper('fldcw', ZERO, value);
});
instruction('fnstsw', [row('DF |E0', [], x87)], (b) => b.helper('fnstsw', RAX));
instruction('fnstsw', [row('DD /7', ['Mw'], x87)], (b) => {
  const value = b.temporary();
  b.helper('fnstsw', value);
  b.store(1, value);
});
// prettier-ignore
for (const [name, text, bytes, write] of [['fnstenv', 'D9 /6', 28, true], ['fldenv', 'D9 /4', 28, false], ['fnsave', 'DD /6', 108, true], ['frstor', 'DD /4', 108, false]] as const)
  instruction(name, [row(text, ['M'], x87)], (b) => {
    if (!write) b.helper('fpCheck');
    const size = b.opWidth === 1 ? bytes - 14 : bytes; // seven fields of 2 instead of 4 bytes
    b.helper(name, ZERO, ZERO, b.linearAddress(size, write), (b.opWidth === 1 ? 2 : 4) | (b.protectedMode ? 1 << 8 : 0));
  });

// FXSAVE and FXRSTOR check CR0.EM and CR0.TS (the x87 unit), not CR4.OSFXSR.
for (const [name, digit, write] of [['fxsave', 0, true], ['fxrstor', 1, false]] as const)
  instruction(name, [row(`NP 0F AE /${digit}`, ['M'], x87)], (b) => {
    b.helper(name, ZERO, ZERO, b.linearAddress(512, write), b.opWidth === 3 ? 1 : 0);
  }, { feature: 'fxsr' });
// prettier-ignore
for (const [name, text, write, feature] of [['xsave', 'NP 0F AE /4', true, 'xsave'], ['xrstor', 'NP 0F AE /5', false, 'xsave'], ['xsaveopt', 'NP 0F AE /6', true, 'xsaveopt'],
  ['xsavec', 'NP 0F C7 /4', true, 'xsavec']] as const)
  instruction(name, [row(text, ['M'])], (b) => {
    b.helper(name, ZERO, ZERO, b.linearAddress(64, write), b.opWidth === 3 ? 1 : 0);
  }, { feature });
instruction('ldmxcsr', [row('NP 0F AE /2', ['Md'], sse)], (b) => b.helper('ldmxcsr', ZERO, b.load(2)), { feature: 'sse' });
instruction('stmxcsr', [row('NP 0F AE /3', ['Md'], sse)], (b) => b.store(2, cpuOffset('mxcsr')), { feature: 'sse' });
