// Options that several subcommands of nandu-img have, and the checks that go with them.
import { Failure } from '../../base/failure.ts';
import type { LongName } from './getopt.ts';

// prettier-ignore
export const LONG = {
  help:        { long: 'help',        name: 'h',           argument: 'none' },
  object:      { long: 'object',      name: 'object',      argument: 'required' },
  imageOpts:   { long: 'image-opts',  name: 'image-opts',  argument: 'none' },
  forceShare:  { long: 'force-share', name: 'U',           argument: 'none' },
  output:      { long: 'output',      name: 'output',      argument: 'required' },
  format:      { long: 'format',      name: 'f',           argument: 'required' },
  progress:    { long: 'progress',    name: 'progress',    argument: 'required' },
} as const satisfies Readonly<Record<string, LongName<string>>>;

export type OutputFormat = 'human' | 'json';

/** The value of --output, checked once all options are read. */
export function outputFormat(text: string | undefined): OutputFormat {
  if (text === undefined || text === 'human') return 'human';
  if (text === 'json') return 'json';
  throw new Failure('invalid-argument', '--output must be used with human or json as argument.');
}
