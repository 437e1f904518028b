// The functions of the support module that the module of regions being made imports, numbered as they are first called.
import { EMITTER_IMPORTS } from '../generated/layout';
import { SUPPORT_COUNT } from '../generated/programs';
import { call } from './writer';

/** By function: its number among the imports of the module, from 1 on; 0: not imported. */
const IMPORTED: usize = memory.data(2 * SUPPORT_COUNT);
let imports: u32 = 0;
let isOpen: bool = true;

/** Another module begins. */
export function beginModule(): void {
  memory.fill(IMPORTED, 0, 2 * SUPPORT_COUNT);
  imports = 0;
}

/** How many functions the module imports: EMITTER_IMPORTS. */
export function importCount(): u32 { return imports; }

/** What is emitted is wanted, or not any more: then it imports nothing. */
export function openImports(open: bool): void { isOpen = open; }

function importOf(number: u32): u32 {
  const known = <u32>load<u16>(IMPORTED + 2 * number);
  if (known != 0) return known - 1;
  if (!isOpen) return 0;
  store<u16>(EMITTER_IMPORTS + 2 * imports, <u16>number);
  store<u16>(IMPORTED + 2 * number, <u16>++imports);
  return imports - 1;
}

export function callFunction(number: u32): void { call(importOf(number)); }
