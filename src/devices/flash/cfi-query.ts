// What a flash chip tells of itself in query mode (JESD68.01, Common Flash Interface; extended table of command set 0001h).
import { layout, le16, le32, text, u8 } from '../../struct/layout.ts';

export interface FlashGeometry {
  readonly sizeBytes: number;
  readonly blockBytes: number;
  /** Bytes that one buffered program takes, a power of two. */
  readonly bufferBytes: number;
}

const EXTENDED_OFFSET = 0x31;

// prettier-ignore
const query = layout('CFI query', {
  signature: text(0x10, 3), commandSet: le16(0x13), extended: le16(0x15), vccMin: u8(0x1b), vccMax: u8(0x1c),
  programTime: u8(0x1f), bufferTime: u8(0x20), eraseTime: u8(0x21), programTimeMax: u8(0x23), bufferTimeMax: u8(0x24), eraseTimeMax: u8(0x25),
  sizeLog2: u8(0x27), interfaceCode: le16(0x28), bufferLog2: le16(0x2a), regionCount: u8(0x2c), blocks: le16(0x2d), blockUnits: le16(0x2f),
  extendedSignature: text(0x31, 3), major: u8(0x34), minor: u8(0x35), features: le32(0x36),
}, 0x40);

/** The bytes from offset 0 on; what the specification leaves open is zero. */
export function cfiQuery({ sizeBytes, blockBytes, bufferBytes }: FlashGeometry): Uint8Array {
  const REGION_UNIT_BYTES = 256;
  const INTEL_STANDARD = 1;
  const INSTANT_BLOCK_LOCKING = 1 << 5;
  return query.encode({
    signature: 'QRY', commandSet: INTEL_STANDARD, extended: EXTENDED_OFFSET, vccMin: 0x45, vccMax: 0x55,
    programTime: 7, bufferTime: 7, eraseTime: 10, programTimeMax: 4, bufferTimeMax: 4, eraseTimeMax: 4,
    sizeLog2: Math.ceil(Math.log2(sizeBytes)), bufferLog2: Math.log2(bufferBytes), regionCount: 1,
    blocks: sizeBytes / blockBytes - 1, blockUnits: blockBytes / REGION_UNIT_BYTES,
    extendedSignature: 'PRI', major: 0x31, minor: 0x30, features: INSTANT_BLOCK_LOCKING,
  });
}
