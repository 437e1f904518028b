// Tests of assembler.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Assembler } from './assembler.ts';

const code = (write: (a: Assembler) => void): string => {
  const a = new Assembler();
  write(a);
  return Buffer.from(a.assemble()).toString('hex');
};

// Expected bytes were read back by a disassembler once.
test('instructions are encoded as the manual says', () => {
  assert.equal(code((a) => a.movImm('r9', 0x80000000)), '41b900000080');
  assert.equal(code((a) => a.mov('rbx', 'r14')), '4c89f3');
  assert.equal(code((a) => a.load('byte', 'r10', 'rdi', 5)), '440fb65705');
  assert.equal(code((a) => a.load('qword', 'r15', 'r13', 16)), '4d8b7d10');
  assert.equal(code((a) => a.store('dword', 'r8', 0, 'rdx')), '41895000');
  assert.equal(code((a) => a.store('byte', 'rbx', 1, 'rsi')), '40887301'); // SIL needs a REX prefix
  assert.equal(code((a) => a.alu('cmp', 'r13', -1)), '4981fdffffffff');
  assert.equal(code((a) => a.alu('xor', 'r12', 'rbx')), '4931dc');
  assert.equal(code((a) => a.bitTest('rax', 'rcx')), '480fa3c8');
  assert.equal(code((a) => a.outAx()), '66ef');
});

test('labels resolve forwards and backwards, relative to the end of the instruction', () => {
  const text = code((a) => {
    a.label('top');
    a.jmp('end');
    a.call('top');
    a.lea('rsi', 'end');
    a.label('end');
    a.ret();
  });
  assert.equal(text, 'e90c000000' + 'e8f6ffffff' + '488d3500000000' + 'c3');
});

test('what has no encoding here and unknown labels are errors of ours', () => {
  assert.throws(() => code((a) => a.load('byte', 'rax', 'rsp')));
  assert.throws(() => code((a) => a.load('byte', 'rax', 'rdi', 128)));
  assert.throws(() => code((a) => a.jmp('nowhere')), /no label nowhere/);
});
