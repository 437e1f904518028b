// The flash memory that holds a machine's firmware: drives with interface `pflash`, or the nodes of `-machine pflash0=`. Banks lie
// one below the other, the first ends at 4 GiB. Rules and error texts are QEMU's.
import { Failure } from '../base/failure.ts';
import { claimFlash, FLASH_BLOCK_BYTES, PflashCfi01 } from '../devices/flash/pflash-cfi01.ts';
import type { Board } from '../machine/board.ts';
import type { PhysicalMap } from '../memory/physical-map.ts';
import { inContext } from '../schema/command-line.ts';
import type { MachineDrive } from './drives/machine-drive.ts';
import type { MachineDrives } from './drives/machine-drives.ts';
import type { CompleteMachineOptions } from './options.ts';

export const FLASH_BANKS_MAX = 2;
const FLASH_BYTES_MAX = 8 * 1024 * 1024;
const FOUR_GIB = 2 ** 32;

export interface FlashImage {
  readonly drive: MachineDrive;
  readonly bytes: Uint8Array;
}

/** Takes the drives and reads them. */
export async function loadFlash(drives: MachineDrives, { machine }: CompleteMachineOptions): Promise<FlashImage[]> {
  const names = bankNames(drives, machine.pflash ?? []);
  if (names[0] === undefined && names[1] !== undefined) throw new Failure('invalid-argument', 'pflash1 requires pflash0');
  const images: FlashImage[] = [];
  for (const [bank, name] of names.entries()) if (name !== undefined) images.push(await load(drives, name, bank));
  if (images.reduce((sum, { bytes }) => sum + bytes.length, 0) > FLASH_BYTES_MAX) {
    throw new Failure('limit', `combined size of system firmware exceeds ${FLASH_BYTES_MAX} bytes`);
  }
  return images;
}

/** The drive of each bank. */
function bankNames(drives: MachineDrives, nodes: readonly (string | undefined)[]): (string | undefined)[] {
  return Array.from({ length: FLASH_BANKS_MAX }, (_, bank) => {
    const placed = drives.placed.find((drive) => drive.interface === 'pflash' && drive.unit === bank);
    if (placed !== undefined && nodes[bank] !== undefined) {
      const clash = (): never => { throw new Failure('invalid-argument', 'clashes with -machine'); };
      return placed.origin === undefined ? clash() : inContext(placed.origin, clash);
    }
    return placed?.id ?? nodes[bank];
  });
}

async function load(drives: MachineDrives, name: string, bank: number): Promise<FlashImage> {
  const drive = drives.take(name, 'cfi.pflash01.drive', '/machine/system.flash');
  if (!drive.inserted) throw new Failure('not-found', `can't get size of block device pflash${bank}: No medium found`);
  if (drive.size === 0 || drive.size % FLASH_BLOCK_BYTES !== 0) {
    throw new Failure('invalid-argument', `system firmware block device pflash${bank} has invalid size ${drive.size}`);
  }
  const bytes = new Uint8Array(Math.min(drive.size, FLASH_BYTES_MAX + FLASH_BLOCK_BYTES));
  await drive.read(0, bytes);
  return { drive, bytes };
}

export function addFlash(board: Board, memory: PhysicalMap, images: readonly FlashImage[]): void {
  let base = FOUR_GIB;
  for (const [bank, { drive, bytes }] of images.entries()) {
    const sizeBytes = bytes.length;
    base -= sizeBytes;
    const address = base;
    const host = memory.placeRom(bytes);
    const showArray = (shown: boolean): void => memory.map(address, sizeBytes, shown ? host : 0, shown ? 'read-only' : 'none');
    const flash = new PflashCfi01({ name: `pflash${bank}`, contents: memory.romView(host, sizeBytes), showArray, drive });
    claimFlash(board.bus, address, flash, sizeBytes);
    board.devices.add(`pflash${bank}`, flash);
    if (bank === 0) board.shadow.showFirmwareEnd(host, sizeBytes);
  }
}
