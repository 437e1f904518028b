// nandu-img info: what an image is, and the images it is based on.
import { Failure } from '../../base/failure.ts';
import { imageInfo, type ImageInfo } from '../../block/operations/image-info.ts';
import { LONG, outputFormat } from './common-options.ts';
import { imageJson, imageText } from './image-dump.ts';
import { prettyJson } from './json-text.ts';
import { UsageFailure, type ImageRequest, type Session } from './session.ts';

const GRAMMAR = {
  short: ':hf:U',
  long: [
    LONG.help,
    LONG.format,
    LONG.output,
    { long: 'backing-chain', name: 'backing-chain', argument: 'none' },
    LONG.object,
    LONG.imageOpts,
    LONG.forceShare,
  ],
} as const;

export async function run(words: readonly string[], session: Session): Promise<number> {
  const operands: string[] = [];
  let format: string | undefined;
  let output: string | undefined;
  let chain = false;
  let imageOptions = false;
  let forceShare = false;
  for (const { name, argument } of session.options<string>('info', words, GRAMMAR, operands)) {
    if (name === 'f') format = argument;
    else if (name === 'U') forceShare = true;
    else if (name === 'output') output = argument;
    else if (name === 'backing-chain') chain = true;
    else if (name === 'image-opts') imageOptions = true;
  }
  if (operands.length !== 1) throw new UsageFailure('Expecting one image file name');
  const shown = outputFormat(output);
  const infos = await collect(session, { filename: operands[0]!, format, imageOptions, forceShare }, chain);
  if (shown === 'human') session.io.out(infos.map(imageText).join('\n'));
  else session.io.out(`${prettyJson(chain ? infos.map(imageJson) : imageJson(infos[0]!))}\n`);
  return 0;
}

/** The image and, for a chain, those below it: each is opened by itself, as its overlay names it. */
async function collect(session: Session, first: ImageRequest, chain: boolean): Promise<ImageInfo[]> {
  const infos: ImageInfo[] = [];
  const seen = new Set<string>();
  let next: ImageRequest | undefined = first;
  while (next !== undefined) {
    const { filename }: ImageRequest = next;
    if (seen.has(filename)) throw new Failure('corrupt', `Backing file '${filename}' creates an infinite loop.`);
    seen.add(filename);
    const info = await examine(session, next);
    infos.push(info);
    const { backing } = info;
    next =
      chain && backing?.fullName !== undefined
        ? { filename: backing.fullName, format: backing.format, forceShare: first.forceShare ?? false }
        : undefined;
  }
  return infos;
}

async function examine(session: Session, request: ImageRequest): Promise<ImageInfo> {
  const backend = await session.open({ ...request, flags: { readOnly: true, noBacking: true, noIo: true }, use: { noIo: true } });
  try {
    return await imageInfo(backend.node);
  } finally {
    await backend.close();
  }
}
