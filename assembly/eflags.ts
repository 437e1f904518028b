// EFLAGS as a whole: assembling it from the lazy triple and the rest, and who may change which bit (Intel SDM 2, POPF and IRET).
import { DR7, EFLAGS, REQUEST } from './generated/layout';
import { kick } from './executor';
import { readFlags, writeFlags } from './flags';
import {
  FLAGS_ARITHMETIC, FLAG_AC, FLAG_DF, FLAG_ID, FLAG_IF, FLAG_IOPL, FLAG_NT, FLAG_RF, FLAG_TF, cpl, get32, get64, iopl, set32,
} from './registers';

/** The architectural EFLAGS. */
export function allFlags(): u32 { return get32(EFLAGS) | readFlags(); }

/**
 * Replaces the arithmetic flags and those others that `mask` names. RF lasts for one instruction; only blocks that look for
 * instruction breakpoints clear it, so where there are none it is not even set.
 */
export function loadFlags(image: u32, mask: u32): void {
  const value = get64(DR7) & 0xff ? image : image & ~FLAG_RF;
  const rest = mask & ~FLAGS_ARITHMETIC;
  set32(EFLAGS, (get32(EFLAGS) & ~rest) | (value & rest) | 2);
  writeFlags(value & FLAGS_ARITHMETIC);
  if (value & rest & FLAG_IF) noticeRequests();
}

/** Events that were held off may be deliverable now: the executor looks at them after this block. */
export function noticeRequests(): void {
  if (get32(REQUEST)) kick();
}

/** The bits besides the arithmetic ones that POPF may change at the current privilege; IRET adds RF. */
export function writableFlags(size: u32): u32 {
  let mask = FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID;
  if (cpl() <= iopl()) mask |= FLAG_IF;
  if (cpl() == 0) mask |= FLAG_IOPL;
  return size == 2 ? mask & 0xffff : mask;
}

export function clearFlags(mask: u32): void { set32(EFLAGS, get32(EFLAGS) & ~mask); }
