// The snapshot table of a qcow2 image: decoding with its limits (and, for repair, what can be saved of a table that breaks
// them), and encoding. What this program does not know in an entry's extra data is kept. Specification: qcow2.txt,
// "Snapshots". What snapshots do to the image is snapshots.ts.
import { ErrnoFailure } from '../../base/errno.ts';
import { be16, be32, be64, layout, safeNumber } from '../../struct/layout.ts';
import type { Edge } from '../node.ts';
import { LIMIT, type Qcow2Header } from './header.ts';

const entryLayout = layout('qcow2 snapshot table entry', {
  l1TableOffset: be64(0),
  l1Size: be32(8),
  idSize: be16(12),
  nameSize: be16(14),
  dateSeconds: be32(16),
  dateNanoseconds: be32(20),
  vmClockNs: be64(24),
  vmStateSize: be32(32),
  extraDataSize: be32(36),
});

/** What is known of the extra data, and always written. */
const KNOWN_EXTRA_BYTES = 24;
/** The least that version 3 images must have: VM state and disk size. */
export const REQUIRED_EXTRA_BYTES = 16;
const MAX_EXTRA_BYTES = 1024;
/** The table is read in pieces of this size. */
const WINDOW_BYTES = 1 << 16;

export interface StoredSnapshot {
  /** Where the L1 table is, exactly. */
  readonly l1Place: bigint;
  /** The same as a number: only near beyond 2^53, where no file has anything. */
  readonly l1TableOffset: number;
  /** Entries. */
  readonly l1Size: number;
  readonly idBytes: Uint8Array;
  readonly nameBytes: Uint8Array;
  readonly dateSeconds: number;
  readonly dateNanoseconds: number;
  readonly vmClockNs: bigint;
  readonly vmStateSize: bigint;
  readonly diskSize: bigint;
  /** -1 (all bits set) when it was not recorded. */
  readonly icount: bigint;
  /** As it was in the image. */
  readonly extraDataSize: number;
  readonly unknownExtra: Uint8Array;
}

/** A failure of the table with a second line that says what may be done about it. */
export class SnapshotTableFailure extends ErrnoFailure {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super('EFBIG', message);
    this.hint = hint;
  }
}

/** Names end at a NUL, whatever their length says. */
function untilNul(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

/** A name as text, up to a NUL: UTF-8 where it is that, Latin-1 otherwise. */
export function bytesText(bytes: Uint8Array): string {
  const text = untilNul(bytes);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(text);
  } catch {
    return Array.from(text, (byte) => String.fromCharCode(byte)).join('');
  }
}

export interface SnapshotTable {
  readonly snapshots: StoredSnapshot[];
  readonly bytes: number;
}

/** What a repair has thrown away of a table. */
export interface TableRepair {
  entriesDropped: number;
  extraDataDropped: number;
  report(line: string): void;
}

/** The beginning of the table without its content: Failure when the header's fields cannot be right. */
export function checkTablePlace(offset: number, count: number, clusterSize: number, what: string): void {
  if (count > LIMIT.MAX_SNAPSHOTS) throw new ErrnoFailure('EFBIG', `${what} too large`);
  if (offset % clusterSize !== 0 || offset > Number.MAX_SAFE_INTEGER - count * entryLayout.sizeBytes) {
    throw new ErrnoFailure('EINVAL', `${what} offset invalid`);
  }
}

/** Reads `header.nbSnapshots` entries. With `repair`, what goes beyond the limits is dropped and counted there. */
export async function readSnapshotTable(file: Edge, header: Qcow2Header, repair?: TableRepair): Promise<SnapshotTable> {
  const reader = new TableReader(file, header.snapshotsOffset);
  const snapshots: StoredSnapshot[] = [];
  let end = 0;
  for (let index = 0; index < header.nbSnapshots; index++) {
    const snapshot = await readEntry(reader, index, header, repair);
    if (reader.position > LIMIT.MAX_SNAPSHOT_TABLE_BYTES) {
      const overhanging = header.nbSnapshots - index;
      if (repair === undefined) {
        throw new SnapshotTableFailure(
          'Snapshot table is too big',
          `You can force-remove all ${overhanging} overhanging snapshots with qemu-img check -r all`,
        );
      }
      repair.report(`Discarding ${overhanging} overhanging snapshots (snapshot table is too big)`);
      repair.entriesDropped += overhanging;
      break;
    }
    snapshots.push(snapshot);
    end = reader.position;
  }
  return { snapshots, bytes: end };
}

async function readEntry(
  reader: TableReader,
  index: number,
  header: Qcow2Header,
  repair: TableRepair | undefined,
): Promise<StoredSnapshot> {
  reader.align(8);
  const entry = entryLayout.decode(await reader.take(entryLayout.sizeBytes));
  const extra = await readExtra(reader, index, entry.extraDataSize, repair);
  const idBytes = untilNul(await reader.take(entry.idSize));
  const nameBytes = untilNul(await reader.take(entry.nameSize));
  const view = new DataView(extra.buffer, extra.byteOffset, extra.length);
  const field = (at: number, missing: bigint): bigint => (extra.length >= at + 8 ? view.getBigUint64(at) : missing);
  return {
    l1Place: entry.l1TableOffset,
    l1TableOffset: Number(entry.l1TableOffset),
    l1Size: entry.l1Size,
    idBytes,
    nameBytes,
    dateSeconds: entry.dateSeconds,
    dateNanoseconds: entry.dateNanoseconds,
    vmClockNs: entry.vmClockNs,
    vmStateSize: field(0, BigInt(entry.vmStateSize)),
    diskSize: field(8, BigInt(header.size)),
    icount: field(16, (1n << 64n) - 1n),
    extraDataSize: entry.extraDataSize,
    unknownExtra: extra.slice(KNOWN_EXTRA_BYTES),
  };
}

async function readExtra(reader: TableReader, index: number, size: number, repair: TableRepair | undefined): Promise<Uint8Array> {
  if (size <= MAX_EXTRA_BYTES) return reader.take(size);
  if (repair === undefined) {
    throw new SnapshotTableFailure(
      `Too much extra metadata in snapshot table entry ${index}`,
      'You can force-remove this extra metadata with qemu-img check -r all',
    );
  }
  repair.report(`Discarding too much extra metadata in snapshot table entry ${index} (${size} > ${MAX_EXTRA_BYTES})`);
  repair.extraDataDropped++;
  const kept = await reader.take(MAX_EXTRA_BYTES);
  reader.skip(size - MAX_EXTRA_BYTES);
  return kept;
}

/** Reads forwards through a part of a file of unknown length. */
class TableReader {
  readonly #file: Edge;
  readonly #start: number;
  position = 0;
  #window: Uint8Array = new Uint8Array(0);
  #windowAt = 0;

  constructor(file: Edge, start: number) {
    this.#file = file;
    this.#start = start;
  }

  align(unit: number): void {
    this.position = Math.ceil(this.position / unit) * unit;
  }

  skip(count: number): void {
    this.position += count;
  }

  async take(count: number): Promise<Uint8Array> {
    const at = this.position;
    if (at < this.#windowAt || at + count > this.#windowAt + this.#window.length) {
      this.#window = await this.#file.readBytes(this.#start + at, Math.max(WINDOW_BYTES, count));
      this.#windowAt = at;
    }
    this.position += count;
    return this.#window.slice(at - this.#windowAt, at - this.#windowAt + count);
  }
}

/** The whole table. ErrnoFailure EFBIG when it is more than the format allows. */
export function encodeSnapshotTable(snapshots: readonly StoredSnapshot[]): Uint8Array {
  const sizes = snapshots.map(
    ({ idBytes, nameBytes, unknownExtra }) =>
      entryLayout.sizeBytes + KNOWN_EXTRA_BYTES + unknownExtra.length + idBytes.length + nameBytes.length,
  );
  let total = 0;
  for (const size of sizes) {
    total = Math.ceil(total / 8) * 8 + size;
    if (total > LIMIT.MAX_SNAPSHOT_TABLE_BYTES) throw new ErrnoFailure('EFBIG');
  }
  const table = new Uint8Array(total);
  let at = 0;
  snapshots.forEach((snapshot, index) => {
    at = Math.ceil(at / 8) * 8;
    encodeEntry(snapshot, table, at);
    at += sizes[index]!;
  });
  return table;
}

function encodeEntry(snapshot: StoredSnapshot, table: Uint8Array, at: number): void {
  const { idBytes, nameBytes, unknownExtra, vmStateSize } = snapshot;
  entryLayout.write(
    table,
    {
      l1TableOffset: snapshot.l1Place,
      l1Size: snapshot.l1Size,
      idSize: idBytes.length,
      nameSize: nameBytes.length,
      dateSeconds: snapshot.dateSeconds,
      dateNanoseconds: snapshot.dateNanoseconds,
      vmClockNs: snapshot.vmClockNs,
      vmStateSize: vmStateSize <= 0xffffffffn ? Number(vmStateSize) : 0,
      extraDataSize: KNOWN_EXTRA_BYTES + unknownExtra.length,
    },
    at,
  );
  const view = new DataView(table.buffer, table.byteOffset);
  const extraAt = at + entryLayout.sizeBytes;
  view.setBigUint64(extraAt, vmStateSize);
  view.setBigUint64(extraAt + 8, snapshot.diskSize);
  view.setBigUint64(extraAt + 16, snapshot.icount);
  const idAt = extraAt + KNOWN_EXTRA_BYTES + unknownExtra.length;
  table.set(unknownExtra, extraAt + KNOWN_EXTRA_BYTES);
  table.set(idBytes, idAt);
  table.set(nameBytes, idAt + idBytes.length);
}

/** The number in a 64-bit size of a snapshot; Failure beyond what a number holds. */
export const snapshotNumber = (value: bigint, what: string): number => safeNumber(value, what);
