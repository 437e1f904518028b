// IBM code page 437, the character set of a PC's text mode, as Unicode. The control codes have pictures too.

// prettier-ignore
const PICTURES = ' ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼';
// prettier-ignore
const UPPER_HALF =
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ';
const HOUSE = '⌂';

/** UTF-8 of each of the 256 characters. */
export const CODE_PAGE_UTF8: readonly Uint8Array[] = Array.from({ length: 256 }, (_, code) => {
  const text = code < 0x20 ? PICTURES[code]! : code < 0x7f ? String.fromCharCode(code) : code === 0x7f ? HOUSE : UPPER_HALF[code - 0x80]!;
  return new TextEncoder().encode(text);
});
