// What the logs and SMART tell of a disk that never wears out: directory, empty error and self-test logs, and the log of the
// queued command that failed (ATA8-ACS annex A).
import { SECTOR_BYTES } from './ata-unit.ts';

export const LOG = { DIRECTORY: 0x00, ERRORS: 0x01, SELF_TESTS: 0x06, QUEUED_ERROR: 0x10 } as const;
const PAGES = [LOG.ERRORS, LOG.SELF_TESTS, LOG.QUEUED_ERROR];

export interface QueuedFailure {
  readonly failedTag: number;
  readonly failedStatus: number;
  readonly failedError: number;
  readonly failedCount: number;
  readonly failedLba: number;
}

/** The last byte makes the sum of all zero. */
function summed(data: Uint8Array): Uint8Array {
  data[SECTOR_BYTES - 1] = -data.reduce((sum, byte) => sum + byte, 0) & 0xff;
  return data;
}

/** One page of 512 bytes; undefined for a log that there is not. */
export function logPage(address: number, failure: QueuedFailure): Uint8Array | undefined {
  const data = new Uint8Array(SECTOR_BYTES);
  switch (address) {
    case LOG.DIRECTORY:
      data[0] = 1;
      for (const page of PAGES) data[2 * page] = 1;
      return data;
    case LOG.ERRORS:
    case LOG.SELF_TESTS:
      data[0] = 1;
      return summed(data);
    case LOG.QUEUED_ERROR:
      return queuedErrorLog(data, failure);
    default:
      return undefined;
  }
}

function queuedErrorLog(data: Uint8Array, failure: QueuedFailure): Uint8Array {
  const view = new DataView(data.buffer);
  data[0] = failure.failedTag;
  data[2] = failure.failedStatus;
  data[3] = failure.failedError;
  const low = failure.failedLba % 2 ** 24;
  const high = Math.floor(failure.failedLba / 2 ** 24);
  for (let index = 0; index < 3; index++) {
    data[4 + index] = (low >>> (8 * index)) & 0xff;
    data[8 + index] = (high >>> (8 * index)) & 0xff;
  }
  data[7] = 0x40;
  view.setUint16(12, failure.failedCount, true);
  return summed(data);
}

/** Attributes by number: every one at its best. */
const ATTRIBUTES = [
  { id: 1, flags: 0x0f, threshold: 6 }, // raw read error rate
  { id: 5, flags: 0x33, threshold: 36 }, // reallocated sectors
  { id: 9, flags: 0x32, threshold: 0 }, // power-on hours
  { id: 12, flags: 0x32, threshold: 20 }, // power cycles
  { id: 194, flags: 0x22, threshold: 0 }, // temperature
] as const;

export function smartData(): Uint8Array {
  const data = new Uint8Array(SECTOR_BYTES);
  data[0] = 0x10;
  ATTRIBUTES.forEach(({ id, flags }, index) => data.set([id, flags, 0, 100, 100], 2 + 12 * index));
  data[362] = 2; // off-line collection has never been started
  data[367] = 0;
  data[368] = 3; // saves its attributes
  data[370] = 1; // has an error log
  return summed(data);
}

export function smartThresholds(): Uint8Array {
  const data = new Uint8Array(SECTOR_BYTES);
  data[0] = 0x10;
  ATTRIBUTES.forEach(({ id, threshold }, index) => data.set([id, threshold], 2 + 12 * index));
  return summed(data);
}
