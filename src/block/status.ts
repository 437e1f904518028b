// What is known of a range of a block node: the answer types of block status, as QEMU's `map` and NBD's base:allocation show
// it. Walking over nodes and backing chains is chain-status.ts.
import type { BlockNode } from './node.ts';

export const STATUS = {
  /** Data may be read from this layer's file at `hostOffset` (or somewhere, when that is unknown). */
  DATA: 1,
  /** Reads as zeroes. */
  ZERO: 2,
  /** `hostOffset` and `file` are meaningful. */
  OFFSET_VALID: 4,
  /** The answer of a layer that leaves the rest to `file` at `hostOffset`. */
  RAW: 8,
  /** Decided by this layer, not by its backing image. */
  ALLOCATED: 0x10,
  /** The range reaches the end of the node. */
  EOF: 0x20,
  /** Data that may still be zero in `file`: worth asking there. */
  RECURSE: 0x40,
  COMPRESSED: 0x80,
} as const;

export interface BlockStatus {
  /** How many bytes from the asked offset are alike; at least 1, unless at the end. */
  readonly count: number;
  /** STATUS bits. */
  readonly flags: number;
  readonly hostOffset?: number;
  readonly file?: BlockNode;
}
