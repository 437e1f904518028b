// nandu-img map: which parts of an image are data or zeroes, and where they lie.
import { mapImage, type MapEntry } from '../../block/operations/map-image.ts';
import { LONG, outputFormat } from './common-options.ts';
import { parseSizeArgument } from './human-size.ts';
import { UsageFailure, type Session } from './session.ts';
import { Failure } from '../../base/failure.ts';

const GRAMMAR = {
  short: ':f:s:l:hU',
  long: [
    LONG.help,
    LONG.format,
    LONG.output,
    LONG.object,
    LONG.imageOpts,
    LONG.forceShare,
    { long: 'start-offset', name: 's', argument: 'required' },
    { long: 'max-length', name: 'l', argument: 'required' },
  ],
} as const;

const ALL = Number.MAX_SAFE_INTEGER;

export async function run(words: readonly string[], session: Session): Promise<number> {
  const operands: string[] = [];
  let format: string | undefined;
  let output: string | undefined;
  let imageOptions = false;
  let forceShare = false;
  let start = 0;
  let length = ALL;
  const bytes = (what: string, text: string): number =>
    Math.min(ALL, Number(parseSizeArgument(what, text, { warn: (line) => session.warn(line) })));
  for (const { name, argument } of session.options<string>('map', words, GRAMMAR, operands)) {
    if (name === 'f') format = argument;
    else if (name === 'U') forceShare = true;
    else if (name === 's') start = bytes('start offset', argument!);
    else if (name === 'l') length = bytes('max length', argument!);
    else if (name === 'output') output = argument;
    else if (name === 'image-opts') imageOptions = true;
  }
  if (operands.length !== 1) throw new UsageFailure('Expecting one image file name');
  const shown = outputFormat(output);
  const backend = await session.open({ filename: operands[0]!, format, imageOptions, forceShare, flags: { readOnly: true } });
  try {
    const entries = mapImage(backend.node, start, length);
    await (shown === 'json' ? showJson(session, start, entries) : showTable(session, entries));
  } finally {
    await backend.close();
  }
  return 0;
}

async function showTable({ io }: Session, entries: AsyncIterable<MapEntry>): Promise<void> {
  io.out(`${'Offset'.padEnd(16)}${'Length'.padEnd(16)}${'Mapped to'.padEnd(16)}File\n`);
  const hex = (value: number): string => (value === 0 ? '0' : `0x${value.toString(16)}`).padEnd(16);
  for await (const { start, length, data, zero, offset, file } of entries) {
    if (data && offset === undefined) throw new Failure('unsupported', 'File contains external, encrypted or compressed clusters.');
    if (data && !zero) io.out(`${hex(start)}${hex(length)}${hex(offset ?? 0)}${file ?? ''}\n`);
  }
}

async function showJson({ io }: Session, from: number, entries: AsyncIterable<MapEntry>): Promise<void> {
  let before = '[';
  for await (const { start, length, depth, present, zero, data, offset } of entries) {
    const where = offset === undefined ? '' : `, "offset": ${offset}`;
    io.out(
      `${before}{ "start": ${start}, "length": ${length}, "depth": ${depth}, "present": ${present}, ` +
        `"zero": ${zero}, "data": ${data}${where}}`,
    );
    before = ',\n';
  }
  const nothing = `[{ "start": ${from}, "length": 0, "depth": 0, "present": false, "zero": false, "data": false}`;
  io.out(before === '[' ? `${nothing}]\n` : ']\n');
}
