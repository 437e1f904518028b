// The block driver of qcow, the first version of the format, with backing files, compression and AES encryption.
import { Failure } from '../../base/failure.ts';
import { str } from '../../schema/property.ts';
import { createLegacyAesCipher } from '../crypto/legacy-aes.ts';
import { passphraseOf } from '../crypto/passphrase.ts';
import type { SectorCipher } from '../crypto/sector-cipher.ts';
import type { BlockDriver, CreateContext, CreateOption, CreateValues, OpenContext } from '../driver.ts';
import { createImageFile } from '../image-format/create-file.ts';
import { ENTRY_BYTES } from '../image-format/table-pages.ts';
import { SECTOR, type Edge } from '../node.ts';
import { ROLE } from '../permissions.ts';
import { checkedHeader, CRYPT, HEADER, l1EntriesFor, QCOW_MAGIC, type QcowHeader } from './header.ts';
import { QcowImage } from './image.ts';

const OPEN_OPTIONS = { 'encrypt.format': { type: str }, 'encrypt.key-secret': { type: str } } as const;

// prettier-ignore
const CREATE_OPTIONS: readonly CreateOption[] = [
  { name: 'size',               type: 'size', help: 'Virtual disk size' },
  { name: 'backing_file',       type: 'str',  help: 'File name of a base image' },
  { name: 'backing_fmt',        type: 'str',  help: 'Format of the backing image' },
  { name: 'encryption',         type: 'bool', help: "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)" },
  { name: 'encrypt.format',     type: 'str',  help: "Encrypt the image, format choices: 'aes'" },
  { name: 'encrypt.key-secret', type: 'str',  help: 'ID of the secret that provides the AES encryption key' },
];

const invalid = (message: string): Failure => new Failure('invalid-argument', message);
const keyMissing = (): Failure => invalid("Parameter 'encrypt.key-secret' is required for cipher");

function cipherFor({ options, flags, host }: OpenContext, header: QcowHeader): SectorCipher | undefined {
  const { 'encrypt.format': format, 'encrypt.key-secret': keySecret } = options.absorb(OPEN_OPTIONS);
  if (!header.encrypted) {
    if (format !== undefined) throw invalid(`No encryption in image header, but options specified format '${format}'`);
    return undefined;
  }
  if (format !== undefined && format !== 'aes') throw invalid(`Header reported 'aes' encryption format but options specify '${format}'`);
  if (flags.noIo) return undefined;
  if (keySecret === undefined) throw keyMissing();
  return createLegacyAesCipher(host.cryptography, passphraseOf(host, keySecret));
}

async function backingNameOf(file: Edge, { backingFileOffset, backingFileSize }: QcowHeader): Promise<string | undefined> {
  if (backingFileOffset === 0) return undefined;
  const name = await file.readBytes(backingFileOffset, backingFileSize);
  const end = name.indexOf(0);
  return new TextDecoder().decode(end < 0 ? name : name.subarray(0, end));
}

async function open(context: OpenContext): Promise<QcowImage> {
  const { node, host } = context;
  const file = (await context.openChild('file', ROLE.IMAGE))!;
  const header = checkedHeader(await file.readBytes(0, HEADER.sizeBytes));
  const cipher = cipherFor(context, header);
  const backingName = await backingNameOf(file, header);
  return new QcowImage({ node, file, header, backingName, cipher, compression: host.compression });
}

function wantsEncryption(values: CreateValues): boolean {
  const format = values.get('encrypt.format');
  if (format !== undefined && values.has('encryption')) {
    throw invalid("'encrypt.format' and its alias 'encryption' can't be used at the same time");
  }
  if (format === 'luks') throw new Failure('unsupported', 'Unsupported encryption format');
  if (format !== undefined && format !== 'aes') throw invalid(`Parameter 'format' does not accept value '${format}'`);
  return format === 'aes' || values.get('encryption') === true;
}

async function create(filename: string, values: CreateValues, context: CreateContext): Promise<void> {
  const size = Math.ceil(Number(values.get('size') ?? 0) / SECTOR) * SECTOR;
  if (size === 0) throw invalid('Image size is too small, cannot be zero length');
  const encrypted = wantsEncryption(values);
  if (encrypted && !values.has('encrypt.key-secret')) throw keyMissing();
  if (encrypted) passphraseOf(context.host, String(values.get('encrypt.key-secret')));
  const backing = values.get('backing_file');
  const name = backing === undefined ? undefined : new TextEncoder().encode(String(backing));
  // Small clusters copy less of a backing file.
  const [clusterBits, l2Bits] = name === undefined ? [12, 9] : [9, 12];
  const nameOffset = HEADER.sizeBytes;
  const l1TableOffset = Math.ceil((nameOffset + (name?.length ?? 0)) / ENTRY_BYTES) * ENTRY_BYTES;
  const l1Bytes = Math.ceil((l1EntriesFor(size, clusterBits, l2Bits) * ENTRY_BYTES) / SECTOR) * SECTOR;
  const fields = {
    magic: QCOW_MAGIC, version: 1, size: BigInt(size), clusterBits, l2Bits, l1TableOffset: BigInt(l1TableOffset),
    cryptMethod: encrypted ? CRYPT.AES : CRYPT.NONE,
    ...(name === undefined ? {} : { backingFileOffset: BigInt(nameOffset), backingFileSize: name.length }),
  }; // prettier-ignore
  checkedHeader(HEADER.encode(fields));
  await createImageFile(filename, values, CREATE_OPTIONS, context, async (file) => {
    await file.write(0, HEADER.encode(fields));
    if (name !== undefined) await file.write(nameOffset, name);
    await file.resize(l1TableOffset + l1Bytes); // an empty table: zeroes
  });
}

export const driver: BlockDriver = {
  name: 'qcow',
  kind: 'format',
  options: OPEN_OPTIONS,
  strongOptions: ['encrypt.format', 'encrypt.key-secret'],
  createOptions: CREATE_OPTIONS,
  create,
  open,
};
