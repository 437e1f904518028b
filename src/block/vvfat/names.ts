// Names in FAT directories (Microsoft's FAT specification 1.03): the 8.3 name that is made of a long one, and the entries that
// hold the long one.

export const SHORT_NAME_BYTES = 11;
const BASE_BYTES = 8;
const EXTENSION_BYTES = 3;
const ENTRY_BYTES = 32;
const ATTRIBUTE_LONG_NAME = 0x0f;
const UNITS_PER_ENTRY = 13;
/** Where the UTF-16 units of a long-name entry lie. */
const UNIT_OFFSETS = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
const LAST_ENTRY = 0x40;
const TAIL_MAX = 999_999;
const ALLOWED = /[A-Z0-9$%'\-_@~`!(){}^#&]/;

interface Reduced {
  readonly text: string;
  readonly lossy: boolean;
}

function reduce(text: string, max: number): Reduced {
  const kept = [...text.toUpperCase()].filter((char) => ALLOWED.test(char)).join('');
  return { text: kept.slice(0, max), lossy: kept.length > max || kept.length !== [...text].length };
}

/** A name of 11 characters that `taken` does not have yet. Undefined when there is none. */
export function shortName(long: string, taken: ReadonlySet<string>): string | undefined {
  const stripped = long.replace(/^\.+/, '');
  const firstDot = stripped.indexOf('.');
  const lastDot = stripped.lastIndexOf('.');
  const base = reduce(firstDot < 0 ? stripped : stripped.slice(0, firstDot), BASE_BYTES);
  const extension = reduce(lastDot < 0 ? '' : stripped.slice(lastDot + 1), EXTENSION_BYTES);
  const lossy = base.lossy || extension.lossy || stripped !== long || firstDot !== lastDot || base.text === '';
  const whole = (text: string): string => text.padEnd(BASE_BYTES) + extension.text.padEnd(EXTENSION_BYTES);
  if (!lossy && !taken.has(whole(base.text))) return whole(base.text);
  for (let number = 1; number <= TAIL_MAX; number++) {
    const tail = `~${number}`;
    const candidate = whole(base.text.slice(0, BASE_BYTES - tail.length) + tail);
    if (!taken.has(candidate)) return candidate;
  }
  return undefined;
}

function checksum(short: string): number {
  let sum = 0;
  for (let at = 0; at < SHORT_NAME_BYTES; at++) sum = (((sum & 1) << 7) | (sum >> 1)) + short.charCodeAt(at) & 0xff;
  return sum;
}

/** The entries before the short one, in their order in the directory: the last part of the name comes first. */
export function longNameEntries(long: string, short: string): Uint8Array {
  const count = Math.ceil(long.length / UNITS_PER_ENTRY);
  const bytes = new Uint8Array(count * ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  for (let part = 0; part < count; part++) {
    const at = (count - 1 - part) * ENTRY_BYTES;
    bytes[at] = (part + 1) | (part === count - 1 ? LAST_ENTRY : 0);
    bytes[at + 11] = ATTRIBUTE_LONG_NAME;
    bytes[at + 13] = checksum(short);
    UNIT_OFFSETS.forEach((offset, unit) => {
      const index = part * UNITS_PER_ENTRY + unit;
      const value = index < long.length ? long.charCodeAt(index) : index === long.length ? 0 : 0xffff;
      view.setUint16(at + offset, value, true);
    });
  }
  return bytes;
}
