// Frames between an AHCI port and its device (AHCI 1.3.1 chapter 4, Serial ATA 3.x chapter 10): the register frame from the host
// into a task file, and the frames that a port writes into guest memory from one.
import type { QueuedCommand } from './ata-disk.ts';
import type { TaskFile } from './ata-unit.ts';

export const FIS = { HOST_TO_DEVICE: 0x27, DEVICE_TO_HOST: 0x34, SET_BITS: 0xa1, PIO_SETUP: 0x5f } as const;
/** Where received frames lie in the port's area. */
export const RECEIVED = { PIO_SETUP: 0x20, DEVICE_TO_HOST: 0x40, SET_BITS: 0x58, BYTES: 256 } as const;
export const IS_COMMAND = 0x80;
export const CONTROL_RESET = 0x04;
const INTERRUPT = 0x40;
const TO_HOST = 0x20;
const FUA = 0x80;

/** A register frame of a command becomes what a driver of IDE ports would have written. */
export function takeRegisters(fis: Uint8Array, taskFile: TaskFile): void {
  taskFile.command = fis[2]!;
  taskFile.feature = fis[3]!;
  taskFile.lbaLow = fis[4]!;
  taskFile.lbaMid = fis[5]!;
  taskFile.lbaHigh = fis[6]!;
  taskFile.device = fis[7]!;
  taskFile.lbaLowHob = fis[8]!;
  taskFile.lbaMidHob = fis[9]!;
  taskFile.lbaHighHob = fis[10]!;
  taskFile.featureHob = fis[11]!;
  taskFile.count = fis[12]!;
  taskFile.countHob = fis[13]!;
}

/** READ or WRITE FPDMA QUEUED: the sector count is in the feature registers. */
export function queuedCommand(fis: Uint8Array, write: boolean): QueuedCommand {
  const lba = fis[4]! + fis[5]! * 2 ** 8 + fis[6]! * 2 ** 16 + fis[8]! * 2 ** 24 + fis[9]! * 2 ** 32 + fis[10]! * 2 ** 40;
  return { write, lba, sectors: (fis[3]! | (fis[11]! << 8)) || 65536, fua: (fis[7]! & FUA) !== 0 };
}

export const queuedTag = (fis: Uint8Array): number => fis[12]! >> 3;

function putRegisters(area: Uint8Array, at: number, taskFile: TaskFile): void {
  area[at + 2] = taskFile.status;
  area[at + 3] = taskFile.error;
  area[at + 4] = taskFile.lbaLow;
  area[at + 5] = taskFile.lbaMid;
  area[at + 6] = taskFile.lbaHigh;
  area[at + 7] = taskFile.device;
  area[at + 8] = taskFile.lbaLowHob;
  area[at + 9] = taskFile.lbaMidHob;
  area[at + 10] = taskFile.lbaHighHob;
  area[at + 11] = 0;
  area[at + 12] = taskFile.count;
  area[at + 13] = taskFile.countHob;
  area.fill(0, at + 14, at + 20);
}

export function putDeviceToHost(area: Uint8Array, taskFile: TaskFile, interrupt: boolean): void {
  const at = RECEIVED.DEVICE_TO_HOST;
  area[at] = FIS.DEVICE_TO_HOST;
  area[at + 1] = interrupt ? INTERRUPT : 0;
  putRegisters(area, at, taskFile);
}

/** `bytes` is how much the last data frame held; the status after it is the task file's. */
export function putPioSetup(area: Uint8Array, taskFile: TaskFile, toHost: boolean, bytes: number): void {
  const at = RECEIVED.PIO_SETUP;
  area[at] = FIS.PIO_SETUP;
  area[at + 1] = INTERRUPT | (toHost ? TO_HOST : 0);
  putRegisters(area, at, taskFile);
  area[at + 15] = taskFile.status;
  area[at + 16] = bytes & 0xff;
  area[at + 17] = (bytes >> 8) & 0xff;
}

/** `tags` are the queued commands that ended. */
export function putSetBits(area: Uint8Array, status: number, error: number, tags: number): void {
  const at = RECEIVED.SET_BITS;
  area[at] = FIS.SET_BITS;
  area[at + 1] = INTERRUPT;
  area[at + 2] = status & 0x77;
  area[at + 3] = error;
  for (let index = 0; index < 4; index++) area[at + 4 + index] = (tags >>> (8 * index)) & 0xff;
}
