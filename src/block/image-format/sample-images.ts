// Small images of the formats that nothing here can create (bochs, cloop, dmg), for tests and fuzzers. Never for users.
import type { Compression } from '../../ports/codec.ts';
import { concatBytes } from '../../struct/layout.ts';

const SECTOR = 512;
const CLOOP_SCRIPT = '#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n';

const latin1 = (value: string): Uint8Array => Uint8Array.from(value, (char) => char.charCodeAt(0));

/** Bytes that compress, but not to nothing. */
export const samplePattern = (length: number): Uint8Array => Uint8Array.from({ length }, (_, at) => (at * 7 + (at >> 9)) & 0xff);

export interface Sample {
  readonly image: Uint8Array;
  /** What the disk shows. */
  readonly content: Uint8Array;
}

export function bochsSample(version: 1 | 2): Sample {
  const extentBytes = 65536, bitmapBytes = 16, catalogEntries = 16, diskBytes = 1 << 20;
  const header = new Uint8Array(SECTOR);
  const view = new DataView(header.buffer);
  const text = (offset: number, value: string): void => header.set(latin1(value), offset);
  text(0, 'Bochs Virtual HD Image');
  text(32, 'Redolog');
  text(48, 'Growing');
  [version << 16, SECTOR, catalogEntries, bitmapBytes, extentBytes].forEach((value, index) => view.setUint32(64 + 4 * index, value, true));
  view.setBigUint64(version === 1 ? 84 : 88, BigInt(diskBytes), true);
  const catalog = new Uint8Array(4 * catalogEntries).fill(0xff);
  const content = new Uint8Array(diskBytes);
  const extents = [3, 0].flatMap((place, entry) => {
    new DataView(catalog.buffer).setUint32(4 * place, entry, true);
    const bitmap = new Uint8Array(SECTOR);
    const data = samplePattern(extentBytes);
    for (let sector = 0; sector < extentBytes / SECTOR; sector += 3) {
      bitmap[sector >> 3]! |= 1 << (sector & 7);
      content.set(data.subarray(sector * SECTOR, (sector + 1) * SECTOR), place * extentBytes + sector * SECTOR);
    }
    return [bitmap, data];
  });
  return { image: concatBytes(header, catalog, ...extents), content };
}

export async function cloopSample(compression: Compression): Promise<Sample> {
  const blockBytes = 16384, blocks = 5;
  const content = samplePattern(blocks * blockBytes);
  const head = new Uint8Array(128);
  head.set(latin1(CLOOP_SCRIPT));
  const table = new DataView(new ArrayBuffer(8 + 8 * (blocks + 1)));
  table.setUint32(0, blockBytes);
  table.setUint32(4, blocks);
  const parts: Uint8Array[] = [];
  let offset = head.length + table.byteLength;
  for (let index = 0; index <= blocks; index++) {
    table.setBigUint64(8 + 8 * index, BigInt(offset));
    if (index === blocks) break;
    const part = await compression.deflateZlib(content.subarray(index * blockBytes, (index + 1) * blockBytes));
    offset += part.length;
    parts.push(part);
  }
  return { image: concatBytes(head, new Uint8Array(table.buffer), ...parts), content };
}

interface DmgPart {
  readonly type: number;
  readonly content: Uint8Array;
  readonly stored: Uint8Array;
}

/** `bzip2`: a chunk of that kind, already compressed, with what it holds. */
export async function dmgSample(
  compression: Compression,
  inFork: boolean,
  bzip2?: { content: Uint8Array; stored: Uint8Array },
): Promise<Sample> {
  const data = samplePattern(64 * SECTOR);
  const parts: DmgPart[] = [
    { type: 0x80000005, content: data, stored: await compression.deflateZlib(data) },
    { type: 0, content: new Uint8Array(32 * SECTOR), stored: new Uint8Array(0) },
    { type: 1, content: data.subarray(0, 16 * SECTOR), stored: data.subarray(0, 16 * SECTOR) },
    { type: 2, content: new Uint8Array(8 * SECTOR), stored: new Uint8Array(0) },
    ...(bzip2 === undefined ? [] : [{ type: 0x80000006, ...bzip2 }]),
    { type: 0xffffffff, content: new Uint8Array(0), stored: new Uint8Array(0) },
  ];
  const content = concatBytes(...parts.map((part) => part.content));
  const body = concatBytes(...parts.map((part) => part.stored));
  const table = dmgTable(parts, content.length);
  const trailer = new DataView(new ArrayBuffer(SECTOR));
  [0x6b6f6c79, 4, SECTOR].forEach((value, index) => trailer.setUint32(4 * index, value));
  trailer.setBigUint64(0x1ec, BigInt(content.length / SECTOR));
  const map = inFork ? resourceFork(table) : propertyList(table);
  trailer.setBigUint64(inFork ? 40 : 0xd8, BigInt(body.length));
  trailer.setBigUint64(inFork ? 48 : 0xe0, BigInt(map.length));
  return { image: concatBytes(body, map, new Uint8Array(trailer.buffer)), content };
}

function dmgTable(parts: readonly DmgPart[], bytes: number): Uint8Array {
  const table = new DataView(new ArrayBuffer(204 + 40 * parts.length));
  table.setUint32(0, 0x6d697368);
  table.setUint32(4, 1);
  table.setBigUint64(16, BigInt(bytes / SECTOR));
  table.setUint32(200, parts.length);
  let sector = 0, offset = 0;
  parts.forEach(({ type, content, stored }, index) => {
    const at = 204 + 40 * index;
    table.setUint32(at, type);
    [sector, content.length / SECTOR, offset, stored.length].forEach((value, n) => table.setBigUint64(at + 8 + 8 * n, BigInt(value)));
    sector += content.length / SECTOR;
    offset += stored.length;
  });
  return new Uint8Array(table.buffer);
}

function resourceFork(table: Uint8Array): Uint8Array {
  const fork = new DataView(new ArrayBuffer(0x104 + table.length));
  fork.setUint32(0, 0x100);
  fork.setUint32(4, fork.byteLength);
  fork.setUint32(8, 4 + table.length);
  fork.setUint32(0x100, table.length);
  new Uint8Array(fork.buffer).set(table, 0x104);
  return new Uint8Array(fork.buffer);
}

function propertyList(table: Uint8Array): Uint8Array {
  const lines = btoa(String.fromCharCode(...table)).replaceAll(/.{60}/g, '$&\n\t');
  const data = `<key>Data</key>\n<data>\n\t${lines}\n</data>`;
  return latin1(`<?xml version="1.0"?>\n<plist><dict><key>blkx</key><array><dict>${data}</dict></array></dict></plist>`);
}
