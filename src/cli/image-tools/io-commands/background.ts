// The commands whose requests run on while others follow: aio_read, aio_write, aio_flush.
import { WRITE } from '../../../block/driver.ts';
import type { BlockNode } from '../../../block/node.ts';
import { parseNumber, parsePattern, parseWords, UsageWanted, type IoCommand, type IoEnvironment } from './command.ts';
import { dumpText, transferText } from './format.ts';
import { timed, vectorLength, verify } from './transfer.ts';

const UNREAD = 0xab;
const DEFAULT_PATTERN = 0xcd;

function runRead(words: readonly string[], environment: IoEnvironment): void {
  let pattern: number | undefined;
  const { flags, operands } = parseWords(environment, 'aio_read', words, 'CP:iqv', (letter, argument) => {
    if (letter === 'P') pattern = parsePattern(environment, argument);
  });
  if (flags.has('i')) return environment.say('injecting invalid read request\n');
  if (operands.length < 2) throw new UsageWanted();
  const offset = parseNumber(environment, operands[0]!);
  const count = vectorLength(environment, operands.slice(1));
  const bytes = new Uint8Array(count).fill(UNREAD);
  const { backend } = environment;
  const request = async (): Promise<string> => {
    const { error, elapsedNs } = await timed(() => backend.read(offset, bytes));
    if (error !== undefined) return `readv failed: ${error}\n`;
    const complaint = pattern === undefined ? undefined : verify(bytes, offset, { pattern, start: 0, length: count });
    const parts = [complaint === undefined ? '' : `${complaint}\n`];
    if (!flags.has('q')) {
      if (flags.has('v')) parts.push(dumpText(bytes, offset));
      parts.push(transferText({ verb: 'read', offset, requested: count, total: count, operations: 1, elapsedNs }, flags.has('C')));
    }
    return parts.join('');
  };
  environment.start(request());
}

function runWrite(words: readonly string[], environment: IoEnvironment): void {
  let pattern = DEFAULT_PATTERN;
  const { flags, operands } = parseWords(environment, 'aio_write', words, 'CfiP:quz', (letter, argument) => {
    if (letter === 'P') pattern = parsePattern(environment, argument);
  });
  if (flags.has('i')) return environment.say('injecting invalid write request\n');
  if (operands.length < 2) throw new UsageWanted();
  if (flags.has('z') && operands.length !== 2) environment.fail('-z supports only a single length parameter');
  if (flags.has('u') && !flags.has('z')) environment.fail('-u requires -z to be specified');
  const offset = parseNumber(environment, operands[0]!);
  const zeroes = flags.has('z');
  const count = zeroes ? parseNumber(environment, operands[1]!) : vectorLength(environment, operands.slice(1));
  const bytes = zeroes ? undefined : new Uint8Array(count).fill(pattern);
  const bits = (flags.has('f') ? WRITE.FUA : 0) | (flags.has('u') ? WRITE.MAY_UNMAP : 0);
  const { backend } = environment;
  const request = async (): Promise<string> => {
    const { error, elapsedNs } = await timed(() =>
      bytes === undefined ? backend.writeZeroes(offset, count, bits) : backend.write(offset, bytes, bits),
    );
    if (error !== undefined) return `aio_write failed: ${error}\n`;
    return flags.has('q')
      ? ''
      : transferText({ verb: 'wrote', offset, requested: count, total: count, operations: 1, elapsedNs }, flags.has('C'));
  };
  environment.start(request());
}

/** Every node of the tree, once. */
function subtree(node: BlockNode, seen = new Set<BlockNode>()): Set<BlockNode> {
  if (!seen.has(node)) {
    seen.add(node);
    for (const edge of node.children) subtree(edge.node, seen);
  }
  return seen;
}

/** Waits for all requests; none is throttled meanwhile. */
export async function drain(environment: IoEnvironment): Promise<void> {
  const nodes = environment.image === undefined ? [] : [...subtree(environment.image.backend.node)];
  for (const node of nodes) node.instance.drainBegin?.();
  await environment.settle();
  for (const node of nodes) node.instance.drainEnd?.();
}

export const BACKGROUND_COMMANDS: readonly IoCommand[] = [
  {
    name: 'aio_read',
    args: '[-Ciqv] [-P pattern] off len [len..]',
    summary: 'asynchronously reads a number of bytes',
    minArgs: 2,
    help: [
      '',
      ' Begins to read from the open image, and goes on with the next command; aio_flush waits',
      ' for the end. The command has succeeded once the request is begun, whatever becomes of it.',
      " Example: 'aio_read -v 512 1k 1k' - shows 2 kilobytes from offset 512",
      '',
      ' -C, -- report statistics in a machine parsable format',
      ' -P, -- use a pattern to verify read data',
      ' -i, -- treat request as invalid, for exercising stats',
      ' -v, -- dump buffer to standard output',
      ' -q, -- quiet mode, do not show I/O statistics',
      '',
    ],
    run: runRead,
  },
  {
    name: 'aio_write',
    args: '[-Cfiquz] [-P pattern] off len [len..]',
    summary: 'asynchronously writes a number of bytes',
    minArgs: 2,
    changes: 'data',
    help: [
      '',
      ' Begins to write into the open image, and goes on with the next command; aio_flush waits',
      ' for the end. The command has succeeded once the request is begun, whatever becomes of it.',
      " Example: 'aio_write 512 1k 1k' - writes 2 kilobytes at offset 512",
      '',
      ' -P, -- use different pattern to fill file',
      ' -C, -- report statistics in a machine parsable format',
      ' -f, -- use Force Unit Access semantics',
      ' -i, -- treat request as invalid, for exercising stats',
      ' -q, -- quiet mode, do not show I/O statistics',
      ' -u, -- with -z, allow unmapping',
      ' -z, -- write zeroes without a buffer of them',
      '',
    ],
    run: runWrite,
  },
  {
    name: 'aio_flush',
    summary: 'completes all outstanding aio requests',
    minArgs: 0,
    maxArgs: 0,
    run: (_words, environment) => drain(environment),
  },
];
