// A program for the profiler to be right about: a Multiboot kernel whose functions `hot`, `warm` and `cool` execute 60, 30 and 10 of 100
// instructions, either in loops of their own, or as straight lines that are called 6, 3 and 1 times. What `main` executes beside them is
// below 1 per cent with loops. Encodings: Intel SDM volume 2, 32-bit.
import { parseAddress } from '../../src/profile/address.ts';
import { plainSymbols, type SymbolSource } from '../../src/profile/symbols.ts';

const LOAD = 0x10_0000;
const HEADER_BYTES = 32;
const MAGIC = 0x1bad_b002;
const WITH_ADDRESSES = 0x1_0000;
const STACK = 0x20_0000;

const word = (value: number): number[] => [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >>> 24) & 255];

const ENTER = [0x55, 0x89, 0xe5]; // push ebp; mov ebp, esp
const LEAVE = [0x5d, 0xc3]; // pop ebp; ret
/** imul eax, ecx; add eax, ecx: each waits for the one before it, so that where the code lies makes no difference to its speed. */
const STEP = [0x0f, 0xaf, 0xc1, 0x01, 0xc8];
const steps = (count: number): number[] => Array.from({ length: count }, () => STEP).flat();

/** 14 instructions `times` times. */
const looping = (times: number): number[] => [...ENTER, 0xb9, ...word(times), ...steps(6), 0x49, 0x75, 0x100 - 33, ...LEAVE];
/** 54 instructions in a row. */
const STRAIGHT = [...ENTER, ...steps(25), ...LEAVE];

export type KnownShape = 'loops' | 'straight lines';

export interface KnownProgram {
  readonly kernel: Uint8Array;
  readonly symbols: SymbolSource;
  /** The same as a System.map. */
  readonly map: string;
}

/** Calls the functions `rounds` times, then powers off. */
export function knownProgram(shape: KnownShape, rounds: number): KnownProgram {
  const bodies: Readonly<Record<string, readonly number[]>> = shape === 'loops'
    ? { hot: looping(600), warm: looping(300), cool: looping(100) }
    : { hot: STRAIGHT, warm: STRAIGHT, cool: STRAIGHT };
  const calls = shape === 'loops' ? ['hot', 'warm', 'cool'] : [...Array(6).fill('hot'), ...Array(3).fill('warm'), 'cool'] as string[];
  const mainBytes = 5 + 3 + 5 + 5 * calls.length + 1 + 6 + POWER_OFF.length;
  const places = new Map<string, number>();
  let at = mainBytes;
  for (const [name, body] of Object.entries(bodies)) {
    places.set(name, at);
    at += body.length;
  }
  const main = [0xbc, ...word(STACK), 0x31, 0xed, 0x90, 0xbb, ...word(rounds)]; // mov esp; xor ebp, ebp; nop; mov ebx, rounds
  const loop = main.length;
  for (const name of calls) main.push(0xe8, ...word(places.get(name)! - (main.length + 5)));
  main.push(0x4b, 0x0f, 0x85, ...word(loop - (main.length + 7))); // dec ebx; jnz loop
  main.push(...POWER_OFF);
  const code = Uint8Array.from([...main, ...Object.values(bodies).flat()]);
  const lines = [['main', 0] as const, ...places].map(([name, place]) => `${(LOAD + HEADER_BYTES + place).toString(16)} T ${name}\n`);
  return { kernel: withHeader(code), map: lines.join(''), symbols: plainSymbols(lines.map(symbolOf)) };
}

/** mov dx, 604h; mov ax, 2000h; out dx, ax; hlt */
const POWER_OFF = [0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x20, 0x66, 0xef, 0xf4];

function symbolOf(line: string): { address: number; name: string } {
  const [digits, , name] = line.trim().split(' ');
  return { address: parseAddress(digits!)!, name: name! };
}

function withHeader(code: Uint8Array): Uint8Array {
  const end = LOAD + HEADER_BYTES + code.length;
  const header = Uint32Array.of(MAGIC, WITH_ADDRESSES, -(MAGIC + WITH_ADDRESSES), LOAD, LOAD, end, end, LOAD + HEADER_BYTES);
  const kernel = new Uint8Array(HEADER_BYTES + code.length);
  kernel.set(new Uint8Array(header.buffer));
  kernel.set(code, HEADER_BYTES);
  return kernel;
}
