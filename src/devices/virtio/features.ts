// Feature bits and device status of virtio 1.2 that all device types share: chapters 2.1, 2.2 and 6. Those of a type are in its
// own file.

export const VIRTIO_FEATURE = {
  ANY_LAYOUT: 27,
  INDIRECT_DESC: 28,
  EVENT_IDX: 29,
  VERSION_1: 32,
  RING_PACKED: 34,
} as const;

export const VIRTIO_STATUS = { ACKNOWLEDGE: 1, DRIVER: 2, DRIVER_OK: 4, FEATURES_OK: 8, NEEDS_RESET: 0x40, FAILED: 0x80 } as const;

/** A set of feature bits in the two words of 32 in which transports move them. */
export class FeatureSet {
  low: number;
  high: number;

  constructor(low = 0, high = 0) {
    this.low = low >>> 0;
    this.high = high >>> 0;
  }

  static of(bits: Iterable<number>): FeatureSet {
    const set = new FeatureSet();
    for (const bit of bits) {
      if (bit < 32) set.low = (set.low | (1 << bit)) >>> 0;
      else set.high = (set.high | (1 << (bit - 32))) >>> 0;
    }
    return set;
  }

  has(bit: number): boolean {
    return bit < 32 ? (this.low & (1 << bit)) !== 0 : (this.high & (1 << (bit - 32))) !== 0;
  }

  /** Whether every bit of `other` is in this set. */
  covers(other: FeatureSet): boolean {
    return (other.low & ~this.low) === 0 && (other.high & ~this.high) === 0;
  }
}
