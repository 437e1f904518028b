// Which general registers stay in locals where blocks of a region join. Elsewhere a block loads what it reads, because memory holds the
// whole state at its beginning: what is carried from every block to every other costs the compiler of WebAssembly a value for each
// register at each join, and each entry of the region a load of each register. A small loop keeps what it uses, loaded before it begins.
import { RECORD } from '../ir/record.ts';
import type { ControlFlow } from './control-flow.ts';
import type { CodeMemory, RegionBlock } from './region-blocks.ts';
import { GENERAL } from './region-locals.ts';

/** Loops of more instructions keep nothing for all their blocks: there are too many registers for them to stay in the host's. */
const LOOP_INSTRUCTIONS_MAX = 64;

/** By node of the flow graph (0: the dispatch; block n is n + 1), registers one bit each. */
export interface KeptRegisters {
  /** In their locals at the node's beginning: those of the loops that it is in. */
  readonly at: readonly number[];
  /** The same without the loop whose head the node is. */
  readonly before: readonly number[];
}

export function keptRegisters(flow: ControlFlow, blocks: readonly RegionBlock[], memory: CodeMemory): KeptRegisters {
  const at = new Array<number>(blocks.length + 1).fill(0);
  const before = [...at];
  for (const [head, body] of flow.loops()) {
    const inside = [...body].map((node) => blocks[node - 1]!);
    if (inside.reduce((sum, { instructions }) => sum + instructions, 0) > LOOP_INSTRUCTIONS_MAX) continue;
    const used = inside.reduce((registers, block) => registers | usedBy(block, memory), 0);
    for (const node of body) {
      at[node]! |= used;
      if (node !== head) before[node]! |= used;
    }
  }
  return { at, before };
}

/** Registers that the operands of a block's records may name. A constant may look like one, which costs a load. */
function usedBy({ address, operations }: RegionBlock, { u16 }: CodeMemory): number {
  let registers = 0;
  for (let n = 0; n < operations.length; n++) {
    for (const field of [RECORD.D, RECORD.A, RECORD.B]) {
      const slot = u16[(address + n * RECORD.BYTES + field) >> 1]!;
      if (slot < GENERAL.length * 8) registers |= 1 << (slot >> 3);
    }
  }
  return registers;
}
