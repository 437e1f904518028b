// Numbers of NVM Express 1.4 that several files need: opcodes, status codes, features, sizes.

export const SUBMISSION_BYTES = 64;
export const COMPLETION_BYTES = 16;
/** I/O queue pairs besides the admin queues. */
export const IO_QUEUES = 64;
export const QUEUE_ENTRIES_MAX = 2048;
export const NAMESPACE = 1;
export const ALL_NAMESPACES = 0xffff_ffff;
/** The largest transfer of a command is 2^n pages of 4 KiB. */
export const TRANSFER_PAGES_LOG2 = 7;
export const TRANSFER_BYTES_MAX = 4096 << TRANSFER_PAGES_LOG2;
/** Memory pages of 4 KiB to 64 KiB. */
export const PAGE_SHIFT_EXTRA_MAX = 4;
export const EVENTS_MAX = 4;

export const ADMIN = {
  DELETE_SQ: 0x00, CREATE_SQ: 0x01, GET_LOG_PAGE: 0x02, DELETE_CQ: 0x04, CREATE_CQ: 0x05, IDENTIFY: 0x06, ABORT: 0x08,
  SET_FEATURES: 0x09, GET_FEATURES: 0x0a, ASYNC_EVENT: 0x0c,
} as const;
export const IO = { FLUSH: 0x00, WRITE: 0x01, READ: 0x02, COMPARE: 0x05, WRITE_ZEROES: 0x08, DATASET_MANAGEMENT: 0x09 } as const;

const DO_NOT_RETRY = 0x4000;
/** Status of a completion: code, type in bits 10..8, and "do not retry". */
export const STATUS = {
  SUCCESS: 0,
  INVALID_OPCODE: 0x001 | DO_NOT_RETRY,
  INVALID_FIELD: 0x002 | DO_NOT_RETRY,
  DATA_TRANSFER_ERROR: 0x004,
  INTERNAL_ERROR: 0x006,
  INVALID_NAMESPACE: 0x00b | DO_NOT_RETRY,
  SEQUENCE_ERROR: 0x00c | DO_NOT_RETRY,
  INVALID_PRP_OFFSET: 0x013 | DO_NOT_RETRY,
  WRITE_PROTECTED: 0x020 | DO_NOT_RETRY,
  LBA_OUT_OF_RANGE: 0x080 | DO_NOT_RETRY,
  CAPACITY_EXCEEDED: 0x081 | DO_NOT_RETRY,
  INVALID_CQ: 0x100 | DO_NOT_RETRY,
  INVALID_QUEUE_ID: 0x101 | DO_NOT_RETRY,
  INVALID_QUEUE_SIZE: 0x102 | DO_NOT_RETRY,
  TOO_MANY_EVENTS: 0x105 | DO_NOT_RETRY,
  INVALID_VECTOR: 0x108 | DO_NOT_RETRY,
  INVALID_LOG_PAGE: 0x109 | DO_NOT_RETRY,
  INVALID_QUEUE_DELETION: 0x10c | DO_NOT_RETRY,
  FEATURE_NOT_CHANGEABLE: 0x10e | DO_NOT_RETRY,
  WRITE_FAULT: 0x280,
  READ_ERROR: 0x281,
  COMPARE_FAILURE: 0x285,
} as const;

/** What a command ends with: a status, or a status and the first word of the completion. */
export interface NvmeResult {
  readonly status: number;
  readonly value: number;
}
export const ok = (value: number): NvmeResult => ({ status: STATUS.SUCCESS, value });

export const FEATURE = {
  ARBITRATION: 0x01, POWER: 0x02, TEMPERATURE: 0x04, ERROR_RECOVERY: 0x05, WRITE_CACHE: 0x06, QUEUES: 0x07, COALESCING: 0x08,
  VECTOR: 0x09, ATOMICITY: 0x0a, ASYNC_EVENT: 0x0b,
} as const;
