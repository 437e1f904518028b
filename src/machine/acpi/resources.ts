// Resource descriptors for _CRS and _PRS (ACPI 6.5 section 6.4): each function gives the bytes of one descriptor,
// resourceTemplate joins them into the buffer object.
import { concatBytes, layout, le16, le32, le64, u8 } from '../../struct/layout.ts';
import { buffer, type AmlNode } from './aml.ts';

const SMALL = { IRQ: 0x22, IO: 0x47, END: 0x79 } as const;
const LARGE = { MEMORY32_FIXED: 0x86, DWORD_SPACE: 0x87, WORD_SPACE: 0x88, EXTENDED_INTERRUPT: 0x89, QWORD_SPACE: 0x8a } as const;
const LARGE_HEADER_BYTES = 3;

export function resourceTemplate(...descriptors: readonly Uint8Array[]): AmlNode {
  return buffer(concatBytes(...descriptors, [SMALL.END, 0])); // checksum 0: not computed
}

/** ISA interrupt, edge triggered (ASL's IRQNoFlags). */
export const irq = (line: number): Uint8Array => Uint8Array.of(SMALL.IRQ, (1 << line) & 0xff, (1 << line) >> 8);

const ioLayout = layout('IO descriptor', { tag: u8(0), decode16: u8(1), min: le16(2), max: le16(4), alignment: u8(6), sizeBytes: u8(7) });

/** Fixed ports, decoded with 16 bits. */
export function ioPorts(base: number, sizeBytes: number): Uint8Array {
  return ioLayout.encode({ tag: SMALL.IO, decode16: 1, min: base, max: base, alignment: 1, sizeBytes });
}

// prettier-ignore
const memory32Layout = layout('Memory32Fixed descriptor', {
  tag: u8(0), length: le16(1), writable: u8(3), base: le32(4), sizeBytes: le32(8),
});

export function memory32Fixed(base: number, sizeBytes: number): Uint8Array {
  const length = memory32Layout.sizeBytes - LARGE_HEADER_BYTES;
  return memory32Layout.encode({ tag: LARGE.MEMORY32_FIXED, length, writable: 1, base, sizeBytes });
}

/** Offset of the first interrupt number in an extended interrupt descriptor. */
export const INTERRUPT_NUMBER_OFFSET = 5;

/** Level triggered, active high, shared: how PIIX3 drives the interrupt controllers. */
export function extendedInterrupt(...lines: readonly number[]): Uint8Array {
  const CONSUMER_LEVEL_HIGH_SHARED = 0b1001;
  const table = lines.map((line) => [line & 0xff, line >> 8, 0, 0]);
  return concatBytes([LARGE.EXTENDED_INTERRUPT, 2 + 4 * lines.length, 0, CONSUMER_LEVEL_HIGH_SHARED, lines.length], ...table);
}

const SPACE = { MEMORY: 0, IO: 1, BUS: 2 } as const;
const MIN_MAX_FIXED = 0b1100; // with bit 0 clear: the bridge produces the range; bit 1 clear: positive decode
const IO_ENTIRE_RANGE = 3;
const MEMORY_WRITABLE = 1;

// prettier-ignore
const wordSpace = layout('WordSpace descriptor', {
  tag: u8(0), length: le16(1), type: u8(3), flags: u8(4), typeFlags: u8(5),
  granularity: le16(6), min: le16(8), max: le16(10), translation: le16(12), rangeBytes: le16(14),
});
// prettier-ignore
const dwordSpace = layout('DWordSpace descriptor', {
  tag: u8(0), length: le16(1), type: u8(3), flags: u8(4), typeFlags: u8(5),
  granularity: le32(6), min: le32(10), max: le32(14), translation: le32(18), rangeBytes: le32(22),
});
// prettier-ignore
const qwordSpace = layout('QWordSpace descriptor', {
  tag: u8(0), length: le16(1), type: u8(3), flags: u8(4), typeFlags: u8(5),
  granularity: le64(6), min: le64(14), max: le64(22), translation: le64(30), rangeBytes: le64(38),
});

function word(type: number, typeFlags: number, min: number, max: number): Uint8Array {
  const length = wordSpace.sizeBytes - LARGE_HEADER_BYTES;
  return wordSpace.encode({ tag: LARGE.WORD_SPACE, length, type, flags: MIN_MAX_FIXED, typeFlags, min, max, rangeBytes: max - min + 1 });
}

export const busNumbers = (min: number, max: number): Uint8Array => word(SPACE.BUS, 0, min, max);
export const ioWindow = (min: number, max: number): Uint8Array => word(SPACE.IO, IO_ENTIRE_RANGE, min, max);

/** [start, end) as a memory window of a bridge. */
export function memoryWindow(start: number, end: number): Uint8Array {
  const common = { type: SPACE.MEMORY, flags: MIN_MAX_FIXED, typeFlags: MEMORY_WRITABLE };
  if (end <= 2 ** 32) {
    const length = dwordSpace.sizeBytes - LARGE_HEADER_BYTES;
    return dwordSpace.encode({ tag: LARGE.DWORD_SPACE, length, ...common, min: start, max: end - 1, rangeBytes: end - start });
  }
  const length = qwordSpace.sizeBytes - LARGE_HEADER_BYTES;
  const range = { min: BigInt(start), max: BigInt(end - 1), rangeBytes: BigInt(end - start) };
  return qwordSpace.encode({ tag: LARGE.QWORD_SPACE, length, ...common, ...range });
}
