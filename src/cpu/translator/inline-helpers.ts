// Helpers that a region does without: their usual cases as a few WebAssembly instructions, while the rest calls the helper after all,
// or leaves for the interpreter. Whatever these compute is what the helper would have computed.
import { divide } from './divide.ts';
import type { InlineLowering } from './inline-lowering.ts';
import { multiply64 } from './multiply.ts';
import { rotate } from './rotations.ts';
import { scalarFloat } from './scalar-float.ts';
import { checkSegment } from './segment-check.ts';

/** Emits what stands for the helper; false when nothing does. */
export function emitInline(m: InlineLowering, name: string): boolean {
  switch (name) {
    case 'rol':
    case 'ror':
      return rotate(m, name === 'ror');
    case 'imul64':
      multiply64(m);
      return true;
    case 'checkSegment':
      checkSegment(m);
      return true;
    case 'div':
    case 'idiv':
      return divide(m, name === 'idiv');
    default:
      return scalarFloat(m, name);
  }
}
