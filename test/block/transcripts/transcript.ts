// Transcripts: command lines that run on our tools and on the reference's, in folders of their own, and must say, return and
// leave the same. A transcript is text, a command a line:
//
//   setup TOOL …      the reference prepares both folders
//   img …, io …       ours in one folder, the reference in the other: same output, same exit status
//   image NAME FORMAT the images of both folders have the same contents and check alike
//   same NAME         byte by byte
//   poke NAME AT HEX  bytes of both folders' files are overwritten
//
// Lines that begin with # are comments.
import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadDriver } from '../../../src/block/drivers.ts';
import { runImg } from '../../../src/cli/image-tools/img.ts';
import { mustRun, noReference, splitWords, TwinFolders, type Mask, type OurTool, type Tool } from '../reference.ts';

/** What is never the same twice: dates of snapshots and measured times. */
const ALWAYS: readonly Mask[] = [
  [/#block\d+/g, '#block'],
  [/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, '<date>'],
  [/"date-(sec|nsec)": \d+/g, '"date-$1": <date>'],
  [/Run completed in [\d.]+ seconds/g, 'Run completed in <time> seconds'],
];

/** How much of the host's disk an image takes, where the formats are free to differ. */
export const DISK_SIZE: readonly Mask[] = [
  [/disk size: .*/g, 'disk size: <size>'],
  [/"actual-size": \d+/g, '"actual-size": <size>'],
];

export interface TranscriptRules {
  readonly masks?: readonly Mask[];
  readonly tools?: Partial<Record<Tool, OurTool>>;
  readonly skip?: string | false;
}

/** Those of the formats that we have. */
export async function present(...formats: readonly string[]): Promise<string[]> {
  const known = await Promise.all(
    formats.map((format) =>
      loadDriver(format).then(
        () => true,
        () => false,
      ),
    ),
  );
  return formats.filter((_format, index) => known[index]);
}

/** One test for each transcript. */
export function transcripts(texts: Readonly<Record<string, string>>, rules: TranscriptRules = {}): void {
  for (const [name, text] of Object.entries(texts)) {
    test(name, { skip: noReference || (rules.skip ?? false) }, () => runTranscript(text, rules));
  }
}

/** Runs all lines, and then tells every difference that there was. */
async function runTranscript(text: string, { masks = [], tools = { img: runImg } }: TranscriptRules): Promise<void> {
  const twins = new TwinFolders(tools);
  const differences: string[] = [];
  try {
    for (const line of text.split('\n').map((part) => part.trim())) {
      if (line === '' || line.startsWith('#')) continue;
      try {
        await runLine(twins, line, [...ALWAYS, ...masks]);
      } catch (error) {
        differences.push(difference(line, error));
      }
    }
  } finally {
    twins.remove();
  }
  if (differences.length > 0) assert.fail(differences.join('\n'));
}

function difference(line: string, error: unknown): string {
  if (!(error instanceof assert.AssertionError) || error.actual === undefined)
    return `${line}\n${error instanceof Error ? error.stack : String(error)}`;
  const show = (value: unknown): string => (typeof value === 'object' ? Object.values(value ?? {}).join('|') : String(value));
  const [actual, expected] = [show(error.actual), show(error.expected)];
  return actual === 'false' ? `${line}\n${error.message}` : `${line}\n  ours:   ${actual}\n  theirs: ${expected}`;
}

function poke(path: string, offset: number, bytes: Uint8Array): void {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, offset);
  closeSync(file);
}

async function runLine(twins: TwinFolders, line: string, masks: readonly Mask[]): Promise<void> {
  const [verb, first, second, third] = splitWords(line);
  if (verb === 'setup') {
    const [tool, ...words] = splitWords(line).slice(1);
    for (const folder of [twins.ours, twins.theirs]) mustRun(tool as Tool, words, folder);
  } else if (verb === 'poke') twins.write(first!, (path) => poke(path, Number(second), Buffer.from(third!, 'hex')));
  else if (verb === 'image') await twins.sameImage(first!, second);
  else if (verb === 'same') {
    assert.ok(readFileSync(join(twins.ours, first!)).equals(readFileSync(join(twins.theirs, first!))), `${first} differs`);
  } else await twins.same(line, masks);
}
