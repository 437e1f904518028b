// From keys to what INT 16h returns: scan code in the high byte, character in the low one. One table for the keyboard (make codes of
// scan code set 1 with the shift states) and for a terminal (characters and escape sequences of ECMA-48 and xterm). US layout.

interface KeyCodes {
  readonly plain: number;
  readonly shift: number;
  readonly control: number;
  readonly alt: number;
}
/** A combination that gives no key. */
export const NO_KEY = 0;

const LETTER_ROWS = [[0x10, 'qwertyuiop'], [0x1e, 'asdfghjkl'], [0x2c, 'zxcvbnm']] as const;
/** Scan code, plain and shifted character, character with Ctrl (0: none), scan code with Alt. */
// prettier-ignore
const SYMBOLS: readonly (readonly [number, string, string, number, number])[] = [
  [0x02, '1', '!', -1, 0x78], [0x03, '2', '@', 0, 0x79], [0x04, '3', '#', -1, 0x7a], [0x05, '4', '$', -1, 0x7b], [0x06, '5', '%', -1, 0x7c],
  [0x07, '6', '^', 0x1e, 0x7d], [0x08, '7', '&', -1, 0x7e], [0x09, '8', '*', -1, 0x7f], [0x0a, '9', '(', -1, 0x80], [0x0b, '0', ')', -1, 0x81],
  [0x0c, '-', '_', 0x1f, 0x82], [0x0d, '=', '+', -1, 0x83], [0x1a, '[', '{', 0x1b, 0x1a], [0x1b, ']', '}', 0x1d, 0x1b],
  [0x27, ';', ':', -1, 0x27], [0x28, "'", '"', -1, 0x28], [0x29, '`', '~', -1, 0x29], [0x2b, '\\', '|', 0x1c, 0x2b],
  [0x33, ',', '<', -1, 0x33], [0x34, '.', '>', -1, 0x34], [0x35, '/', '?', -1, 0x35], [0x39, ' ', ' ', 0x20, 0x39],
];
/** Keys without a shifted meaning of their own: scan codes or words with and without Shift, Ctrl and Alt. */
// prettier-ignore
const OTHERS: readonly (readonly [number, KeyCodes])[] = [
  [0x01, { plain: 0x011b, shift: 0x011b, control: 0x011b, alt: 0x0100 }], [0x0e, { plain: 0x0e08, shift: 0x0e08, control: 0x0e7f, alt: 0x0e00 }],
  [0x0f, { plain: 0x0f09, shift: 0x0f00, control: 0x9400, alt: 0xa500 }], [0x1c, { plain: 0x1c0d, shift: 0x1c0d, control: 0x1c0a, alt: 0x1c00 }],
  [0x37, { plain: 0x372a, shift: 0x372a, control: 0x9600, alt: 0x3700 }], [0x4a, { plain: 0x4a2d, shift: 0x4a2d, control: 0x8e00, alt: 0x4a00 }],
  [0x4e, { plain: 0x4e2b, shift: 0x4e2b, control: 0x9000, alt: 0x4e00 }],
  [0x57, { plain: 0x8500, shift: 0x8700, control: 0x8900, alt: 0x8b00 }], [0x58, { plain: 0x8600, shift: 0x8800, control: 0x8a00, alt: 0x8c00 }],
];
/** Keypad and cursor block: scan code, digit, scan codes with Ctrl and Alt. */
// prettier-ignore
const KEYPAD: readonly (readonly [number, string, number])[] = [
  [0x47, '7', 0x77], [0x48, '8', 0x8d], [0x49, '9', 0x84], [0x4b, '4', 0x73], [0x4c, '5', 0x8f], [0x4d, '6', 0x74], [0x4f, '1', 0x75],
  [0x50, '2', 0x91], [0x51, '3', 0x76], [0x52, '0', 0x92], [0x53, '.', 0x93],
];
const FUNCTION_KEY_1 = 0x3b;
const FUNCTION_KEYS = 10;

function buildTable(): (KeyCodes | undefined)[] {
  const table = new Array<KeyCodes | undefined>(0x80).fill(undefined);
  for (const [first, letters] of LETTER_ROWS) {
    for (const [n, letter] of [...letters].entries()) {
      const scan = (first + n) << 8;
      const code = letter.charCodeAt(0);
      table[first + n] = { plain: scan | code, shift: scan | (code - 0x20), control: scan | (code & 0x1f), alt: scan };
    }
  }
  for (const [scan, plain, shift, control, alt] of SYMBOLS) {
    table[scan] = {
      plain: (scan << 8) | plain.charCodeAt(0), shift: (scan << 8) | shift.charCodeAt(0),
      control: control < 0 ? NO_KEY : (scan << 8) | control, alt: alt << 8,
    };
  }
  for (const [scan, codes] of OTHERS) table[scan] = codes;
  for (const [scan, digit, control] of KEYPAD) {
    table[scan] = { plain: scan << 8, shift: (scan << 8) | digit.charCodeAt(0), control: control << 8, alt: NO_KEY };
  }
  for (let n = 0; n < FUNCTION_KEYS; n++) {
    table[FUNCTION_KEY_1 + n] = {
      plain: (FUNCTION_KEY_1 + n) << 8, shift: (0x54 + n) << 8, control: (0x5e + n) << 8, alt: (0x68 + n) << 8,
    };
  }
  return table;
}

/** By make code of scan code set 1. */
export const KEY_TABLE: readonly (KeyCodes | undefined)[] = buildTable();

const isLetter = (codes: KeyCodes): boolean => (codes.plain & 0xff) >= 0x61 && (codes.plain & 0xff) <= 0x7a;
const isKeypad = (scan: number): boolean => scan >= 0x47 && scan <= 0x53 && scan !== 0x4a && scan !== 0x4e;

export interface Modifiers {
  readonly shift: boolean;
  readonly control: boolean;
  readonly alt: boolean;
  readonly capsLock: boolean;
  readonly numLock: boolean;
}

/** The word for a make code; `extended` after E0: the grey keys, whose character byte is E0. */
export function keyWord(scan: number, extended: boolean, { shift, control, alt, capsLock, numLock }: Modifiers): number {
  const codes = KEY_TABLE[scan];
  if (codes === undefined) return NO_KEY;
  if (extended) return extendedWord(scan, codes, { control, alt });
  if (alt) return codes.alt;
  if (control) return codes.control;
  const shifted = isLetter(codes) ? shift !== capsLock : isKeypad(scan) ? shift !== numLock : shift;
  return shifted ? codes.shift : codes.plain;
}

const ENTER = 0x1c;
const SLASH = 0x35;
const GREY = 0xe0;

function extendedWord(scan: number, codes: KeyCodes, { control, alt }: { control: boolean; alt: boolean }): number {
  if (scan === ENTER) return (GREY << 8) | (alt ? 0 : control ? 0x0a : 0x0d);
  if (scan === SLASH) return alt ? 0xa400 : control ? 0x9500 : (GREY << 8) | 0x2f;
  if (!isKeypad(scan)) return NO_KEY;
  if (alt) return (scan + 0x50) << 8;
  return (control ? codes.control : scan << 8) | GREY;
}

/** The word that a typed character stands for. */
const BY_CHARACTER = new Map<number, number>();
for (const codes of KEY_TABLE) {
  if (codes === undefined) continue;
  for (const word of [codes.plain, codes.shift, codes.control]) {
    const character = word & 0xff;
    if (character !== 0 && !BY_CHARACTER.has(character)) BY_CHARACTER.set(character, word);
  }
}
for (const [character, word] of [[0x08, 0x0e08], [0x7f, 0x0e08], [0x09, 0x0f09], [0x0d, 0x1c0d], [0x0a, 0x1c0d], [0x1b, 0x011b]] as const) {
  BY_CHARACTER.set(character, word);
}
// Digits and symbols of the main block come before the keypad's.
for (const [scan, plain, shift] of SYMBOLS) {
  BY_CHARACTER.set(plain.charCodeAt(0), (scan << 8) | plain.charCodeAt(0));
  BY_CHARACTER.set(shift.charCodeAt(0), (scan << 8) | shift.charCodeAt(0));
}
export const wordOfCharacter = (character: number): number => BY_CHARACTER.get(character) ?? NO_KEY;

/** What follows ESC. */
// prettier-ignore
const SEQUENCES: Readonly<Record<string, number>> = {
  '[A': 0x48e0, '[B': 0x50e0, '[C': 0x4de0, '[D': 0x4be0, '[H': 0x47e0, '[F': 0x4fe0, 'OA': 0x48e0, 'OB': 0x50e0, 'OC': 0x4de0, 'OD': 0x4be0,
  'OH': 0x47e0, 'OF': 0x4fe0, '[1~': 0x47e0, '[2~': 0x52e0, '[3~': 0x53e0, '[4~': 0x4fe0, '[5~': 0x49e0, '[6~': 0x51e0, '[7~': 0x47e0, '[8~': 0x4fe0,
  'OP': 0x3b00, 'OQ': 0x3c00, 'OR': 0x3d00, 'OS': 0x3e00, '[11~': 0x3b00, '[12~': 0x3c00, '[13~': 0x3d00, '[14~': 0x3e00, '[15~': 0x3f00,
  '[17~': 0x4000, '[18~': 0x4100, '[19~': 0x4200, '[20~': 0x4300, '[21~': 0x4400, '[23~': 0x8500, '[24~': 0x8600,
};
export const ESCAPE_KEY = 0x011b;

/** What a terminal's bytes after ESC mean: a key, nothing yet, or none of a key's. */
export function sequenceKey(bytes: string): number | 'incomplete' | 'unknown' {
  const known = SEQUENCES[bytes];
  if (known !== undefined) return known;
  return Object.keys(SEQUENCES).some((sequence) => sequence.startsWith(bytes)) ? 'incomplete' : 'unknown';
}
