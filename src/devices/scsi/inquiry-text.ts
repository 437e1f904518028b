// Text in SCSI data: ASCII, padded with spaces.
const code = (text: string, index: number): number => (index < text.length ? text.charCodeAt(index) & 0x7f : 0x20);

export const SCSI_TEXT = {
  padded: (text: string, length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => code(text, index)),
  plain: (text: string): Uint8Array => SCSI_TEXT.padded(text, text.length),
} as const;
