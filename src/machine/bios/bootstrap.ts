// What a BIOS does after power-on and in INT 19h: lets the user choose, tries the drives in order, loads the first sector or what a CD's
// catalogue names, and says where the processor is to go. An asynchronous function that the processor, in a loop of the ROM's,
// waits for: see bios.ts.
import { Failure } from '../../base/failure.ts';
import type { BootDrive } from '../../ports/boot-drive.ts';
import { bootCandidates, orderDrives, type BootOptions } from './boot-order.ts';
import { CD_SECTOR_BYTES, FIRST, SECTOR_BYTES, type DiskUnits } from './disk-units.ts';
import { BOOT_RECORD_LBA, catalogLba, emulatedGeometry, parseCatalog, type BootEntry } from './el-torito.ts';
import type { GuestMemory } from './guest-memory.ts';
import type { Keyboard } from './keyboard.ts';
import { ESCAPE_KEY, NO_KEY } from './keys.ts';
import type { Screen } from './screen.ts';

export interface Entry {
  readonly segment: number;
  readonly offset: number;
  /** DL. */
  readonly drive: number;
}

export interface BootstrapParts {
  readonly units: DiskUnits;
  readonly screen: Screen;
  readonly keyboard: Keyboard;
  readonly memory: GuestMemory;
  readonly drives: readonly BootDrive[];
  readonly options: BootOptions;
  readonly order: string;
  /** Candidates before this one have had their turn. */
  readonly first: number;
  /** Comes back when `condition` holds; it is looked at again and again while guest time passes. */
  readonly until: (condition: () => boolean) => Promise<void>;
  readonly nowNs: () => number;
  /** Waits like `await`, and never comes back when the machine has been reset meanwhile. */
  readonly still: <T>(result: Promise<T>) => Promise<T>;
  /** A candidate is being booted: INT 18h goes on with the next. */
  readonly trying: (index: number) => void;
  /** The disk that is booted becomes the first. */
  readonly putFirst: (drive: BootDrive) => void;
  readonly reset: () => void;
}

const BOOT_OFFSET = 0x7c00;
const SIGNATURE_AT = 510;
const LOW_MEMORY_END = 0xa0000;
const F12 = 0x8600;
const NS_PER_MS = 1e6;
const MENU_MAX = 9;
const MENU_MS = 2500;
const MEDIUM_NAME = { disk: 'hard disk', floppy: 'floppy', cdrom: 'CD' } as const;

const nameOf = ({ medium, description, drive }: BootDrive): string => `${MEDIUM_NAME[medium]} (${description}, ${drive.name})`;

/** The drives get their numbers; first sectors tell the geometry of disks. A disk that cannot be read has none to tell. */
export async function numberDrives({ units, drives, order, still }: BootstrapParts): Promise<void> {
  units.setDrives(orderDrives(drives, order));
  for (const { drive } of units.disks) {
    const sector = await still(readBytes(drive, 0, SECTOR_BYTES));
    if (sector !== undefined) units.setFirstSector(drive, sector);
  }
}

/** The entry of the first drive that boots; comes back without one only if the machine is reset instead. */
export async function bootstrap(parts: BootstrapParts, withMenu: boolean): Promise<Entry | undefined> {
  const { options, order, drives, screen } = parts;
  const candidates = bootCandidates(drives, order, options.strict);
  let { first } = parts;
  if (withMenu && options.menu) {
    const chosen = await chooseDrive(parts, candidates);
    if (chosen !== undefined) {
      const entry = await tryDrive(parts, chosen);
      if (entry !== undefined) return entry;
      first = 0;
    }
  }
  for (let index = first; index < candidates.length; index++) {
    parts.trying(index + 1);
    const entry = await tryDrive(parts, candidates[index]!);
    if (entry !== undefined) return entry;
  }
  screen.write(candidates.length === 0 && first === 0 ? 'No bootable device: there is no drive.\n' : 'No bootable device.\n');
  const end = parts.nowNs() + (options.retryMs ?? Infinity) * NS_PER_MS;
  await parts.until(() => parts.nowNs() >= end);
  parts.reset();
  return undefined;
}

async function chooseDrive(parts: BootstrapParts, candidates: readonly BootDrive[]): Promise<BootDrive | undefined> {
  const { screen, keyboard, options } = parts;
  screen.write('Press ESC or F12 for the boot menu.\n\n');
  const end = parts.nowNs() + (options.menuTimeoutMs ?? MENU_MS) * NS_PER_MS;
  let wanted = false;
  const read = (): number => {
    keyboard.poll();
    return keyboard.take();
  };
  await parts.until(() => {
    const key = read();
    wanted = key === ESCAPE_KEY || key === F12;
    return wanted || parts.nowNs() >= end;
  });
  if (!wanted) return undefined;
  const shown = candidates.slice(0, MENU_MAX);
  screen.write('Select boot device:\n\n');
  for (const [n, drive] of shown.entries()) screen.write(`${n + 1}. ${nameOf(drive)}\n`);
  screen.write('\n');
  let choice = 0;
  await parts.until(() => {
    const key = read();
    choice = (key & 0xff) - 0x30;
    return key === ESCAPE_KEY || (key !== NO_KEY && choice >= 1 && choice <= shown.length);
  });
  return shown[choice - 1];
}

async function tryDrive(parts: BootstrapParts, drive: BootDrive): Promise<Entry | undefined> {
  const { screen } = parts;
  screen.write(`Booting from ${nameOf(drive)}...\n`);
  const result = drive.medium === 'cdrom' ? await bootCd(parts, drive) : await bootSector(parts, drive);
  if (typeof result !== 'string') return result;
  screen.write(`Boot failed: ${result}\n\n`);
  return undefined;
}

/** Undefined when it cannot be read or lies outside. */
async function readBytes(drive: BootDrive['drive'], offset: number, count: number): Promise<Uint8Array | undefined> {
  if (offset + count > drive.size) return undefined;
  const bytes = new Uint8Array(count);
  try {
    await drive.read(offset, bytes);
    return bytes;
  } catch (error) {
    if (error instanceof Failure) return undefined;
    throw error;
  }
}

const isBootSector = (sector: Uint8Array): boolean => sector[SIGNATURE_AT] === 0x55 && sector[SIGNATURE_AT + 1] === 0xaa;
const NOT_BOOTABLE = 'not a bootable disk';
const UNREADABLE = 'could not read the boot disk';

async function bootSector(parts: BootstrapParts, found: BootDrive): Promise<Entry | string> {
  if (found.drive.size === 0) return 'no medium';
  const sector = await parts.still(readBytes(found.drive, 0, SECTOR_BYTES));
  if (sector === undefined) return UNREADABLE;
  if (!isBootSector(sector)) return NOT_BOOTABLE;
  parts.putFirst(found);
  parts.memory.copyIn(BOOT_OFFSET, sector);
  return { segment: 0, offset: BOOT_OFFSET, drive: found.medium === 'disk' ? FIRST.DISK : FIRST.FLOPPY };
}

async function bootCd(parts: BootstrapParts, found: BootDrive): Promise<Entry | string> {
  const { drive } = found;
  if (drive.size === 0) return 'no medium';
  const record = await parts.still(readBytes(drive, BOOT_RECORD_LBA * CD_SECTOR_BYTES, CD_SECTOR_BYTES));
  if (record === undefined) return UNREADABLE;
  const catalog = catalogLba(record);
  if (catalog === undefined) return 'not a bootable CD';
  const sector = await parts.still(readBytes(drive, catalog * CD_SECTOR_BYTES, CD_SECTOR_BYTES));
  if (sector === undefined) return UNREADABLE;
  const entry = parseCatalog(sector);
  if (entry === undefined) return 'the boot catalogue names nothing to boot';
  return loadCdImage(parts, found, entry);
}

async function loadCdImage(parts: BootstrapParts, found: BootDrive, entry: BootEntry): Promise<Entry | string> {
  const { units, memory } = parts;
  const address = entry.loadSegment * 16;
  const bytes = Math.max(1, entry.sectors) * SECTOR_BYTES;
  if (address + bytes > LOW_MEMORY_END) return 'the boot image is too large';
  const image = await parts.still(readBytes(found.drive, entry.lba * CD_SECTOR_BYTES, bytes));
  if (image === undefined) return UNREADABLE;
  const cdrom = units.cdroms.indexOf(found);
  const number = entry.media === 0 ? FIRST.CDROM + cdrom : entry.media === 4 ? FIRST.DISK : FIRST.FLOPPY;
  memory.copyIn(address, image);
  Object.assign(units.emulation, {
    present: true, active: true, cdrom, media: entry.media, driveNumber: number, lba: entry.lba, loadSegment: entry.loadSegment,
    loadSectors: entry.sectors, ...emulatedGeometry(entry.media, image),
  });
  return { segment: entry.loadSegment, offset: 0, drive: number };
}
