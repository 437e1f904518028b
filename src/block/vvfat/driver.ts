// vvfat: a directory of the host as a disk with a FAT file system, read only. What the directory looks like is taken when it is
// opened; the contents of files are read when they are asked for.
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { partitionPoint } from '../../base/partition-point.ts';
import type { HostFile, HostFiles } from '../../ports/host-file.ts';
import { bool, str, uint } from '../../schema/property.ts';
import type { BlockDriver, BlockInstance, OpenContext } from '../driver.ts';
import { requireReadOnly } from '../image-format/read-only.ts';
import { SECTOR } from '../node.ts';
import type { OptionDict } from '../options.ts';
import { STATUS, type BlockStatus } from '../status.ts';
import { bootSector, CLUSTER_BYTES, CLUSTER_SECTORS, diskLayout, masterBootRecord, type DiskLayout, type FatType } from './layout.ts';
import { buildTree, type Extent, type Tree } from './tree.ts';

const OPEN_OPTIONS = {
  dir: { type: str, help: 'Host directory to map to the vvfat device' },
  'fat-type': { type: uint(32), help: 'FAT type (12, 16 or 32)' },
  floppy: { type: bool, help: 'Create a floppy rather than a hard disk image' },
  label: { type: str, help: 'Use a volume label other than QEMU VVFAT' },
  rw: { type: bool, help: 'Make the image writable' },
} as const;
const LABEL_BYTES = 11;
const DEFAULT_LABEL = 'QEMU VVFAT';
/** A part of the disk that is held as bytes. */
interface Part {
  readonly start: number;
  readonly bytes: Uint8Array;
}

class FatDisk implements BlockInstance {
  readonly size: number;
  readonly limits = { requestAlignment: SECTOR };
  readonly #files: HostFiles;
  readonly #disk: DiskLayout;
  readonly #parts: readonly Part[];
  readonly #extents: readonly Extent[];
  #open: { readonly path: string; readonly file: HostFile } | undefined;

  constructor(files: HostFiles, disk: DiskLayout, tree: Tree, label: string) {
    this.size = disk.sectors * SECTOR;
    this.#files = files;
    this.#disk = disk;
    this.#extents = tree.extents;
    const at = (sector: number, bytes: Uint8Array): Part => ({ start: sector * SECTOR, bytes });
    this.#parts = [
      ...(disk.floppy ? [] : [at(0, masterBootRecord(disk))]),
      at(disk.bootSector, bootSector(disk, label)),
      at(disk.fatStart, tree.fat.bytes),
      at(disk.fatStart + disk.fatSectors, tree.fat.bytes),
      at(disk.rootStart, tree.root),
    ];
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    target.fill(0);
    for (const { start, bytes } of this.#parts) copyOverlap(target, offset, bytes, start);
    const { dataStart } = this.#disk;
    const end = offset + target.length;
    for (let index = this.#firstExtent(offset); index < this.#extents.length; index++) {
      const extent = this.#extents[index]!;
      const start = (dataStart + (extent.first - 2) * CLUSTER_SECTORS) * SECTOR;
      if (start >= end) return;
      if (typeof extent.content === 'string') await this.#readFile(extent.content, extent.sizeBytes, start, offset, target);
      else copyOverlap(target, offset, extent.content, start);
    }
  }

  /** The extent that holds the cluster at `offset`, or the next one. */
  #firstExtent(offset: number): number {
    const cluster = 2 + Math.floor((offset - this.#disk.dataStart * SECTOR) / CLUSTER_BYTES);
    const extents = this.#extents;
    return partitionPoint(0, extents.length, (index) => extents[index]!.first + extents[index]!.clusters <= cluster);
  }

  async #readFile(path: string, sizeBytes: number, start: number, offset: number, target: Uint8Array): Promise<void> {
    const from = Math.max(start, offset);
    const to = Math.min(start + sizeBytes, offset + target.length);
    if (from >= to) return;
    const file = await this.#fileAt(path);
    await file.read(from - start, target.subarray(from - offset, to - offset)); // a file that shrank ends in zeroes
  }

  async #fileAt(path: string): Promise<HostFile> {
    if (this.#open?.path === path) return this.#open.file;
    const former = this.#open;
    this.#open = undefined;
    await former?.file.close();
    const file = await this.#files.open(path, { write: false });
    this.#open = { path, file };
    return file;
  }

  /** Nothing of it lies anywhere in a file. */
  status(_offset: number, count: number): BlockStatus {
    return { count, flags: STATUS.DATA | STATUS.ALLOCATED };
  }

  async close(): Promise<void> {
    await this.#open?.file.close();
    this.#open = undefined;
  }
}

function copyOverlap(target: Uint8Array, targetStart: number, source: Uint8Array, sourceStart: number): void {
  const from = Math.max(targetStart, sourceStart);
  const to = Math.min(targetStart + target.length, sourceStart + source.length);
  if (from < to) target.set(source.subarray(from - sourceStart, to - sourceStart), from - targetStart);
}

function fatTypeOf(given: number | undefined, floppy: boolean, warn: (line: string) => void): FatType {
  const type = given === undefined || given === 0 ? (floppy ? 12 : 16) : given;
  if (type !== 12 && type !== 16 && type !== 32) throw new Failure('invalid-argument', 'Valid FAT types are only 12, 16 and 32');
  if (type === 32) warn('FAT32 has not been tested. You are welcome to do so!');
  return type;
}

async function open(context: OpenContext): Promise<FatDisk> {
  const { options, flags, host } = context;
  const given = options.absorb(OPEN_OPTIONS);
  const floppy = given.floppy ?? false;
  const label = given.label ?? DEFAULT_LABEL;
  if (given.dir === undefined) throw new Failure('invalid-argument', "vvfat block driver requires a 'dir' option");
  const fatType = fatTypeOf(given['fat-type'], floppy, (line) => host.warn(line));
  if (label.length > LABEL_BYTES) throw new Failure('invalid-argument', 'vvfat label cannot be longer than 11 bytes');
  if (given.rw && flags.readOnly) throw new ErrnoFailure('EACCES', "Unable to set VVFAT to 'rw' when drive is read-only");
  if (given.rw) throw new Failure('unsupported', 'vvfat cannot write to a directory');
  requireReadOnly(context);
  const { directories } = host.files;
  if (directories === undefined) throw new Failure('unsupported', `Could not read directory ${given.dir}`);
  const disk = diskLayout(fatType, floppy);
  return new FatDisk(host.files, disk, buildTree(directories, disk, given.dir, label), label);
}

/** `fat:[12:|16:|32:|floppy:|rw:]…DIR`. */
function parseFilename(filename: string, options: OptionDict): void {
  if (!filename.startsWith('fat:')) throw new Failure('invalid-argument', "File name string must start with 'fat:'");
  const has = (word: string): boolean => filename.includes(`:${word}:`);
  options.set('fat-type', has('32') ? 32 : has('16') ? 16 : has('12') ? 12 : 0);
  options.set('floppy', has('floppy'));
  options.set('rw', has('rw'));
  options.set('dir', filename.slice(filename.lastIndexOf(':') + 1));
}

export const driver: BlockDriver = {
  name: 'vvfat',
  kind: 'protocol',
  options: OPEN_OPTIONS,
  strongOptions: ['dir', 'fat-type', 'floppy', 'label', 'rw'],
  parseFilename,
  open,
};
