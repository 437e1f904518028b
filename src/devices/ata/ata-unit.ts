// What an ATA device (a disk, a CD drive) is to the controller that it hangs on: a task file, commands that come to plans, and
// results in the task file. The controller moves the data, by PIO or DMA, and raises the interrupts. ATA8-ACS.
import type { Eventual } from '../../base/eventual.ts';
import type { Failure } from '../../base/failure.ts';
import type { Drive } from '../../ports/disk.ts';
import { u8, type StateOf } from '../../state/fields.ts';

export const SECTOR_BYTES = 512;

export const STATUS = { ERROR: 0x01, DATA_REQUEST: 0x08, SEEK: 0x10, FAULT: 0x20, READY: 0x40, BUSY: 0x80 } as const;
export const ERROR = { ABORT: 0x04, NOT_FOUND: 0x10, UNCORRECTABLE: 0x40, INTERFACE_CRC: 0x80 } as const;
export const DEVICE = { SLAVE: 0x10, LBA: 0x40, FIXED: 0xa0 } as const;
/** The interrupt reason of a packet device, in the count register. */
export const REASON = { COMMAND: 1, TO_HOST: 2 } as const;
/** What the LBA registers show after a reset of a packet device. */
export const PACKET_SIGNATURE = { mid: 0x14, high: 0xeb } as const;

/** The registers of a device: what the host wrote, and results. `...Hob` is what a register held before its last write. */
export const taskFileFields = {
  status: u8(STATUS.READY | STATUS.SEEK),
  error: u8(1),
  command: u8(),
  feature: u8(),
  featureHob: u8(),
  count: u8(1),
  countHob: u8(),
  lbaLow: u8(1),
  lbaLowHob: u8(),
  lbaMid: u8(),
  lbaMidHob: u8(),
  lbaHigh: u8(),
  lbaHighHob: u8(),
  device: u8(),
} as const;
export type TaskFile = StateOf<typeof taskFileFields>;

/** How a command moves data. `block` is the bytes between two interrupts by PIO. */
interface Transfer {
  readonly dma: boolean;
  readonly bytes: number;
  readonly block: number;
}

export type AtaPlan =
  /** Nothing to move: the task file has the result. */
  | { readonly kind: 'done' }
  /** Data of the device's own for the host. */
  | (Transfer & { readonly kind: 'in'; readonly data: Uint8Array })
  /** Data from the host, for `accept`. */
  | (Transfer & { readonly kind: 'out' })
  /** A part of the medium, inside it. */
  | (Transfer & { readonly kind: 'read'; readonly offset: number })
  | (Transfer & { readonly kind: 'write'; readonly offset: number; readonly fua: boolean })
  /** The host sends a command packet, for `packet`. */
  | { readonly kind: 'packet' };

export const DONE: AtaPlan = { kind: 'done' };

export interface AtaUnit {
  readonly taskFile: TaskFile;
  /** The medium; undefined without one. */
  readonly drive: Drive | undefined;
  readonly isPacketDevice: boolean;
  /** Begins the command in the task file. */
  begin(): Eventual<AtaPlan>;
  /** All data of an `out` transfer. */
  accept(data: Uint8Array): Eventual<void>;
  /** A command packet of 12 or 16 bytes; only for packet devices. */
  packet(cdb: Uint8Array): Eventual<AtaPlan>;
  /** The next `bytes` of a PIO transfer are about to be asked for or offered. */
  blockReady(bytes: number, toHost: boolean): void;
  /** A transfer went well. */
  finish(): void;
  /** A transfer or a command failed; `done` bytes of it had been moved. */
  fail(failure: Failure, done: number): void;
  /** The host aborted the command or has no memory for its data. */
  abort(): void;
  /** After a software or hardware reset of the interface: the signature. */
  softReset(): void;
}

/** Puts the result of a command that did nothing wrong. */
export function succeed(taskFile: TaskFile): AtaPlan {
  taskFile.status = STATUS.READY | STATUS.SEEK;
  taskFile.error = 0;
  return DONE;
}

export function refuse(taskFile: TaskFile, error: number = ERROR.ABORT): AtaPlan {
  taskFile.status = STATUS.READY | STATUS.SEEK | STATUS.ERROR;
  taskFile.error = error;
  return DONE;
}
