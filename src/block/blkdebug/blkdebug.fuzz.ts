// blkdebug's configuration from outside: random rule files, right in most places and wrong in some, over a qcow2 image in memory.
// Opening ends in a node or a Failure; under the rules every request ends in a result or a Failure, in bounded time, and the
// image can be closed.
import { assert } from '../../base/assert.ts';
import { Failure } from '../../base/failure.ts';
import { Prng } from '../../base/prng.ts';
import { BlockBackend } from '../backend.ts';
import { DEBUG_EVENTS } from '../debug-events.ts';
import { BlockGraph } from '../graph.ts';
import { fuzzHost, type HostParts } from '../image-format/fuzz-host.ts';
import { MemoryFiles } from '../image-format/memory-files.ts';
import { OptionDict } from '../options.ts';
import { IO_TYPES, SECTIONS } from './rules.ts';

const SIZE = 1 << 20;
const FILE_BYTES_MAX = 64 << 20;
const RULES_MAX = 12;
const REQUESTS = 30;
const KEYS = ['event', 'state', 'errno', 'sector', 'once', 'immediately', 'iotype', 'new_state', 'nonsense', ''];
const NUMBERS = ['0', '1', '2', '5', '28', '-1', '4294967296', '0x10', '99999999999999999999', '1.5', 'x', ''];
const WORDS = ['on', 'off', 'maybe', '"', 'a b', '\u0000', 'ä'];

function value(random: Prng, key: string): string {
  if (random.oneIn(12)) return random.pick(WORDS);
  if (key === 'event') return random.pick(DEBUG_EVENTS);
  if (key === 'iotype') return random.pick(IO_TYPES);
  if (key === 'once' || key === 'immediately') return random.pick(['on', 'off']);
  return random.oneIn(3) ? random.pick(NUMBERS) : String(random.below(8));
}

function section(random: Prng): string {
  const name = random.oneIn(20) ? random.pick(['', 'bogus', 'x'.repeat(100)]) : random.pick(SECTIONS);
  const head = random.oneIn(4) ? `[${name} "${random.below(5)}"]` : `[${name}]`;
  const keys = ['event', ...Array.from({ length: random.below(4) }, () => random.pick(KEYS))];
  const lines = keys.map((key) => {
    const text = value(random, key);
    return random.oneIn(30) ? `${key} ${text}` : `  ${key} = "${text}"`;
  });
  return [head, ...lines, random.oneIn(8) ? '# a comment' : ''].join('\n');
}

/** A rule file, sometimes with bytes of it changed or its end missing. */
function configText(random: Prng): string {
  const text = Array.from({ length: 1 + random.below(RULES_MAX) }, () => section(random)).join('\n');
  if (random.oneIn(4)) return text.slice(0, random.below(text.length));
  if (!random.oneIn(4)) return text;
  const at = random.below(text.length);
  return `${text.slice(0, at)}${String.fromCharCode(random.below(128))}${text.slice(at + 1)}`;
}

/** Undefined when it failed as it may. */
async function attempt<T>(what: string, action: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await action();
  } catch (error) {
    assert(error instanceof Failure, `${what}: ${error instanceof Error ? error.stack : String(error)}`);
    return undefined;
  }
}

async function request(random: Prng, backend: BlockBackend): Promise<void> {
  const offset = random.below(SIZE / 512) * 512;
  const count = Math.min(SIZE - offset, 512 * (1 + random.below(300)));
  const kind = random.below(6);
  await attempt(`request ${kind} ${offset} ${count}`, async () => {
    if (kind === 0) await backend.read(offset, new Uint8Array(count));
    else if (kind === 1) await backend.write(offset, new Uint8Array(count).fill(1 + random.below(255)));
    else if (kind === 2) await backend.writeZeroes(offset, count);
    else if (kind === 3) await backend.discard(offset, count);
    else if (kind === 4) await backend.flush();
    else await backend.node.status(offset, count, true);
  });
}

export async function fuzzBlkdebug(parts: HostParts, seed: number): Promise<void> {
  const random = new Prng(seed);
  const files = new MemoryFiles(FILE_BYTES_MAX);
  const graph = new BlockGraph(fuzzHost(parts, files));
  await graph.createImage('qcow2', 'image', new Map(Object.entries({ size: SIZE, cluster_size: 4096 })));
  await files.open('rules', { write: true, create: true }).write(0, new TextEncoder().encode(configText(random)));
  const options = OptionDict.fromNested({
    driver: 'qcow2',
    file: { driver: 'blkdebug', config: 'rules', image: { driver: 'file', filename: 'image' } },
  });
  const backend = await attempt('opening', () => BlockBackend.open(graph, { options, resize: true }));
  if (backend === undefined) return;
  for (let n = 0; n < REQUESTS; n++) await request(random, backend);
  await attempt('closing', () => backend.close());
}
