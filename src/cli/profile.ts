// `nandu profile`: runs a machine and says where its time went, in the guest and in the host. The words before `--` are this file's, those
// behind it are nandu-system-x86_64's.
import { Failure } from '../base/failure.ts';
import { parseCommandLine } from '../schema/command-line.ts';
import { countedText } from '../profile/counts-report.ts';
import type { Profile } from '../profile/report.ts';
import { SymbolTable, type SymbolSource } from '../profile/symbols.ts';
import type { Machine } from '../platform/node/machine.ts';
import { nodePlatform } from '../platform/node/node-platform.ts';
import {
  DEFAULT_HERTZ, DEFAULT_TOP, parseHertz, prepareProfile, profileSession, readCounts, readSymbols, type ProfileForm, type ProfileSession,
} from './profile-session.ts';
import { checkOutput, writeOutput } from './output-file.ts';
import type { MachineObserver } from './run-machine.ts';
import { systemCommandLine } from './system-options.ts';
import { completeSettings, initialSettings } from './system-settings.ts';

const PROGRAM = 'nandu';

const HELP = `usage: nandu profile [OPTION]... -- MACHINE-OPTION...

Runs a machine as nandu-system-x86_64 does, and prints at its end where the time went: what the host did, and where
the guest was, with its callers. MACHINE-OPTION is an option of nandu-system-x86_64.

  -o, --output FILE    write the tables to FILE instead of printing them; FILE.svg, FILE.folded, FILE.json as below
  --flame FILE         a flame graph (SVG)
  --folded FILE        folded stacks, for other flame graph programs
  --speedscope FILE    for https://www.speedscope.app
  --symbols FILE       the guest's symbols: a vmlinux or another ELF file, or a System.map; without it a Linux
                       kernel's are read out of its memory
  --program TASK=FILE  symbols of a guest's program, an ELF file that is linked to a fixed place, by the name of its task;
                       may be given several times
  --rate N             samples a second on average (${DEFAULT_HERTZ})
  --calls              with the call graph as text
  --count              counts instead of samples: the guest is interpreted, some ten times slower; FILE.json has the
                       figures as data. With -icount a run gives the same figures again
  --against FILE.json  beside the counts of the same work, which --count -o FILE.json has written: what an instruction takes
  --top N              rows of the tables (${DEFAULT_TOP})

The monitor of any machine has the same: profile start, profile stop, profile dump [FILE].
`;

interface Request {
  readonly outputs: { readonly form: ProfileForm | undefined; readonly path: string }[];
  symbols: string | undefined;
  against: string | undefined;
  readonly programs: Map<string, string>;
  hertz: number;
  calls: boolean;
  count: boolean;
  top: number;
  help: boolean;
  machine: readonly string[];
}

export async function runProfile(words: readonly string[], out: (text: string) => void): Promise<number> {
  const request = parse(words);
  if (request.help) {
    out(HELP);
    return 0;
  }
  const { outputs, hertz, calls, top } = request;
  const settings = initialSettings();
  const answer = parseCommandLine(systemCommandLine, request.machine, settings);
  if (answer !== undefined) {
    out(answer);
    return 0;
  }
  const symbols = request.symbols === undefined ? undefined : readSymbols(request.symbols);
  const programSymbols = new Map([...request.programs].map(([task, path]) => [task, new SymbolTable(readSymbols(path))] as const));
  completeSettings(settings);
  for (const { path } of outputs) checkOutput(path);
  const { runMachine } = await import('./run-machine.ts');
  if (request.count) return runMachine(PROGRAM, settings, { observe: (machine) => countedRun(machine, symbols, request, out) });
  const against = request.against === undefined ? undefined : readCounts(request.against);
  prepareProfile();
  const observe: MachineObserver = async (machine) => {
    const session = profileSession(machine, { hertz, symbols, programSymbols, calls, top, ...(against !== undefined && { against }) });
    await session.start();
    return () => {
      if (session.isRunning) session.stop();
      write(session, session.profile(), outputs, out);
    };
  };
  return runMachine(PROGRAM, settings, { observe });
}

async function countedRun(
  machine: Machine, symbols: SymbolSource | undefined, { outputs, top }: Request, out: (text: string) => void,
): Promise<() => void> {
  const { MachineCounts } = await import('../vm/machine-counts.ts');
  const module = new WebAssembly.Module(await nodePlatform.readModule('interpreter-counting.wasm'));
  const counts = new MachineCounts(machine, module, symbols);
  return () => {
    const profile = counts.profile();
    for (const { path } of outputs) {
      writeOutput(path, path.endsWith('.json') ? `${JSON.stringify(profile, undefined, 2)}\n` : countedText(profile, top));
    }
    if (outputs.length === 0) out(`\n${countedText(profile, top)}`);
  };
}

function write(session: ProfileSession, profile: Profile, outputs: Request['outputs'], out: (text: string) => void): void {
  for (const { form, path } of outputs) session.write(path, form, profile);
  if (!outputs.some(({ form }) => form === undefined)) out(`\n${session.text(profile)}`);
}

const FORMS: Readonly<Record<string, ProfileForm | undefined>> = {
  '-o': undefined, '--output': undefined, '--flame': 'flame', '--folded': 'folded', '--speedscope': 'speedscope',
};

function parse(words: readonly string[]): Request {
  const request: Request = {
    outputs: [], symbols: undefined, against: undefined, programs: new Map(), hertz: DEFAULT_HERTZ, calls: false, count: false,
    top: DEFAULT_TOP, help: false, machine: [],
  };
  const end = words.indexOf('--');
  request.machine = end < 0 ? [] : words.slice(end + 1);
  const own = end < 0 ? words : words.slice(0, end);
  for (let index = 0; index < own.length; index++) {
    const word = own[index]!;
    const argument = (): string => {
      const text = own[++index];
      if (text === undefined) throw new Failure('invalid-argument', `${word}: requires an argument`);
      return text;
    };
    if (word in FORMS) request.outputs.push({ form: FORMS[word], path: argument() });
    else if (word === '--symbols') request.symbols = argument();
    else if (word === '--against') request.against = argument();
    else if (word === '--program') request.programs.set(...programOf(argument()));
    else if (word === '--rate') request.hertz = parseHertz(argument());
    else if (word === '--top') request.top = rows(argument());
    else if (word === '--calls') request.calls = true;
    else if (word === '--count') request.count = true;
    else if (word === '--help' || word === '-h') request.help = true;
    else throw new Failure('invalid-argument', `${word}: invalid option (see nandu profile --help; a machine's options follow --)`);
  }
  if (words.length === 0) request.help = true;
  if (request.count && (request.calls || request.outputs.some(({ form }) => form !== undefined))) {
    throw new Failure('invalid-argument', '--count has no call stacks: neither --calls nor --flame, --folded, --speedscope');
  }
  if (request.count && request.against !== undefined) throw new Failure('invalid-argument', '--against compares samples: not with --count');
  if (request.count && request.programs.size > 0) throw new Failure('invalid-argument', '--count does not know --program');
  return request;
}

/** A kernel keeps fifteen characters of a task's name. */
const TASK_NAME = /^([^=]{1,15})=(.+)$/;

function programOf(text: string): [task: string, path: string] {
  const [, task, path] = TASK_NAME.exec(text) ?? [];
  if (task === undefined || path === undefined) throw new Failure('invalid-argument', '--program: requires TASK=FILE');
  return [task, path];
}

function rows(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new Failure('invalid-argument', '--top: requires a number');
  return Number(text);
}
