// The keys of a PC keyboard by name, with their codes in scan code sets 1 and 2 (IBM PS/2 reference, keyboard chapter).
// The controller's translation of set 2 into set 1 is derived from these rows. E0 codes are prefixed in both sets.

export interface Key {
  readonly name: string;
  /** Make code in set 1; its break code has bit 7 set. */
  readonly set1: number;
  /** Make code in set 2; its break code has F0 before it. */
  readonly set2: number;
  readonly extended: boolean;
}

/** Name, set 1 and set 2 in hexadecimal. */
// prettier-ignore
const PLAIN = `
esc 01 76, 1 02 16, 2 03 1e, 3 04 26, 4 05 25, 5 06 2e, 6 07 36, 7 08 3d, 8 09 3e, 9 0a 46, 0 0b 45, minus 0c 4e, equal 0d 55,
backspace 0e 66, tab 0f 0d, q 10 15, w 11 1d, e 12 24, r 13 2d, t 14 2c, y 15 35, u 16 3c, i 17 43, o 18 44, p 19 4d,
bracket_left 1a 54, bracket_right 1b 5b, ret 1c 5a, ctrl 1d 14, a 1e 1c, s 1f 1b, d 20 23, f 21 2b, g 22 34, h 23 33, j 24 3b,
k 25 42, l 26 4b, semicolon 27 4c, apostrophe 28 52, grave_accent 29 0e, shift 2a 12, backslash 2b 5d, z 2c 1a, x 2d 22, c 2e 21,
v 2f 2a, b 30 32, n 31 31, m 32 3a, comma 33 41, dot 34 49, slash 35 4a, shift_r 36 59, kp_multiply 37 7c, alt 38 11, spc 39 29,
caps_lock 3a 58, f1 3b 05, f2 3c 06, f3 3d 04, f4 3e 0c, f5 3f 03, f6 40 0b, f7 41 83, f8 42 0a, f9 43 01, f10 44 09,
num_lock 45 77, scroll_lock 46 7e, kp_7 47 6c, kp_8 48 75, kp_9 49 7d, kp_subtract 4a 7b, kp_4 4b 6b, kp_5 4c 73, kp_6 4d 74,
kp_add 4e 79, kp_1 4f 69, kp_2 50 72, kp_3 51 7a, kp_0 52 70, kp_decimal 53 71, sysrq 54 84, less 56 61, f11 57 78, f12 58 07`;
const EXTENDED = `
kp_enter 1c 5a, ctrl_r 1d 14, kp_divide 35 4a, print 37 7c, alt_r 38 11, home 47 6c, up 48 75, pgup 49 7d, left 4b 6b, right 4d 74,
end 4f 69, down 50 72, pgdn 51 7a, insert 52 70, delete 53 71, meta_l 5b 1f, meta_r 5c 27, menu 5d 2f, power 5e 37,
sleep 5f 3f, wake 63 5e`;

function parseRows(rows: string, extended: boolean): Key[] {
  return rows.split(',').map((row) => {
    const [name, set1, set2] = row.trim().split(/\s+/) as [string, string, string];
    return { name, set1: parseInt(set1, 16), set2: parseInt(set2, 16), extended };
  });
}

export const KEYS: readonly Key[] = [...parseRows(PLAIN, false), ...parseRows(EXTENDED, true)];
export const keyByName: ReadonlyMap<string, Key> = new Map(KEYS.map((key) => [key.name, key]));

/** What the controller makes of a byte in set 2 when it translates; a byte that stands for no key passes. */
export const TRANSLATION: Uint8Array = Uint8Array.from({ length: 256 }, (_, code) => KEYS.find((key) => key.set2 === code)?.set1 ?? code);
