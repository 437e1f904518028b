// In which order drives are tried: `bootindex` first, then the letters of `-boot order=` (a floppy, c hard disk, d CD), then the rest.
import type { BootDrive } from '../../ports/boot-drive.ts';

export interface BootOptions {
  /** Letters, the first tried first. */
  readonly order: string;
  /** The order of the first start instead; a reset returns to `order`. */
  readonly once?: string;
  readonly menu: boolean;
  /** How long the menu's key is waited for. */
  readonly menuTimeoutMs?: number;
  /** When nothing boots: reset after this long; absent: never. */
  readonly retryMs?: number;
  /** Nothing is tried but what has a `bootindex`. */
  readonly strict: boolean;
}

const LETTER = { floppy: 'a', disk: 'c', cdrom: 'd' } as const;
const AFTER_LETTERS = 1e3;
/** Every bootindex comes before every letter. */
const INDICES = 2 ** 32;

function rank({ bootIndex, medium }: BootDrive, order: string): number {
  if (bootIndex !== undefined && bootIndex >= 0) return bootIndex;
  const letter = order.indexOf(LETTER[medium]);
  return INDICES + (letter < 0 ? AFTER_LETTERS : letter);
}

/** All drives in the order of preference: hard disks get their numbers in it. */
export function orderDrives(drives: readonly BootDrive[], order: string): BootDrive[] {
  return [...drives].sort((a, b) => rank(a, order) - rank(b, order));
}

export function bootCandidates(drives: readonly BootDrive[], order: string, strict: boolean): BootDrive[] {
  const ordered = orderDrives(drives, order);
  return strict ? ordered.filter(({ bootIndex }) => bootIndex !== undefined && bootIndex >= 0) : ordered;
}
