// The commands about the image as a whole and about ranges of it: flush, truncate, length, info, alloc, map, discard.
import { Failure } from '../../../base/failure.ts';
import { nodeStatus } from '../../../block/chain-status.ts';
import { PREALLOCATION, type Preallocation } from '../../../block/driver.ts';
import { driverInfo } from '../../../block/operations/image-info.ts';
import type { BlockNode } from '../../../block/node.ts';
import { STATUS } from '../../../block/status.ts';
import { specificText } from '../image-dump.ts';
import { CommandFailed, errorText, parseNumber, parseWords, UsageWanted, type IoCommand, type IoEnvironment } from './command.ts';
import { sizeText, transferText } from './format.ts';
import { boundedLength, timed } from './transfer.ts';

const SECTOR = 512;

async function runFlush(_words: readonly string[], environment: IoEnvironment): Promise<void> {
  try {
    await environment.backend.flush();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new CommandFailed(error.message); // the reference says nothing either; the status tells
  } finally {
    await environment.poll();
  }
}

const isPreallocation = (text: string): text is Preallocation => (PREALLOCATION as readonly string[]).includes(text);

async function runTruncate(words: readonly string[], environment: IoEnvironment): Promise<void> {
  let preallocation: Preallocation = 'off';
  const { operands } = parseWords(environment, 'truncate', words, 'm:', (_letter, argument) => {
    if (!isPreallocation(argument)) {
      environment.report(`Invalid preallocation mode '${argument}'`);
      throw new CommandFailed();
    }
    preallocation = argument;
  });
  if (operands[0] === undefined) throw new UsageWanted();
  const size = parseNumber(environment, operands[0]);
  try {
    await environment.backend.truncate({ size, exact: false, preallocation, zeroWrite: false });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    environment.report(error.message);
    throw new CommandFailed(error.message);
  }
}

function runInfo(_words: readonly string[], environment: IoEnvironment): void {
  const top = environment.backend.node;
  // -C is a flag to the user, and a filter here.
  const node = (environment.image!.request.copyOnRead ? top.filtered?.node : undefined) ?? top;
  const { name, kind } = node.driver;
  environment.say(`format name: ${name}\n`.repeat(kind === 'protocol' ? 2 : 1)); // once as a format, once as a protocol
  const info = driverInfo(node);
  if (info === undefined) throw new CommandFailed();
  environment.say(`cluster size: ${sizeText(info.clusterSize)}\nvm state offset: ${sizeText(info.vmStateOffset ?? 0)}\n`);
  const specific = node.instance.specificInfo?.();
  if (specific !== undefined) environment.say(`Format specific information:\n${specificText(specific.data)}`);
}

interface Run {
  readonly allocated: boolean;
  readonly count: number;
}

/** How far this layer is alike from `offset` on. */
async function allocationAt(node: BlockNode, offset: number, count: number): Promise<Run> {
  const { flags, count: known } = await nodeStatus(node, false, offset, count);
  return { allocated: (flags & STATUS.ALLOCATED) !== 0, count: known };
}

async function runAlloc(words: readonly string[], environment: IoEnvironment): Promise<void> {
  const offset = parseNumber(environment, words[0]!);
  const wanted = words[1] === undefined ? SECTOR : parseNumber(environment, words[1]);
  const { node } = environment.backend;
  const count = Math.max(0, Math.min(wanted, node.size - offset));
  let allocated = 0;
  for (let at = offset; at < offset + count;) {
    let run: Run;
    try {
      run = await allocationAt(node, at, offset + count - at);
    } catch (error) {
      return environment.fail(`is_allocated failed: ${errorText(error)}`);
    }
    if (run.count === 0) break;
    if (run.allocated) allocated += run.count;
    at += run.count;
  }
  environment.say(`${allocated}/${count} bytes allocated at offset ${sizeText(offset)}\n`);
}

async function runMap(_words: readonly string[], environment: IoEnvironment): Promise<void> {
  const { node } = environment.backend;
  const { size } = node;
  const place = (bytes: number): string => `0x${bytes.toString(16)}`;
  for (let offset = 0; offset < size;) {
    let run: Run;
    try {
      run = await allocationRun(node, offset, size);
    } catch (error) {
      environment.report(`Failed to get allocation status: ${errorText(error)}`);
      throw new CommandFailed();
    }
    if (run.count === 0) return environment.report('Unexpected end of image');
    const what = run.allocated ? '    allocated' : 'not allocated';
    environment.say(`${sizeText(run.count)} (${place(run.count)}) bytes ${what} at offset ${sizeText(offset)} (${place(offset)})\n`);
    offset += run.count;
  }
}

async function allocationRun(node: BlockNode, offset: number, end: number): Promise<Run> {
  let { allocated, count } = await allocationAt(node, offset, end - offset);
  while (count > 0 && offset + count < end) {
    const next = await allocationAt(node, offset + count, end - offset - count);
    if (next.count === 0 || next.allocated !== allocated) break;
    count += next.count;
  }
  return { allocated, count };
}

async function runDiscard(words: readonly string[], environment: IoEnvironment): Promise<void> {
  const { flags, operands } = parseWords(environment, 'discard', words, 'Cq');
  if (operands.length !== 2) throw new UsageWanted();
  const offset = parseNumber(environment, operands[0]!);
  const total = boundedLength(environment, operands[1]!);
  const { error, elapsedNs } = await timed(() => environment.backend.discard(offset, total));
  await environment.poll();
  if (error !== undefined) environment.fail(`discard failed: ${error}`);
  if (flags.has('q')) return;
  environment.say(transferText({ verb: 'discard', offset, requested: total, total, operations: 1, elapsedNs }, flags.has('C')));
}

export const EXAMINE_COMMANDS: readonly IoCommand[] = [
  { name: 'flush', alias: 'f', summary: 'flush all in-core file state to disk', minArgs: 0, maxArgs: 0, run: runFlush },
  {
    name: 'truncate',
    alias: 't',
    args: '[-m prealloc_mode] off',
    summary: 'truncates the current file at the given offset',
    minArgs: 1,
    maxArgs: 3,
    changes: 'size',
    run: runTruncate,
  },
  {
    name: 'length',
    alias: 'l',
    summary: 'gets the length of the current file',
    minArgs: 0,
    maxArgs: 0,
    run: (_words, environment) => environment.say(`${sizeText(environment.backend.size)}\n`),
  },
  { name: 'info', alias: 'i', summary: 'prints information about the current file', minArgs: 0, maxArgs: 0, run: runInfo },
  {
    name: 'alloc',
    alias: 'a',
    args: 'offset [count]',
    summary: 'checks if offset is allocated in the file',
    minArgs: 1,
    maxArgs: 2,
    run: runAlloc,
  },
  { name: 'map', args: '', summary: 'prints the allocated areas of a file', minArgs: 0, maxArgs: 0, run: runMap },
  {
    name: 'discard',
    alias: 'd',
    args: '[-Cq] off len',
    summary: 'discards a number of bytes at a specified offset',
    minArgs: 2,
    changes: 'data',
    help: [
      '',
      ' Gives up a part of the open image: what is read there afterwards is not defined. Example:',
      " 'discard 512 1k' - discards 1 kilobyte from offset 512",
      '',
      ' -C, -- report statistics in a machine parsable format',
      ' -q, -- quiet mode, do not show I/O statistics',
      '',
    ],
    run: runDiscard,
  },
];
