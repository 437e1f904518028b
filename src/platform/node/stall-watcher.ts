// The other end of stall-watch.ts: a thread that sees when the event loop's turns do not go on, and then samples the main thread with V8's
// profiler until they do. What runs most often is sent, the innermost function first. A loop that hangs in a call of the operating system
// cannot be sampled: its stall has no stack.
import { Session, type Profiler } from 'node:inspector';
import { parentPort, workerData } from 'node:worker_threads';
import { BEAT } from '../../trace/stalls.ts';

const beats = workerData as Int32Array;
const BUSY_POLL_MS = 20;
const ASLEEP_POLL_MS = 250;
/**
 * Polls without a turn after which it is looked into. V8's profiler takes the main thread some 60 ms as it starts, because it lists
 * all code there is; a shorter stall is not worth that, nor one in which a busy host has only left the machine waiting.
 */
const SILENT_POLLS = 5;
const SAMPLE_US = 1000;
const SAMPLING_MS_MAX = 100;
/** On a host that has too much to do the loop stands still often, and looking would make it worse. */
const PAUSE_MS = 1000;
const FRAMES_MAX = 8;

const neverNotified = new Int32Array(new SharedArrayBuffer(4));
const pause = (ms: number): void => void Atomics.wait(neverNotified, 0, 0, ms);
const turns = (): number => Atomics.load(beats, BEAT.TURNS);
const isAsleep = (): boolean => Atomics.load(beats, BEAT.ASLEEP) !== 0;

async function sampleUntilTurn(before: number): Promise<Profiler.Profile> {
  const alive = setInterval(() => {}, PAUSE_MS); // an answer that is awaited does not keep the thread
  const session = new Session();
  session.connectToMainThread();
  const post = <T>(method: string, parameters: object = {}): Promise<T> => new Promise((resolve, reject) => {
    session.post(method, parameters, (error, result) => (error === null ? resolve(result as T) : reject(error)));
  });
  try {
    await post('Profiler.enable');
    await post('Profiler.setSamplingInterval', { interval: SAMPLE_US });
    await post('Profiler.start');
    for (let waited = 0; waited < SAMPLING_MS_MAX && turns() === before; waited += BUSY_POLL_MS) pause(BUSY_POLL_MS);
    return (await post<Profiler.StopReturnType>('Profiler.stop')).profile;
  } finally {
    clearInterval(alive);
    session.disconnect();
  }
}

/** Samples that tell nothing of who holds the loop: it went on before it could be looked into, or was in code that has no frames. */
const NOTHING: ReadonlySet<string> = new Set(['(idle)', '(program)']);
const WASM = /^wasm-function|^wasm:/;

/** The path to where most samples are; runs of WebAssembly are the guest's. */
function hottestStack({ nodes, samples = [] }: Profiler.Profile): string[] {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child): [number, number] => [child, id])));
  const counts = new Map<number, number>();
  for (const id of samples) if (!NOTHING.has(byId.get(id)!.callFrame.functionName)) counts.set(id, (counts.get(id) ?? 0) + 1);
  let id = [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
  const frames: string[] = [];
  for (; id !== undefined && frames.length < FRAMES_MAX; id = parents.get(id)) {
    const { functionName, url, lineNumber } = byId.get(id)!.callFrame;
    if (functionName === '(root)') break;
    const file = url.slice(url.lastIndexOf('/') + 1);
    const isGuest = WASM.test(functionName) || url.startsWith('wasm');
    const frame = isGuest ? 'guest code' : `${functionName || 'a function'}${file === '' ? '' : ` (${file}:${lineNumber + 1})`}`;
    if (frame !== frames.at(-1)) frames.push(frame);
  }
  return frames;
}

async function watch(): Promise<never> {
  let last = turns();
  for (let silent = 0; ;) {
    pause(isAsleep() ? ASLEEP_POLL_MS : BUSY_POLL_MS);
    const now = turns();
    silent = now === last && !isAsleep() ? silent + 1 : 0;
    last = now;
    if (silent < SILENT_POLLS) continue;
    const frames = hottestStack(await sampleUntilTurn(now));
    if (frames.length > 0) parentPort?.postMessage(frames);
    pause(PAUSE_MS);
    last = turns();
    silent = 0;
  }
}

void watch();
