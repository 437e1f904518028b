// The rules of blkdebug: what they consist of, how they are read from option dictionaries and from a config file's sections,
// with QEMU's error texts. What they do at run time is debugger.ts. Reference: QMP's BlkdebugInjectErrorOptions and
// BlkdebugSetStateOptions.
import { Failure } from '../../base/failure.ts';
import { bool, str, type Properties } from '../../schema/property.ts';
import { isDebugEvent, type DebugEvent } from '../debug-events.ts';
import { numberOption } from '../filter-options.ts';
import { SECTOR } from '../node.ts';
import { OptionDict } from '../options.ts';

export const IO_TYPES = ['read', 'write', 'write-zeroes', 'discard', 'flush', 'block-status'] as const;
export type IoType = (typeof IO_TYPES)[number];

export const SECTIONS = ['inject-error', 'set-state'] as const;
export type Section = (typeof SECTIONS)[number];

interface Trigger {
  readonly event: DebugEvent;
  /** 0: in any state. */
  readonly state: number;
}

export interface InjectError extends Trigger {
  readonly kind: 'inject-error';
  /** Undefined: every kind of request but block-status. */
  readonly ioType: IoType | undefined;
  /** 0 fails nothing. */
  readonly errno: number;
  /** The request must contain this byte; undefined: any request. */
  readonly offset: number | undefined;
  readonly once: boolean;
  readonly immediately: boolean;
}

export interface SetState extends Trigger {
  readonly kind: 'set-state';
  readonly newState: number;
}

export type Rule = InjectError | SetState;

const EIO = 5;

const TRIGGER = { event: { type: str }, state: { type: numberOption } } as const;

const INJECT_ERROR = {
  ...TRIGGER,
  iotype: { type: str },
  errno: { type: numberOption },
  sector: { type: numberOption },
  once: { type: bool },
  immediately: { type: bool },
} as const;

const SET_STATE = { ...TRIGGER, new_state: { type: numberOption } } as const;

const isIoType = (name: string): name is IoType => (IO_TYPES as readonly string[]).includes(name);

const badValue = (value: string): Failure => new Failure('invalid-argument', `invalid parameter value: ${value}`);

function eventOf(name: string | undefined): DebugEvent {
  if (name === undefined) throw new Failure('invalid-argument', 'Missing event name for rule');
  if (!isDebugEvent(name)) throw badValue(name);
  return name;
}

/** One rule from its options; `unknown` says how an option that a section does not have is refused. */
export function ruleFrom(section: Section, options: OptionDict, unknown: (name: string) => Failure): Rule {
  const declared: Properties = section === 'inject-error' ? INJECT_ERROR : SET_STATE;
  for (const name of options.keys()) if (!Object.hasOwn(declared, name)) throw unknown(name);
  return section === 'inject-error' ? injectErrorFrom(options) : setStateFrom(options);
}

function injectErrorFrom(options: OptionDict): InjectError {
  const given = options.absorb(INJECT_ERROR);
  const event = eventOf(given.event);
  if (given.iotype !== undefined && !isIoType(given.iotype)) throw badValue(given.iotype);
  const sector = given.sector ?? -1;
  return {
    kind: 'inject-error',
    event,
    state: given.state ?? 0,
    ioType: given.iotype as IoType | undefined,
    errno: given.errno ?? EIO,
    offset: sector === -1 ? undefined : sector * SECTOR,
    once: given.once ?? false,
    immediately: given.immediately ?? false,
  };
}

function setStateFrom(options: OptionDict): SetState {
  const given = options.absorb(SET_STATE);
  return { kind: 'set-state', event: eventOf(given.event), state: given.state ?? 0, newState: given.new_state ?? 0 };
}

/** Takes `inject-error.N.*`, `inject-error.*` and the same of `set-state` out of a node's options. */
export function takeRules(options: OptionDict): Rule[] {
  return SECTIONS.flatMap((section) => takeSection(section, options));
}

function takeSection(section: Section, options: OptionDict): Rule[] {
  const all = options.takeUnder(section);
  const items = listOf(all);
  const rest = all.keys();
  if (items.length === 0 && rest.length > 0 && !rest.some((key) => key.includes('.'))) items.push(takeAll(all));
  const [left] = all.keys();
  if (left !== undefined) throw new Failure('invalid-argument', `Unused option '${left}' for [${section}]`);
  const unknown = (name: string): Failure => new Failure('invalid-argument', `[${section}] section doesn't support the option '${name}'`);
  return items.map((item) => ruleFrom(section, item, unknown));
}

/** The items `0.*`, `1.*`, … */
function listOf(options: OptionDict): OptionDict[] {
  const items: OptionDict[] = [];
  while (options.hasUnder(String(items.length))) items.push(options.takeUnder(String(items.length)));
  return items;
}

function takeAll(options: OptionDict): OptionDict {
  const item = options.copy();
  for (const key of options.keys()) options.take(key);
  return item;
}
