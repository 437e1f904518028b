// nandu-img amend: changes options of an existing image.
import { Failure } from '../../base/failure.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type { BlockDriver } from '../../block/driver.ts';
import { hasDriver, loadDriver } from '../../block/drivers.ts';
import { asksForHelp, CreateOptionValues, optionHelp } from '../../block/operations/create-options.ts';
import { parseCacheMode } from './cache-mode.ts';
import { LONG } from './common-options.ts';
import { addOptionList } from './create.ts';
import { Progress, progressStyle, type ProgressStyle } from './progress.ts';
import { UsageFailure, type Session } from './session.ts';

const GRAMMAR = {
  short: ':ho:f:t:pq',
  long: [LONG.help, LONG.object, LONG.imageOpts, LONG.progress, { long: 'force', name: 'force', argument: 'none' }],
} as const;

const wrong = (message: string): Failure => new Failure('invalid-argument', message);

export async function run(words: readonly string[], session: Session): Promise<number> {
  const operands: string[] = [];
  let format: string | undefined;
  let cacheName = 'writeback';
  let optionText: string | undefined;
  let style: ProgressStyle = 'off';
  let imageOptions = false;
  let force = false;
  for (const { name, argument } of session.options<string>('amend', words, GRAMMAR, operands)) {
    if (name === 'o') optionText = addOptionList(optionText, argument!);
    else if (name === 'f') format = argument;
    else if (name === 't') cacheName = argument!;
    else if (name === 'p') style = 'line';
    else if (name === 'progress') style = progressStyle(argument!);
    else if (name === 'q') session.isQuiet = true;
    else if (name === 'force') force = true;
    else if (name === 'image-opts') imageOptions = true;
  }
  if (optionText === undefined) throw new UsageFailure('Must specify options (-o)');
  if (session.isQuiet && style === 'line') style = 'off';
  const progress = new Progress(session.io, 'amend', style, 1);
  try {
    const [filename] = operands;
    if (format !== undefined && asksForHelp(optionText)) return await showAmendOptions(session, format);
    if (filename === undefined || operands.length > 1) throw wrong('Expecting one image file name');
    const cache = parseCacheMode('cache', cacheName);
    const backend = await session.open({ filename, format, imageOptions, cache });
    try {
      await amend(session, backend, optionText, force, progress);
    } finally {
      await backend.close();
    }
    return 0;
  } finally {
    progress.end();
  }
}

const cannotAmend = ({ name }: BlockDriver): Failure =>
  new Failure('unsupported', `Format driver '${name}' does not support option amendment`);

async function showAmendOptions(session: Session, format: string): Promise<number> {
  if (!hasDriver(format)) throw wrong(`Unknown file format '${format}'`);
  const driver = await loadDriver(format);
  if (driver.amendOptions === undefined) throw cannotAmend(driver);
  session.io.out(`Amend options for '${format}':\n${optionHelp(driver.amendOptions)}`);
  return 0;
}

async function amend(session: Session, backend: BlockBackend, optionText: string, force: boolean, progress: Progress): Promise<void> {
  const { driver, instance } = backend.node;
  if (asksForHelp(optionText)) {
    await showAmendOptions(session, driver.name);
    return;
  }
  if (driver.amendOptions === undefined || instance.amend === undefined) throw cannotAmend(driver);
  const values = parse(driver, optionText);
  progress.set(0);
  try {
    await instance.amend(values, (done, total) => progress.set(total === 0 ? 0 : (100 * done) / total), force);
  } finally {
    progress.set(100); // also after a failure, as the reference
  }
  await backend.flush();
}

function parse(driver: BlockDriver, optionText: string): ReadonlyMap<string, string> {
  const values = new CreateOptionValues(driver.amendOptions!);
  try {
    values.parse(optionText);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const name = /^Invalid parameter '(.*)'$/.exec(error.message)?.[1];
    const isCreateOption = name !== undefined && driver.createOptions?.some((option) => option.name === name);
    throw isCreateOption ? wrong(`${error.message}\nThis option is only supported for image creation`) : error;
  }
  return new Map(values.declared.flatMap(({ name }) => (values.isGiven(name) ? [[name, values.get(name)!] as const] : [])));
}
