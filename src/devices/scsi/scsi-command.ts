// The contract between a SCSI command set (a target's logical unit) and what carries its commands: ATAPI, virtio-scsi. The command
// set reads a CDB and answers with a plan; the transport moves the data and reports how that went. SPC-4, SAM-5.
// Nothing here knows how data travels, and no command set knows its transport.
import type { Eventual } from '../../base/eventual.ts';

export const SCSI_STATUS = { GOOD: 0x00, CHECK_CONDITION: 0x02, BUSY: 0x08, RESERVATION_CONFLICT: 0x18, TASK_SET_FULL: 0x28 } as const;

/** Sense key, additional sense code and qualifier. */
export interface ScsiSense {
  readonly key: number;
  readonly code: number;
  readonly qualifier: number;
}

const sense = (key: number, code: number, qualifier = 0): ScsiSense => ({ key, code, qualifier });

/** Sense data that command sets share; names are those of SPC-4. */
export const SENSE = {
  NONE: sense(0, 0),
  NOT_READY_MEDIUM_ABSENT: sense(2, 0x3a),
  NOT_READY_TRAY_OPEN: sense(2, 0x3a, 2),
  READ_ERROR: sense(3, 0x11),
  WRITE_ERROR: sense(3, 0x0c),
  INTERNAL_FAILURE: sense(4, 0x44),
  INVALID_OPCODE: sense(5, 0x20),
  LBA_OUT_OF_RANGE: sense(5, 0x21),
  INVALID_FIELD: sense(5, 0x24),
  LUN_NOT_SUPPORTED: sense(5, 0x25),
  INVALID_PARAMETER: sense(5, 0x26),
  PARAMETER_LENGTH: sense(5, 0x1a),
  SAVING_NOT_SUPPORTED: sense(5, 0x39),
  REMOVAL_PREVENTED: sense(5, 0x53, 2),
  ILLEGAL_MODE_FOR_TRACK: sense(5, 0x64),
  MEDIUM_CHANGED: sense(6, 0x28),
  POWER_ON: sense(6, 0x29),
  WRITE_PROTECTED: sense(7, 0x27),
  SPACE_ALLOCATION_FAILED: sense(7, 0x27, 7),
} as const;

/** What a command comes to. */
export type ScsiPlan =
  /** Good status without data. */
  | { readonly kind: 'done' }
  /** Data for the initiator, already cut to the allocation length. */
  | { readonly kind: 'in'; readonly data: Uint8Array }
  /** Parameters from the initiator, then `accept`. */
  | { readonly kind: 'out'; readonly bytes: number }
  /** A part of the drive, which lies inside it. */
  | { readonly kind: 'read'; readonly offset: number; readonly bytes: number }
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: number; readonly fua: boolean }
  | { readonly kind: 'failed'; readonly sense: ScsiSense };

export const DONE: ScsiPlan = { kind: 'done' };
export const failed = (reason: ScsiSense): ScsiPlan => ({ kind: 'failed', sense: reason });

export interface ScsiLogicalUnit {
  /** Begins a command; the CDB is a copy, as long as its transport makes it. */
  begin(cdb: Uint8Array): Eventual<ScsiPlan>;
  /** The parameters of the command with plan `out`. */
  accept(cdb: Uint8Array, data: Uint8Array): Eventual<ScsiPlan>;
  /** The sense data for a transfer that the drive failed. */
  transferFailed(error: unknown, write: boolean): ScsiSense;
}

/** Fixed-format sense data (SPC-4 4.5.3). */
export function fixedSense({ key, code, qualifier }: ScsiSense): Uint8Array {
  const data = new Uint8Array(18);
  data[0] = 0x70;
  data[2] = key;
  data[7] = 10;
  data[12] = code;
  data[13] = qualifier;
  return data;
}
