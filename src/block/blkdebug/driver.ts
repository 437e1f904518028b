// blkdebug: a filter that fails, holds or restricts requests by rules, for testing what lies above it. Rules come from a config
// file and from options; see rules.ts. Reference: QMP's BlockdevOptionsBlkdebug and the file name `blkdebug:CONFIG:IMAGE`.
import { ErrnoFailure, prefixed } from '../../base/errno.ts';
import { isPromise, type Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { HostFile } from '../../ports/host-file.ts';
import { str } from '../../schema/property.ts';
import { isDebugEvent } from '../debug-events.ts';
import { type BlockDriver, type BlockInstance, type OpenContext } from '../driver.ts';
import { exactFilename } from '../filename.ts';
import { filterInstance } from '../filter.ts';
import type { BlockHost } from '../host.ts';
import type { BlockNode, Edge } from '../node.ts';
import type { OptionDict } from '../options.ts';
import { defaultChildPermissions, PERM, ROLE, type ChildRole, type Permissions } from '../permissions.ts';
import { STATUS } from '../status.ts';
import { MAX_CONFIG_BYTES, parseConfig } from './config.ts';
import { RuleMachine } from './debugger.ts';
import { LIMIT_OPTIONS, takeLimits } from './limits.ts';
import { takeRules, type IoType, type Rule } from './rules.ts';

const OPTIONS = { config: { type: str }, 'x-image': { type: str }, ...LIMIT_OPTIONS } as const;

const PERMISSIONS: Readonly<Record<string, number>> = {
  'consistent-read': PERM.CONSISTENT_READ,
  write: PERM.WRITE,
  'write-unchanged': PERM.WRITE_UNCHANGED,
  resize: PERM.RESIZE,
};

/** `name.0`, `name.1`, … as a set of permissions. */
function takePermissions(options: OptionDict, name: string): number {
  let bits = 0;
  for (let index = 0; options.has(`${name}.${index}`); index++) {
    const value = options.takeText(`${name}.${index}`)!;
    const bit = PERMISSIONS[value];
    // QUIRK: the reference names the parameter "null" here.
    if (bit === undefined) throw new Failure('invalid-argument', `Parameter 'null' does not accept value '${value}'`);
    bits |= bit;
  }
  return bits;
}

async function readConfig(host: BlockHost, path: string): Promise<Rule[]> {
  let text: string;
  try {
    text = await readText(await host.files.open(path, { write: false }));
  } catch (error) {
    throw prefixed('Could not read blkdebug config file', error);
  }
  return parseConfig(text);
}

async function readText(file: HostFile): Promise<string> {
  try {
    const bytes = new Uint8Array(Math.min(file.size(), MAX_CONFIG_BYTES));
    const length = await file.read(0, bytes);
    return new TextDecoder().decode(bytes.subarray(0, length));
  } finally {
    await file.close();
  }
}

async function open({ node, options, host, openChild }: OpenContext): Promise<BlockInstance> {
  const config = options.takeText('config');
  const rules = [...(config === undefined ? [] : await readConfig(host, config)), ...takeRules(options)];
  const taken = takePermissions(options, 'take-child-perms');
  const unshared = takePermissions(options, 'unshare-child-perms');
  const image = options.takeText('x-image');
  const edge = (await openChild('image', ROLE.FILTERED, image === undefined ? {} : { filename: image }))!;
  const limits = takeLimits(options, edge.node.limits.requestAlignment);
  const machine = new RuleMachine(rules, (line) => host.show?.(line));
  return Object.assign(requests(edge, machine, node), {
    limits,
    breakpoints: machine,
    debugEvent: (event: string) => (isDebugEvent(event) ? machine.event(event) : undefined),
    childPermissions(_name: string, role: ChildRole, own: Permissions): Permissions {
      const { perm, shared } = defaultChildPermissions(role, own, !node.readOnly);
      return { perm: perm | taken, shared: shared & ~unshared };
    },
  } satisfies Partial<BlockInstance>);
}

/** `request` after an event of its own and the rules' verdict. */
function checked(machine: RuleMachine, ioType: IoType, offset: number, count: number, request: () => Eventual<void>): Eventual<void> {
  const verdict = machine.check(ioType, offset, count);
  return isPromise(verdict) ? verdict.then(request) : request();
}

function requests(edge: Edge, machine: RuleMachine, node: BlockNode): BlockInstance {
  /** Parts smaller than the pretended unit are refused, so that what is above writes zeroes itself. */
  const refuseSmall = (count: number, unit: number): void => {
    if (count < Math.max(node.limits.requestAlignment, unit)) throw new ErrnoFailure('ENOTSUP');
  };
  const write = async (before: 'pwritev' | 'pwritev_zero', request: () => Eventual<void>): Promise<void> => {
    await machine.event(before);
    try {
      await request();
    } finally {
      await machine.event('pwritev_done');
    }
  };
  const instance: BlockInstance = filterInstance(edge, {
    read: (offset, target, flags) => checked(machine, 'read', offset, target.length, () => edge.read(offset, target, flags)),
    write: (offset, source, flags) =>
      write('pwritev', () => checked(machine, 'write', offset, source.length, () => edge.write(offset, source, flags))),
    writeZeroes: (offset, count, flags) =>
      write('pwritev_zero', () => {
        refuseSmall(count, node.limits.pwriteZeroesAlignment);
        return checked(machine, 'write-zeroes', offset, count, () => edge.writeZeroes(offset, count, flags));
      }),
    discard(offset, count) {
      refuseSmall(count, node.limits.pdiscardAlignment);
      return checked(machine, 'discard', offset, count, () => edge.discard(offset, count));
    },
    flush: () => machine.check('flush', 0, 0),
    async status(offset, count) {
      await machine.check('block-status', offset, count);
      return { count, flags: STATUS.RAW | STATUS.OFFSET_VALID, hostOffset: offset, file: edge.node };
    },
    allocatedFileSize: () => undefined,
  });
  delete instance.writeCompressed; // no such request reaches the reference's filter
  return instance;
}

const PREFIX = 'blkdebug:';

function parseFilename(filename: string, options: OptionDict): void {
  if (!filename.startsWith(PREFIX)) {
    options.set('x-image', filename); // an image given to the driver by name
    return;
  }
  const rest = filename.slice(PREFIX.length);
  const colon = rest.indexOf(':');
  if (colon < 0) throw new Failure('invalid-argument', 'blkdebug requires both config file and image path');
  if (colon > 0) options.set('config', rest.slice(0, colon));
  options.set('x-image', rest.slice(colon + 1));
}

/** Options that a plain name can say: the config file and the image. */
const isPlain = (name: string): boolean => name === 'config' || name === 'x-image' || name === 'image' || name.startsWith('image.');
const COMMON = new Set(['driver', 'node-name', 'read-only', 'auto-read-only', 'force-share', 'discard', 'detect-zeroes', 'filename']);

function plainFilename(node: BlockNode): string | undefined {
  const plain = node.options.keys().every((name) => isPlain(name) || COMMON.has(name) || name.startsWith('cache.'));
  const image = node.primary === undefined ? undefined : exactFilename(node.primary.node);
  return plain && image !== undefined ? `${PREFIX}${String(node.options.get('config') ?? '')}:${image}` : undefined;
}

export const driver: BlockDriver = {
  name: 'blkdebug',
  kind: 'protocol',
  options: OPTIONS,
  needsFilename: false,
  strongOptions: [
    'config',
    'inject-error.',
    'set-state.',
    'align',
    'max-transfer',
    'opt-write-zero',
    'max-write-zero',
    'opt-discard',
    'max-discard',
  ],
  parseFilename,
  exactFilename: plainFilename,
  open,
};
