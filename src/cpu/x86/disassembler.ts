// Text of one decoded instruction, from the same rows that decode and execute it. Intel syntax. A view of what the
// decoder holds: it decodes nothing itself.
import { CONDITION } from '../ir/flags.ts';
import type { Decoder } from './decoder.ts';
import type { OperandCode } from './row.ts';
import { SEGMENT_REGISTERS } from './state.ts';

const NAMES64 = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];
const NAMES8_LEGACY = ['al', 'cl', 'dl', 'bl', 'ah', 'ch', 'dh', 'bh'];
const POINTER: Readonly<Record<number, string>> = { 0: 'byte ptr ', 1: 'word ptr ', 2: 'dword ptr ', 3: 'qword ptr ', 4: 'xmmword ptr ' };
const WITH_CONDITION: Readonly<Record<string, string>> = { jcc: 'j', setcc: 'set', cmov: 'cmov' };

const hex = (value: number): string => (value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`);

export function generalName(number: number, width: number, rex = true): string {
  const wide = NAMES64[number]!;
  if (width === 3) return wide;
  if (number >= 8) return wide + ['b', 'w', 'd'][width]!;
  if (width === 0) return rex || number < 4 ? (number < 4 ? `${wide[1]}l` : `${wide.slice(1)}l`) : NAMES8_LEGACY[number]!;
  return width === 1 ? wide.slice(1) : `e${wide.slice(1)}`;
}

function widthOf(decoder: Decoder, { width }: OperandCode): number {
  switch (width) {
    case 'b': case 'sb': case 'b2': return 0;
    case 'w': return 1;
    case 'd': return 2;
    case 'q': return 3;
    case 'x': return 4;
    case 'y': return decoder.operandWidth === 3 ? 3 : 2;
    case 'z': return decoder.operandWidth === 1 ? 1 : 2;
    default: return decoder.operandWidth;
  }
}

function memoryText(decoder: Decoder, width: number | undefined, nextRip: bigint): string {
  const parts: string[] = [];
  if (decoder.ripRelative) {
    const address = BigInt.asUintN(64, nextRip + BigInt(decoder.displacement));
    return `${width === undefined ? '' : POINTER[width]!}[0x${address.toString(16)}]`;
  }
  if (decoder.base >= 0) parts.push(generalName(decoder.base, decoder.addressWidth));
  const scale = decoder.scale > 0 ? `*${1 << decoder.scale}` : '';
  if (decoder.index >= 0) parts.push(generalName(decoder.index, decoder.addressWidth) + scale);
  let text = parts.join('+');
  const { displacement } = decoder;
  if (text === '') text = hex(displacement >>> 0);
  else if (displacement !== 0) text += displacement > 0 ? `+${hex(displacement)}` : hex(displacement);
  const segment = decoder.segment >= 0 ? `${SEGMENT_REGISTERS[decoder.segment]!}:` : '';
  return `${width === undefined ? '' : (POINTER[width] ?? '')}${segment}[${text}]`;
}

function operandText(decoder: Decoder, operand: OperandCode, nextRip: bigint): string {
  const width = widthOf(decoder, operand);
  const rex = decoder.rex !== 0;
  switch (operand.kind) {
    case 'fixed': return generalName(operand.register, width, rex);
    case 'one': return '1';
    case 'G': return generalName(decoder.reg, width, rex);
    case 'Z': return generalName(decoder.opcodeRegister, width, rex);
    case 'B': return generalName(decoder.vexRegister, width, true);
    case 'I': return operand.width === 'v' && decoder.immediateHigh !== 0
      ? `0x${((BigInt(decoder.immediateHigh >>> 0) << 32n) | BigInt(decoder.immediate >>> 0)).toString(16)}` : hex(decoder.immediate);
    case 'L': return hex(decoder.immediate2);
    case 'J': return `0x${BigInt.asUintN(64, nextRip + BigInt(decoder.immediate)).toString(16)}`;
    case 'A': return `${hex(decoder.immediate2)}:${hex(decoder.immediate >>> 0)}`;
    case 'S': return SEGMENT_REGISTERS[(decoder.modrm >> 3) & 7] ?? '?';
    case 'C': return `cr${decoder.reg}`;
    case 'D': return `dr${decoder.reg}`;
    case 'V': return `xmm${decoder.reg}`;
    case 'P': return `mm${decoder.reg & 7}`;
    case 'O': return memoryText(decoder, width, nextRip);
    default:
  }
  if (decoder.mod !== 3) return memoryText(decoder, operand.kind === 'M' && operand.width === '' ? undefined : width, nextRip);
  if (operand.kind === 'W' || operand.kind === 'U') return `xmm${decoder.rm}`;
  if (operand.kind === 'Q' || operand.kind === 'N') return `mm${decoder.rm & 7}`;
  return generalName(decoder.rm, width, rex);
}

/** The instruction that `decoder` has just decoded, which lies at `rip`. */
export function disassemble(decoder: Decoder, rip: bigint): string {
  const { instruction, row } = decoder.candidate!;
  const nextRip = rip + BigInt(decoder.length);
  const prefix = WITH_CONDITION[instruction.name];
  const mnemonic = prefix === undefined ? instruction.name : prefix + CONDITION[decoder.opcode & 15]!;
  const repeat = row.prefix === 'any' && /^(movs|cmps|stos|lods|scas|ins|outs)$/.test(mnemonic)
    ? decoder.repeat === 0xf3 ? 'rep ' : decoder.repeat === 0xf2 ? 'repne ' : '' : '';
  const isString = /^(movs|cmps|stos|lods|scas|ins|outs)$/.test(mnemonic);
  const suffix = isString ? ((decoder.opcode & 1) === 0 ? 'b' : 'wdq'[decoder.operandWidth - 1]!) : '';
  const operands = row.operands.map((operand) => operandText(decoder, operand, nextRip));
  const name = (mnemonic + suffix).padEnd(operands.length > 0 ? 7 : 0);
  return `${decoder.lock ? 'lock ' : ''}${repeat}${name} ${operands.join(', ')}`.trimEnd();
}
