// The command nandu-img: creates, converts, examines and changes disk images, with the command line and the words of QEMU 7.2's
// qemu-img. Here is the choice of the subcommand; each lies in a file of its own and is loaded when it is wanted, because most
// of a short command's time is loading.
import { VERSION } from '../version.ts';
import type { Session } from './session.ts';
import type { ToolIo } from './tool-io.ts';

type Command = (words: readonly string[], session: Session) => Promise<number>;

// prettier-ignore
const COMMANDS: Readonly<Record<string, () => Promise<{ readonly run: Command }>>> = {
  amend:    () => import('./amend.ts'),
  bench:    () => import('./bench.ts'),
  bitmap:   () => import('./bitmap.ts'),
  check:    () => import('./check.ts'),
  commit:   () => import('./commit.ts'),
  compare:  () => import('./compare.ts'),
  convert:  () => import('./convert.ts'),
  create:   () => import('./create.ts'),
  dd:       () => import('./dd.ts'),
  info:     () => import('./info.ts'),
  map:      () => import('./map.ts'),
  measure:  () => import('./measure.ts'),
  rebase:   () => import('./rebase.ts'),
  resize:   () => import('./resize.ts'),
  snapshot: () => import('./snapshot.ts'),
};

export const REFERENCE_VERSION = '7.2';

export const versionText = (): string =>
  `nandu-img version ${VERSION} (compatible with qemu-img ${REFERENCE_VERSION})\nCopyright (c) The nandu authors\n`;

/** Runs one command line; the exit status. Nothing of the process but `io` is used, so that tests run many of them. */
export async function runImg(words: readonly string[], io: ToolIo): Promise<number> {
  const [first] = words;
  if (first === '--version' || first === '-V') {
    io.out(versionText());
    return 0;
  }
  const { runCommand } = await import('./img-command.ts');
  return runCommand(words, io, COMMANDS);
}

/** The program: `words` are its arguments. */
export async function main(words: readonly string[] = process.argv.slice(2), program?: string): Promise<void> {
  const { dieOfInterrupt, processIo } = await import('./process-io.ts');
  const status = await runImg(words, processIo(program));
  dieOfInterrupt();
  process.stdout.write('', () => process.exit(status));
}
