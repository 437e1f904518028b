// The limits that blkdebug can pretend: alignment and biggest requests, so that the fall-backs above can be tested on any file.
import { Failure } from '../../base/failure.ts';
import type { BlockLimits } from '../driver.ts';
import { sizeOption } from '../filter-options.ts';
import type { OptionDict } from '../options.ts';

export const LIMIT_OPTIONS = {
  align: { type: sizeOption },
  'max-transfer': { type: sizeOption },
  'opt-write-zero': { type: sizeOption },
  'max-write-zero': { type: sizeOption },
  'opt-discard': { type: sizeOption },
  'max-discard': { type: sizeOption },
} as const;

type LimitName = keyof typeof LIMIT_OPTIONS;

/** Requests of 2 GiB and more are never made. */
const LIMIT_END = 2 ** 31;

/** The limits given; 0 leaves one as it is below. `alignment` is that of the node below. */
export function takeLimits(options: OptionDict, alignment: number): Partial<BlockLimits> {
  const given = options.absorb(LIMIT_OPTIONS);
  const take = (name: LimitName, unit: number): number | undefined => {
    const value = given[name] ?? 0;
    if (value >= LIMIT_END || value % unit !== 0) throw new Failure('invalid-argument', `Cannot meet constraints with ${name} ${value}`);
    return value === 0 ? undefined : value;
  };
  const align = take('align', 1);
  if (align !== undefined && !Number.isInteger(Math.log2(align))) {
    throw new Failure('invalid-argument', `Cannot meet constraints with align ${align}`);
  }
  const unit = Math.max(align ?? 1, alignment);
  const limits = {
    requestAlignment: align === undefined ? undefined : Math.max(align, alignment),
    maxTransfer: take('max-transfer', unit),
    pwriteZeroesAlignment: take('opt-write-zero', unit),
    maxPwriteZeroes: take('max-write-zero', Math.max(given['opt-write-zero'] ?? 0, unit)),
    pdiscardAlignment: take('opt-discard', unit),
    maxPdiscard: take('max-discard', Math.max(given['opt-discard'] ?? 0, unit)),
  };
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined));
}
