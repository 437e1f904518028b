// How options common to all nodes (`read-only`, `cache.direct`, `discard`, …) become the flags of a node, and what a child
// takes over from its parent when it is not told otherwise. QMP's BlockdevOptions base members.
import { Failure } from '../base/failure.ts';
import { bool, choice, str, type PropertyValues } from '../schema/property.ts';
import type { OpenFlags } from './driver.ts';
import type { DetectZeroes } from './node.ts';
import type { OptionDict } from './options.ts';
import type { ChildRole } from './permissions.ts';

export const DEFAULT_FLAGS: OpenFlags = {
  readOnly: false,
  autoReadOnly: false,
  unmap: false,
  direct: false,
  noFlush: false,
  check: false,
  noIo: false,
  noBacking: false,
  forceShare: false,
  nativeAio: false,
  probed: false,
};

const COMMON = {
  'node-name': { type: str },
  'read-only': { type: bool },
  'auto-read-only': { type: bool },
  'force-share': { type: bool },
  'cache.direct': { type: bool },
  'cache.no-flush': { type: bool },
  'detect-zeroes': { type: choice('off', 'on', 'unmap') },
  discard: { type: choice('ignore', 'off', 'unmap', 'on') },
} as const;

export interface CommonOptions {
  readonly nodeName: string | undefined;
  readonly flags: OpenFlags;
  readonly detectZeroes: DetectZeroes;
}

/** Takes the common options out of `options`; what they do not say is as in `flags`. */
export function takeCommonOptions(options: OptionDict, flags: OpenFlags): CommonOptions {
  const given = options.absorb(COMMON);
  const merged = merge(flags, given);
  if (merged.forceShare && !merged.readOnly) {
    throw new Failure('invalid-argument', 'force-share=on can only be used with read-only images');
  }
  const detectZeroes = given['detect-zeroes'] ?? 'off';
  if (detectZeroes === 'unmap' && !merged.unmap) {
    throw new Failure('invalid-argument', 'setting detect-zeroes to unmap is not allowed without setting discard operation to unmap');
  }
  return { nodeName: given['node-name'], flags: merged, detectZeroes };
}

function merge(flags: OpenFlags, given: PropertyValues<typeof COMMON>): OpenFlags {
  const discard = given.discard;
  return {
    ...flags,
    readOnly: given['read-only'] ?? flags.readOnly,
    autoReadOnly: given['auto-read-only'] ?? flags.autoReadOnly,
    forceShare: given['force-share'] ?? flags.forceShare,
    direct: given['cache.direct'] ?? flags.direct,
    noFlush: given['cache.no-flush'] ?? flags.noFlush,
    unmap: discard === undefined ? flags.unmap : discard === 'unmap' || discard === 'on',
  };
}

/** What a child is opened with when its own options say nothing. */
export function childFlags(parent: OpenFlags, role: ChildRole): OpenFlags {
  return {
    ...parent,
    readOnly: role.cow ? true : parent.readOnly,
    autoReadOnly: role.cow ? false : parent.autoReadOnly,
    // Formats take care of the discard policy themselves, so what reaches their files may be passed on.
    unmap: role.data || role.metadata || role.filtered ? true : parent.unmap,
    noIo: role.metadata ? false : parent.noIo,
    noBacking: false,
    check: role.cow ? false : parent.check,
    probed: false,
  };
}
