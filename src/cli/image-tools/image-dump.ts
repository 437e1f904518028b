// What `info` shows of an image, for people and as JSON, and the table of its snapshots. Also used by nandu-io.
import type { InfoObject, InfoValue, SnapshotInfo } from '../../block/driver.ts';
import type { ImageInfo } from '../../block/operations/image-info.ts';
import { humanSize } from './human-size.ts';
import { orderedMembers, type JsonObject } from './json-text.ts';

const pad2 = (value: number): string => String(value).padStart(2, '0');

function localDate(seconds: number): string {
  const date = new Date(seconds * 1000);
  const day = `${date.getFullYear()}-${pad2(date.getMonth() + 1)}-${pad2(date.getDate())}`;
  return `${day} ${pad2(date.getHours())}:${pad2(date.getMinutes())}:${pad2(date.getSeconds())}`;
}

function clockText(ns: bigint): string {
  const seconds = Number(ns / 1_000_000_000n);
  const ms = Number((ns / 1_000_000n) % 1000n);
  return `${pad2(Math.floor(seconds / 3600))}:${pad2(Math.floor(seconds / 60) % 60)}:${pad2(seconds % 60)}.${String(ms).padStart(3, '0')}`;
}

const SNAPSHOT_HEADER =
  `${'ID'.padEnd(9)} ${'TAG'.padEnd(16)} ${'VM SIZE'.padStart(8)}` +
  `${'DATE'.padStart(20)}${'VM CLOCK'.padStart(13)}${'ICOUNT'.padStart(11)}\n`;

/** The table of snapshots, with its head. */
export function snapshotTable(snapshots: readonly SnapshotInfo[]): string {
  const rows = snapshots.map(({ id, name, vmStateSize, dateSeconds, vmClockNs, icount }) => {
    const count = icount === undefined ? '' : String(icount);
    return (
      `${id.padEnd(9)} ${name.padEnd(16)} ${humanSize(vmStateSize).padStart(8)}${localDate(dateSeconds).padStart(20)}` +
      `${clockText(vmClockNs).padStart(13)}${count.padStart(11)}\n`
    );
  });
  return SNAPSHOT_HEADER + rows.join('');
}

/** A driver's own information, indented; lists are numbered. */
export function specificText(object: InfoObject, level = 1): string {
  const names = orderedMembers<InfoValue>(object).map(([name, value]) => [name.replaceAll('-', ' '), value] as const);
  return lines(names, level);
}

function lines(entries: readonly (readonly [label: string, value: InfoValue])[], level: number): string {
  const indent = '    '.repeat(level);
  return entries
    .map(([label, value]) => {
      if (Array.isArray(value))
        return `${indent}${label}:\n${lines(
          value.map((item: InfoValue, index) => [`[${index}]`, item] as const),
          level + 1,
        )}`;
      if (typeof value === 'object') return `${indent}${label}:\n${specificText(value as InfoObject, level + 1)}`;
      return `${indent}${label}: ${String(value)}\n`;
    })
    .join('');
}

export function imageText(info: ImageInfo): string {
  const { backing, specific } = info;
  const parts = [
    `image: ${info.filename}\n`,
    `file format: ${info.format}\n`,
    `virtual size: ${humanSize(info.virtualSize)} (${info.virtualSize} bytes)\n`,
    `disk size: ${info.actualSize === undefined ? 'unavailable' : humanSize(info.actualSize)}\n`,
    info.encrypted ? 'encrypted: yes\n' : '',
    info.clusterSize === undefined ? '' : `cluster_size: ${info.clusterSize}\n`,
    info.dirty ? 'cleanly shut down: no\n' : '',
    backing === undefined ? '' : backingText(backing),
    info.snapshots.length === 0 ? '' : `Snapshot list:\n${snapshotTable(info.snapshots)}`,
    specific === undefined ? '' : `Format specific information:\n${specificText(specific.data)}`,
  ];
  return parts.join('');
}

function backingText({ name, fullName, format }: NonNullable<ImageInfo['backing']>): string {
  let place = '';
  if (fullName === undefined) place = ' (cannot determine actual path)';
  else if (fullName !== name) place = ` (actual path: ${fullName})`;
  return `backing file: ${name}${place}\n${format === undefined ? '' : `backing file format: ${format}\n`}`;
}

/** QMP's ImageInfo. */
export function imageJson(info: ImageInfo): JsonObject {
  const { backing, specific, snapshots } = info;
  return {
    filename: info.filename,
    format: info.format,
    'dirty-flag': info.dirty,
    'actual-size': info.actualSize,
    'virtual-size': info.virtualSize,
    'cluster-size': info.clusterSize,
    encrypted: info.encrypted ? true : undefined,
    'backing-filename': backing?.name,
    'full-backing-filename': backing?.fullName,
    'backing-filename-format': backing?.format,
    snapshots: snapshots.length === 0 ? undefined : snapshots.map(snapshotJson),
    'format-specific': specific === undefined ? undefined : { type: specific.type, data: specific.data as JsonObject },
  };
}

const snapshotJson = (snapshot: SnapshotInfo): JsonObject => ({
  id: snapshot.id,
  name: snapshot.name,
  'vm-state-size': snapshot.vmStateSize,
  'date-sec': snapshot.dateSeconds,
  'date-nsec': snapshot.dateNanoseconds,
  'vm-clock-sec': snapshot.vmClockNs / 1_000_000_000n,
  'vm-clock-nsec': snapshot.vmClockNs % 1_000_000_000n,
  icount: snapshot.icount,
});
