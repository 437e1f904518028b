// The directory of the host as directories of a FAT file system: who gets which clusters, and the bytes of every directory.
import { Failure } from '../../base/failure.ts';
import type { CalendarTime, HostDirectories, HostDirectoryEntry } from '../../ports/host-file.ts';
import { concatBytes, layout, le16, le32, text, u8 } from '../../struct/layout.ts';
import { CLUSTER_BYTES, DIRECTORY_ENTRY_BYTES, FatTable, ROOT_ENTRIES, type DiskLayout } from './layout.ts';
import { longNameEntries, SHORT_NAME_BYTES, shortName } from './names.ts';

const ATTRIBUTE = { VOLUME: 0x28, DIRECTORY: 0x10, ARCHIVE: 0x20 } as const;
const FILE_BYTES_MAX = 2 ** 31 - 1;
const FIRST_CLUSTER = 2;

const ENTRY = layout('directory entry', {
  name: text(0, SHORT_NAME_BYTES), attributes: u8(11), createdTime: le16(14), createdDate: le16(16), accessedDate: le16(18),
  clusterHigh: le16(20), modifiedTime: le16(22), modifiedDate: le16(24), cluster: le16(26), size: le32(28),
}); // prettier-ignore

/** A run of clusters: a directory's bytes, or a file of the host. */
export interface Extent {
  readonly first: number;
  readonly clusters: number;
  readonly content: Uint8Array | string;
  readonly sizeBytes: number;
}

export interface Tree {
  readonly root: Uint8Array;
  /** In the order of their clusters. */
  readonly extents: readonly Extent[];
  readonly fat: FatTable;
}

interface Item {
  readonly entry: HostDirectoryEntry;
  readonly short: string;
  readonly parent: Directory;
  /** Only of directories. */
  directory?: Directory;
  first: number;
}

interface Directory {
  readonly entry: HostDirectoryEntry;
  readonly parent: Directory | undefined;
  readonly items: Item[];
  first: number;
}

const dosTime = ({ hour, minute, second }: CalendarTime): number => (hour << 11) | (minute << 5) | (second >> 1);
const dosDate = ({ year, month, day }: CalendarTime): number =>
  ((Math.max(0, Math.min(127, year - 1980)) << 9) | (month << 5) | day) & 0xffff;

function encodeEntry(name: string, { kind, modified, changed, accessed, sizeBytes }: HostDirectoryEntry, first: number): Uint8Array {
  const isDirectory = kind === 'directory';
  return ENTRY.encode({
    name, attributes: isDirectory ? ATTRIBUTE.DIRECTORY : ATTRIBUTE.ARCHIVE,
    createdTime: dosTime(changed), createdDate: dosDate(changed), accessedDate: dosDate(accessed),
    clusterHigh: Math.floor(first / 65536), modifiedTime: dosTime(modified), modifiedDate: dosDate(modified), cluster: first % 65536,
    size: isDirectory ? 0 : sizeBytes,
  }); // prettier-ignore
}

const tooBig = ({ fatType, sectors }: DiskLayout): Failure =>
  new Failure('limit', `Directory does not fit in FAT${fatType} (capacity ${(sectors / 2000).toFixed(2)} MB)`);

class TreeBuilder {
  readonly #host: HostDirectories;
  readonly #disk: DiskLayout;
  readonly #directories: Directory[] = [];
  #next = FIRST_CLUSTER;

  constructor(host: HostDirectories, disk: DiskLayout) {
    this.#host = host;
    this.#disk = disk;
  }

  build(path: string, label: string): Tree {
    const entry = this.#host.describe(path);
    if (entry?.kind !== 'directory') throw new Failure('not-found', `Could not read directory ${path}`);
    const root: Directory = { entry, parent: undefined, items: [], first: 0 };
    const extents: Extent[] = [];
    const fat = new FatTable(this.#disk);
    const items = this.#read(root);
    // Clusters go round by round: what a directory holds comes after everything that was found before.
    for (let at = 0; at < items.length; at++) {
      const item = items[at]!;
      const { directory } = item;
      if (directory !== undefined) items.push(...this.#read(directory));
      const sizeBytes = directory === undefined ? item.entry.sizeBytes : this.#directoryBytes(directory);
      const clusters = Math.ceil(sizeBytes / CLUSTER_BYTES);
      if (clusters === 0) continue;
      item.first = this.#take(clusters);
      if (directory !== undefined) directory.first = item.first;
      fat.chain(item.first, clusters);
      const content = directory === undefined ? item.entry.path : new Uint8Array(0);
      extents.push({ first: item.first, clusters, content, sizeBytes });
    }
    const volume = ENTRY.encode({ name: label.padEnd(SHORT_NAME_BYTES), attributes: ATTRIBUTE.VOLUME });
    const encoded = new Map(this.#directories.map((directory) => [directory.first, encodeDirectory(directory)]));
    const rootBytes = concatBytes(volume, encoded.get(0)!);
    if (rootBytes.length > ROOT_ENTRIES * DIRECTORY_ENTRY_BYTES) throw new Failure('limit', 'Too many entries in root directory');
    const isFile = ({ content }: Extent): boolean => typeof content === 'string';
    const filled = extents.map((extent) => (isFile(extent) ? extent : { ...extent, content: encoded.get(extent.first)! }));
    return { root: rootBytes, extents: filled, fat };
  }

  #take(clusters: number): number {
    const first = this.#next;
    this.#next += clusters;
    if (this.#next - FIRST_CLUSTER > this.#disk.clusters) throw tooBig(this.#disk);
    return first;
  }

  #read(directory: Directory): Item[] {
    this.#directories.push(directory);
    if (this.#directories.length > this.#disk.clusters) throw tooBig(this.#disk); // also: links that go round
    const taken = new Set<string>();
    for (const entry of this.#host.list(directory.entry.path)) {
      const size = entry.kind === 'file' ? entry.sizeBytes : 0;
      if (size > FILE_BYTES_MAX) throw new Failure('limit', `File ${entry.path} is larger than 2GB`);
      const short = shortName(entry.name, taken);
      if (short === undefined) throw new Failure('limit', `Could not read directory ${directory.entry.path}`);
      taken.add(short);
      const item: Item = { entry: entry.kind === 'directory' ? entry : { ...entry, sizeBytes: size }, short, parent: directory, first: 0 };
      if (entry.kind === 'directory') item.directory = { entry, parent: directory, items: [], first: 0 };
      directory.items.push(item);
    }
    return [...directory.items];
  }

  #directoryBytes(directory: Directory): number {
    const long = directory.items.reduce((sum, { entry, short }) => sum + longNameEntries(entry.name, short).length, 0);
    return long + (directory.items.length + 2) * DIRECTORY_ENTRY_BYTES;
  }
}

function encodeDirectory(directory: Directory): Uint8Array {
  const { parent } = directory;
  const dots = parent === undefined ? [] : [
    encodeEntry('.'.padEnd(SHORT_NAME_BYTES), directory.entry, directory.first),
    encodeEntry('..'.padEnd(SHORT_NAME_BYTES), parent.entry, parent.first),
  ]; // prettier-ignore
  const items = directory.items.flatMap(({ entry, short, first }) => {
    return [longNameEntries(entry.name, short), encodeEntry(short, entry, first)];
  });
  return concatBytes(...dots, ...items);
}

export const buildTree = (host: HostDirectories, disk: DiskLayout, path: string, label: string): Tree =>
  new TreeBuilder(host, disk).build(path, label);
