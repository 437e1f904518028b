// LUKS1 volumes (On-Disk Format Specification 1.2.3): creating, unlocking, and changing key slots, over any storage that holds
// the header area: a whole file (luks/driver.ts), or a run of clusters of a qcow2 image. Not LUKS2.
import { assert } from '../../base/assert.ts';
import type { Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { Cryptography } from '../../ports/codec.ts';
import type { InfoObject } from '../driver.ts';
import { mergeKey, splitKey } from './anti-forensic.ts';
import { ITERATIONS_MAX, iterationsFor } from './key-derivation.ts';
import {
  decodeLuksHeader, encodeLuksHeader, HEADER_READ_BYTES, keyMaterialBytes, LUKS_DIGEST_BYTES, LUKS_KEY_SLOTS, LUKS_SALT_BYTES,
  newLuksHeader, payloadOffsetFor, type KeySlot, type LuksHeader,
} from './luks-header.ts'; // prettier-ignore
import { AMEND_ITER_TIME_MS, type LuksAmend, type LuksCreate } from './luks-options.ts';
import { checkCombination, cipherKeyBytes, createSectorCipher, type SectorCipher } from './sector-cipher.ts';

/** Where the header area lies; offsets count from its start. Reading beyond its end gives zeroes. */
export interface LuksStorage {
  read(offset: number, target: Uint8Array): Eventual<void>;
  write(offset: number, source: Uint8Array): Eventual<void>;
}

export interface LuksVolume {
  readonly header: LuksHeader;
  /** Undefined when the volume was opened without a passphrase. */
  readonly masterKey: Uint8Array | undefined;
  readonly cipher: SectorCipher | undefined;
}

const wrongPassword = (): Failure => new Failure('invalid-argument', 'Invalid password, cannot unlock any keyslot');

const same = (a: Uint8Array, b: Uint8Array): boolean => {
  let difference = a.length ^ b.length;
  for (let at = 0; at < a.length; at++) difference |= a[at]! ^ (b[at] ?? 0);
  return difference === 0;
};

/** The size of the header area, which the payload follows. */
export const luksHeaderBytes = ({ spec }: Pick<LuksCreate, 'spec'>): number => payloadOffsetFor(cipherKeyBytes(spec.cipher, spec.mode));

export async function readLuksHeader(cryptography: Cryptography, storage: LuksStorage): Promise<LuksHeader> {
  const buffer = new Uint8Array(HEADER_READ_BYTES);
  await storage.read(0, buffer);
  return decodeLuksHeader(buffer, (hash) => cryptography.hash(hash, new Uint8Array(0)).length);
}

/** Without a passphrase only the header can be looked at. */
export async function openLuks(cryptography: Cryptography, storage: LuksStorage, passphrase: Uint8Array | undefined): Promise<LuksVolume> {
  const header = await readLuksHeader(cryptography, storage);
  if (passphrase === undefined) return { header, masterKey: undefined, cipher: undefined };
  for (const slot of header.slots) {
    const masterKey = await unlockSlot(cryptography, storage, header, slot, passphrase);
    if (masterKey !== undefined) return { header, masterKey, cipher: createSectorCipher(cryptography, header.spec, masterKey) };
  }
  throw wrongPassword();
}

async function masterKeyDigest(
  cryptography: Cryptography,
  header: Pick<LuksHeader, 'hash' | 'mkDigestSalt' | 'mkDigestIterations'>,
  key: Uint8Array,
): Promise<Uint8Array> {
  return cryptography.pbkdf2(header.hash, key, header.mkDigestSalt, checkedIterations(header.mkDigestIterations), LUKS_DIGEST_BYTES);
}

function checkedIterations(iterations: number): number {
  if (iterations > ITERATIONS_MAX) throw new Failure('limit', `PBKDF iterations ${iterations} larger than ${ITERATIONS_MAX}`);
  return iterations;
}

/** The master key, when `passphrase` opens the slot. */
async function unlockSlot(
  cryptography: Cryptography,
  storage: LuksStorage,
  header: LuksHeader,
  slot: KeySlot,
  passphrase: Uint8Array,
): Promise<Uint8Array | undefined> {
  if (!slot.active) return undefined;
  const slotKey = await cryptography.pbkdf2(header.hash, passphrase, slot.salt, checkedIterations(slot.iterations), header.keyBytes);
  const material = new Uint8Array(keyMaterialBytes(header, slot));
  await storage.read(slot.keyOffset, material);
  createSectorCipher(cryptography, header.spec, slotKey).decrypt(0, material);
  const key = mergeKey(cryptography, header.hash, material.subarray(0, header.keyBytes * slot.stripes), header.keyBytes);
  return same(await masterKeyDigest(cryptography, header, key), header.mkDigest) ? key : undefined;
}

/** Writes the key material of a slot, then fills in the slot; the header itself is not written. */
async function fillSlot(
  cryptography: Cryptography,
  storage: LuksStorage,
  header: LuksHeader,
  slot: KeySlot,
  secret: SlotSecret,
): Promise<void> {
  const salt = cryptography.randomBytes(LUKS_SALT_BYTES);
  const iterations = await iterationsFor(cryptography, header.hash, header.keyBytes, secret.iterTimeMs);
  const slotKey = await cryptography.pbkdf2(header.hash, secret.passphrase, salt, iterations, header.keyBytes);
  const material = new Uint8Array(keyMaterialBytes(header, slot));
  material.set(splitKey(cryptography, header.hash, secret.masterKey, slot.stripes));
  createSectorCipher(cryptography, header.spec, slotKey).encrypt(0, material);
  await storage.write(slot.keyOffset, material);
  Object.assign(slot, { active: true, iterations, salt });
}

interface SlotSecret {
  readonly passphrase: Uint8Array;
  readonly masterKey: Uint8Array;
  readonly iterTimeMs: number;
}

function newUuid(cryptography: Cryptography): string {
  const bytes = cryptography.randomBytes(16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** A new volume with `passphrase` in its first slot. `allocate` is told the size of the header area and gives the storage. */
export async function createLuks(
  cryptography: Cryptography,
  create: LuksCreate,
  passphrase: Uint8Array,
  allocate: (headerBytes: number) => Eventual<LuksStorage>,
): Promise<LuksVolume> {
  const { spec, hash, iterTimeMs } = create;
  checkCombination(cryptography, spec);
  const masterKey = cryptography.randomBytes(cipherKeyBytes(spec.cipher, spec.mode));
  const mkDigestSalt = cryptography.randomBytes(LUKS_SALT_BYTES);
  // The digest is looked at after each slot that is tried, so it gets an eighth of the time.
  const mkDigestIterations = await iterationsFor(cryptography, hash, LUKS_DIGEST_BYTES, iterTimeMs / 8);
  const mkDigest = await masterKeyDigest(cryptography, { hash, mkDigestSalt, mkDigestIterations }, masterKey);
  const header = newLuksHeader(spec, hash, newUuid(cryptography), { mkDigest, mkDigestSalt, mkDigestIterations });
  const storage = await allocate(header.payloadOffset);
  await fillSlot(cryptography, storage, header, header.slots[0]!, { passphrase, masterKey, iterTimeMs });
  await storage.write(0, encodeLuksHeader(header));
  return { header, masterKey, cipher: createSectorCipher(cryptography, spec, masterKey) };
}

// Key slots -------------------------------------------------------------------------------------------------------------------

export interface AmendContext {
  readonly cryptography: Cryptography;
  readonly storage: LuksStorage;
  readonly volume: LuksVolume;
  readonly force: boolean;
  /** The passphrase of a secret's id; Failure when there is none. */
  secret(id: string): Uint8Array;
}

export async function amendLuks(context: AmendContext, amend: LuksAmend): Promise<void> {
  if (amend.state === 'active') await activateSlot(context, amend);
  else await eraseSlots(context, amend);
}

const WILL_LOSE = 'will erase all the data in the image irreversibly - refusing operation';
const ALL_LOST = `which ${WILL_LOSE}`;

const invalid = (message: string): Failure => new Failure('invalid-argument', message);

function checkedSlot(header: LuksHeader, index: number): KeySlot {
  const slot = header.slots[index];
  if (slot === undefined) throw invalid(`Invalid keyslot ${index} specified, must be between 0 and ${LUKS_KEY_SLOTS - 1}`);
  return slot;
}

async function activateSlot(context: AmendContext, amend: LuksAmend): Promise<void> {
  const { cryptography, storage, force } = context;
  const { header, masterKey } = context.volume;
  if (amend.newSecret === undefined) throw invalid("'new-secret' is required to activate a keyslot");
  if (amend.oldSecret !== undefined) throw invalid("'old-secret' must not be given when activating keyslots");
  let slot: KeySlot | undefined;
  if (amend.keySlot !== undefined) {
    slot = checkedSlot(header, amend.keySlot);
    if (slot.active && !force) throw invalid(`Refusing to overwrite active keyslot ${amend.keySlot} - please erase it first`);
  } else {
    slot = header.slots.find(({ active }) => !active);
    if (slot === undefined) throw invalid("Can't add a keyslot - all keyslots are in use");
  }
  assert(masterKey !== undefined, 'a volume is unlocked before its slots are changed');
  const passphrase = context.secret(amend.newSecret);
  await fillSlot(cryptography, storage, header, slot, { passphrase, masterKey, iterTimeMs: amend.iterTimeMs ?? AMEND_ITER_TIME_MS });
  await storage.write(0, encodeLuksHeader(header));
}

async function eraseSlots(context: AmendContext, amend: LuksAmend): Promise<void> {
  if (amend.newSecret !== undefined) throw invalid("'new-secret' must not be given when erasing keyslots");
  if (amend.iterTimeMs !== undefined) throw invalid("'iter-time' must not be given when erasing keyslots");
  const password = amend.oldSecret === undefined ? undefined : context.secret(amend.oldSecret);
  if (amend.keySlot !== undefined) await eraseGivenSlot(context, amend.keySlot, password);
  else if (password !== undefined) await eraseMatchingSlots(context, password);
  else throw invalid('To erase keyslot(s), either explicit keyslot index or the password currently contained in them must be given');
}

async function eraseGivenSlot(context: AmendContext, index: number, password: Uint8Array | undefined): Promise<void> {
  const { cryptography, storage, force } = context;
  const { header } = context.volume;
  const slot = checkedSlot(header, index);
  if (password !== undefined && (await unlockSlot(cryptography, storage, header, slot, password)) === undefined) {
    throw invalid(`Given keyslot ${index} doesn't contain the given old password for erase operation`);
  }
  if (!force && !slot.active) throw invalid(`Given keyslot ${index} is already erased (inactive) `);
  if (!force && header.slots.filter(({ active }) => active).length === 1) {
    throw invalid(`Attempt to erase the only active keyslot ${index} ${ALL_LOST}`);
  }
  await eraseSlot(context, slot);
}

async function eraseMatchingSlots(context: AmendContext, password: Uint8Array): Promise<void> {
  const { cryptography, storage, force } = context;
  const { header } = context.volume;
  const matching: KeySlot[] = [];
  for (const slot of header.slots) if (await unlockSlot(cryptography, storage, header, slot, password)) matching.push(slot);
  if (matching.length === 0) throw invalid('No keyslots match given (old) password for erase operation');
  if (!force && matching.length === header.slots.filter(({ active }) => active).length) {
    throw invalid(`All the active keyslots match the (old) password that was given and erasing them ${WILL_LOSE}`);
  }
  for (const slot of matching) await eraseSlot(context, slot);
}

/** First the header, so that a slot is never active without its material. */
async function eraseSlot({ cryptography, storage, volume }: AmendContext, slot: KeySlot): Promise<void> {
  const { header } = volume;
  Object.assign(slot, { active: false, iterations: 0, salt: new Uint8Array(LUKS_SALT_BYTES) });
  await storage.write(0, encodeLuksHeader(header));
  await storage.write(slot.keyOffset, cryptography.randomBytes(keyMaterialBytes(header, slot)));
}

// Description -----------------------------------------------------------------------------------------------------------------

/** QMP's QCryptoBlockInfoLUKS, in the order in which the reference prints it. */
export function luksInfo({ spec, hash, uuid, slots, payloadOffset, mkDigestIterations }: LuksHeader): InfoObject {
  return {
    'ivgen-alg': spec.ivGenerator,
    'hash-alg': hash,
    'cipher-alg': spec.cipher,
    uuid,
    ...(spec.ivGenerator === 'essiv' ? { 'ivgen-hash-alg': spec.ivHash } : {}),
    'cipher-mode': spec.mode,
    slots: slots.map(({ active, iterations, keyOffset, stripes }) =>
      active ? { active, iters: iterations, 'key-offset': keyOffset, stripes } : { active, 'key-offset': keyOffset },
    ),
    'payload-offset': payloadOffset,
    'master-key-iters': mkDigestIterations,
  };
}

