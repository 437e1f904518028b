// The luks format: a LUKS1 volume in a file. IVs count from the start of the payload. The volume itself is crypto/luks.ts.
import { assert } from '../../base/assert.ts';
import { ErrnoFailure, prefixed } from '../../base/errno.ts';
import type { Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import { str } from '../../schema/property.ts';
import type { BlockBackend } from '../backend.ts';
import { readEncrypted, writeEncrypted, type EncryptedRange } from '../crypto/encrypted-io.ts';
import { luksAmendFrom, luksAmendOptions, luksCreateFrom, luksCreateOptions } from '../crypto/luks-options.ts';
import { amendLuks, createLuks, luksHeaderBytes, luksInfo, openLuks, type LuksStorage, type LuksVolume } from '../crypto/luks.ts';
import { passphraseOf } from '../crypto/passphrase.ts';
import { PREALLOCATION, WRITE } from '../driver.ts';
import type { BlockDriver, BlockInstance, CreateContext, CreateOption, CreateValues } from '../driver.ts';
import type { InfoObject, OpenContext, Preallocation, TruncateRequest } from '../driver.ts';
import type { BlockHost } from '../host.ts';
import { MAX_SIZE, SECTOR, type Edge } from '../node.ts';
import { ROLE } from '../permissions.ts';

const OPEN_OPTIONS = { 'key-secret': { type: str, help: 'ID of the secret that provides the encryption key' } } as const;
const CREATE_OPTIONS: readonly CreateOption[] = [{ name: 'size', type: 'size', help: 'Virtual disk size' }, ...luksCreateOptions()];

const storageOf = (file: Edge | BlockBackend): LuksStorage => ({
  read: (offset, target) => file.read(offset, target),
  write: (offset, source) => file.write(offset, source),
});

class LuksImage implements BlockInstance {
  readonly limits = { requestAlignment: SECTOR };
  readonly writeFlags = WRITE.FUA | WRITE.UNCHANGED;
  readonly encrypted = true;
  readonly #file: Edge;
  readonly #volume: LuksVolume;
  readonly #host: BlockHost;

  constructor(file: Edge, volume: LuksVolume, host: BlockHost) {
    this.#file = file;
    this.#volume = volume;
    this.#host = host;
  }

  get size(): number {
    return this.#file.size - this.#volume.header.payloadOffset;
  }

  #range(offset: number): EncryptedRange {
    const { cipher, header } = this.#volume;
    assert(cipher !== undefined, 'data is only asked of a volume that was unlocked');
    return { file: this.#file, cipher, fileOffset: header.payloadOffset + offset, cipherOffset: offset };
  }

  read(offset: number, target: Uint8Array): Eventual<void> {
    return readEncrypted(this.#range(offset), target);
  }

  write(offset: number, source: Uint8Array, flags: number): Eventual<void> {
    return writeEncrypted(this.#range(offset), source, flags);
  }

  async truncate(request: TruncateRequest): Promise<void> {
    const { payloadOffset } = this.#volume.header;
    if (request.size > MAX_SIZE - payloadOffset) throw new ErrnoFailure('EFBIG', 'The requested file size is too large');
    // Zeroes in the file are not zeroes here.
    await this.#file.truncate({ ...request, size: request.size + payloadOffset, zeroWrite: false });
  }

  specificInfo(): { type: string; data: InfoObject } {
    return { type: 'luks', data: luksInfo(this.#volume.header) };
  }

  async amend(options: ReadonlyMap<string, string>, progress: (done: number, total: number) => void, force: boolean): Promise<void> {
    const host = this.#host;
    const { cryptography } = host;
    const secret = (id: string): Uint8Array => passphraseOf(host, id);
    await amendLuks({ cryptography, storage: storageOf(this.#file), volume: this.#volume, force, secret }, luksAmendFrom(options));
    progress(1, 1);
  }

  close(): void {}
}

async function open({ options, flags, host, openChild }: OpenContext): Promise<LuksImage> {
  const file = (await openChild('file', ROLE.IMAGE))!;
  const { 'key-secret': keySecret } = options.absorb(OPEN_OPTIONS);
  if (keySecret === undefined && !flags.noIo) throw new Failure('invalid-argument', "Parameter 'key-secret' is required for cipher");
  const passphrase = flags.noIo ? undefined : passphraseOf(host, keySecret!);
  const volume = await openLuks(host.cryptography, storageOf(file), passphrase);
  const image = new LuksImage(file, volume, host);
  if (image.size < 0) throw prefixed('Could not refresh total sector count', new ErrnoFailure('EIO'));
  return image;
}

const sectorsOf = (values: CreateValues): number => Math.ceil(Number(values.get('size') ?? 0) / SECTOR) * SECTOR;

function preallocationOf(values: CreateValues): Preallocation {
  const given = String(values.get('preallocation') ?? 'off');
  const mode = PREALLOCATION.find((candidate) => candidate === given);
  if (mode === undefined) throw new Failure('invalid-argument', `Parameter 'preallocation' does not accept value '${given}'`);
  return mode === 'metadata' ? 'off' : mode;
}

async function create(filename: string, values: CreateValues, context: CreateContext): Promise<void> {
  const { host, graph } = context;
  const wanted = luksCreateFrom(values);
  const preallocation = preallocationOf(values);
  const passphrase = passphraseOf(host, wanted.keySecret);
  const own = new Set(['preallocation', ...CREATE_OPTIONS.map(({ name }) => name)]);
  let file: BlockBackend | undefined;
  try {
    await createLuks(host.cryptography, wanted, passphrase, async (headerBytes) => {
      file = await graph.createFile(filename, new Map([...values].filter(([name]) => !own.has(name))));
      await file.truncate({ size: headerBytes + sectorsOf(values), exact: true, preallocation, zeroWrite: false });
      return storageOf(file);
    });
  } catch (error) {
    await file?.close().catch(() => {}); // the first error is the one that tells
    throw error;
  }
  await file?.close();
}

export const driver: BlockDriver = {
  name: 'luks',
  kind: 'format',
  options: OPEN_OPTIONS,
  strongOptions: ['key-secret'],
  createOptions: CREATE_OPTIONS,
  amendOptions: luksAmendOptions(),
  create,
  async measure(values, source) {
    const size = luksHeaderBytes(luksCreateFrom(values)) + (source === undefined ? sectorsOf(values) : source.size);
    return { required: size, fullyAllocated: size };
  },
  open,
};
