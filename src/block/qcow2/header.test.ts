// Tests of header.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../base/failure.ts';
import { checkFeatures, decodeBackingName, decodeExtensions, decodeFields, encodeHeader, INCOMPATIBLE } from './header.ts';
import { V3_HEADER_BYTES, type Qcow2Header } from './header.ts';

const noWarning = (line: string): void => assert.fail(line);

function newHeader(changes: Partial<Qcow2Header> = {}): Qcow2Header {
  return {
    version: 3, clusterBits: 16, size: 1 << 30, cryptMethod: 0, l1Size: 2, l1TableOffset: 0x30000, refcountTableOffset: 0x10000,
    refcountTableClusters: 1, nbSnapshots: 0, snapshotsOffset: 0, incompatibleFeatures: 0n, compatibleFeatures: 0n, autoclearFeatures: 0n,
    refcountOrder: 4, compressionType: 0, unknownFields: new Uint8Array(0), backingFileOffset: 0, backingFileSize: 0,
    backingFile: undefined,
    backingFormat: undefined, dataFile: undefined, crypto: undefined, bitmaps: undefined, unknownExtensions: [], ...changes,
  }; // prettier-ignore
}

function decode(bytes: Uint8Array): Qcow2Header {
  const header = decodeFields(bytes);
  decodeExtensions(header, bytes, noWarning);
  decodeBackingName(header, bytes);
  return header;
}

test('a header with everything decodes to what was encoded', () => {
  const header = newHeader({
    backingFile: 'bäse.raw',
    backingFormat: 'raw',
    dataFile: 'data.raw',
    incompatibleFeatures: INCOMPATIBLE.DATA_FILE,
    unknownFields: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
    unknownExtensions: [{ type: 0x12345678, data: Uint8Array.of(9, 8, 7) }],
  });
  assert.deepEqual(decode(encodeHeader(header)), header);
});

test('a version 2 header keeps its unknown extensions and has no feature table', () => {
  const header = newHeader({ version: 2, backingFile: 'a', unknownExtensions: [{ type: 5, data: new Uint8Array(16).fill(1) }] });
  const bytes = encodeHeader(header);
  assert.deepEqual(decode(bytes), header);
  assert.equal(header.backingFileOffset, 72 + 24 + 8);
});

test('a name that does not fit the first cluster is refused', () => {
  const header = newHeader({ clusterBits: 9, backingFile: 'x'.repeat(450) });
  assert.throws(() => encodeHeader(header), { errno: 'ENOSPC' });
});

const BROKEN: readonly (readonly [what: string, offset: number, bytes: readonly number[], message: string])[] = [
  ['magic', 0, [0], 'Image is not in qcow2 format'],
  ['version', 7, [4], 'Unsupported qcow2 version 4'],
  ['cluster size', 23, [8], 'Unsupported cluster size: 2^8'],
  ['header length', 103, [96], 'qcow2 header too short'],
  ['long header', 101, [2], 'qcow2 header exceeds cluster size'],
  ['backing offset', 13, [2], 'Invalid backing file offset'],
];

for (const [what, offset, bytes, message] of BROKEN) {
  test(`a wrong ${what} is told in one line`, () => {
    const image = encodeHeader(newHeader());
    image.set(bytes, offset);
    assert.throws(() => decode(image), (error) => error instanceof Failure && error.message === message);
  });
}

test('unknown incompatible features are refused by their names', () => {
  const image = encodeHeader(newHeader({ incompatibleFeatures: 0x60n }));
  const table = image.indexOf(0x68, V3_HEADER_BYTES) + 8;
  image.set([0, 5, ...new TextEncoder().encode('time travel\0')], table); // in place of the dirty bit's name
  const message = 'Unsupported qcow2 feature(s): time travel, Unknown incompatible feature: 40';
  assert.throws(() => checkFeatures(decodeFields(image), image), { message });
});

test('an extension that goes beyond the first cluster is refused', () => {
  const image = encodeHeader(newHeader());
  image.set([0, 0xff, 0xff, 0xff], V3_HEADER_BYTES + 4);
  assert.throws(() => decode(image), { message: 'Header extension too large' });
});
