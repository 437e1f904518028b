// Where this thread's time goes, by V8's sampling profiler: interpreter, regions, support module, decoding, translating, compiling,
// devices. Samples are attributed by the module or source file that they fall into, those in native code to their caller's.
// What V8 optimises on threads of its own is not seen.
import { readFileSync } from 'node:fs';
import { Session, type Profiler } from 'node:inspector';

const SAMPLE_US = 1000;
/** A profile's samples are added up, and let go, so often. */
const PART_MS = 20_000;

const SUPPORT = 'support module';
const FORMING = 'forming and emitting regions';
const KINDS = [
  ['interpreter', /^wasm:.*\/interpreter-/],
  ['regions', /^wasm:.*\/regions-/],
  [SUPPORT, /^wasm:/],
  ['decoding', /\/src\/cpu\/x86\//],
  ['counting how regions are left', /\/src\/cpu\/translator\/exit-counts/],
  [FORMING, /\/src\/(cpu\/(translator|ir)|wasm)\//],
  ['devices', /\/src\/(devices|bus|machine|chardev|block|net)\//],
  ['the loop around the processor', /\/src\/(vm|cpu)\//],
] as const;
const COMPILING = new Set(['Module', 'Instance']);

/** In a bundle (tools/build-commands.ts) each module follows a comment that names it: where they begin, the last first. */
class Bundle {
  readonly #starts: readonly { readonly line: number; readonly module: string }[];

  constructor(path: string) {
    const lines = readFileSync(path, 'latin1').split('\n');
    const starts = lines.map((text, line) => ({ line, module: /^ *\/\/ (dist\/src\/\S+)$/.exec(text)?.[1] ?? '' }));
    this.#starts = starts.filter(({ module }) => module !== '').reverse();
  }

  moduleAt(line: number): string {
    return `/${this.#starts.find((start) => start.line <= line)?.module ?? ''}`;
  }
}

const bundles = new Map<string, Bundle>();

/** URL of the module that a function is of, as if nothing were bundled. */
function moduleOf(url: string, line: number): string {
  if (!url.endsWith('.cjs')) return url;
  const path = url.replace('file://', '');
  const bundle = bundles.get(path) ?? new Bundle(path);
  bundles.set(path, bundle);
  return bundle.moduleAt(line);
}

function kindOf({ functionName, url, lineNumber }: Profiler.ProfileNode['callFrame']): string | undefined {
  if (url === '') {
    if (COMPILING.has(functionName)) return 'compiling in V8, first tier';
    if (functionName === '(garbage collector)') return 'garbage collection';
    return functionName === '(idle)' ? 'idle' : undefined;
  }
  const module = moduleOf(url, lineNumber);
  return KINDS.find(([, pattern]) => pattern.test(module))?.[0];
}

export class TimeProfile {
  readonly #session = new Session();
  readonly #ms = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.setSamplingInterval', { interval: SAMPLE_US });
    this.#session.post('Profiler.start');
    this.#timer = setInterval(() => {
      this.#stopPart();
      this.#session.post('Profiler.start');
    }, PART_MS).unref();
  }

  /** Ends the measurement: milliseconds by kind, the largest first. */
  finish(): readonly (readonly [kind: string, ms: number])[] {
    clearInterval(this.#timer);
    this.#stopPart();
    this.#session.disconnect();
    return [...this.#ms].sort((a, b) => b[1] - a[1]);
  }

  /** The session answers before `post` returns. */
  #stopPart(): void {
    this.#session.post('Profiler.stop', (error, result) => {
      if (error === null && result !== undefined) this.#add(result.profile);
    });
  }

  #add({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): void {
    const kinds = new Map<number, string>();
    const visit = (byId: ReadonlyMap<number, Profiler.ProfileNode>, id: number, inherited: string): void => {
      const { callFrame, children = [] } = byId.get(id)!;
      const own = kindOf(callFrame) ?? inherited;
      const kind = own === SUPPORT && inherited === FORMING ? FORMING : own; // the emitter is a part of that module
      kinds.set(id, kind);
      for (const child of children) visit(byId, child, kind);
    };
    if (nodes.length > 0) visit(new Map(nodes.map((node) => [node.id, node])), nodes[0]!.id, 'the rest');
    samples.forEach((id, n) => {
      const kind = kinds.get(id) ?? 'the rest';
      this.#ms.set(kind, (this.#ms.get(kind) ?? 0) + timeDeltas[n]! / 1000);
    });
  }
}
