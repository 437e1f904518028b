// Guest addresses as numbers: canonical 64-bit addresses are signed, so that the kernel's half is negative and every address of up to
// 53 bits is exact; those of 32-bit code are not negative. Words of the vCPU's area are read two by two.

export type Words = Uint32Array;

/** The 64-bit word at index `at` of 32-bit ones, as an address. */
export const addressAt = (words: Words, at: number): number => (words[at + 1]! | 0) * 0x1_0000_0000 + words[at]!;

/** The sixteen or eight digits that people know. */
export function addressText(address: number): string {
  const high = Math.floor(address / 0x1_0000_0000) >>> 0;
  const low = address >>> 0;
  return high === 0 ? `0x${low.toString(16)}` : `0x${high.toString(16)}${low.toString(16).padStart(8, '0')}`;
}

/** A line's digits; undefined where they are none, or too large. */
export function parseAddress(digits: string): number | undefined {
  if (!/^[0-9a-f]{1,16}$/i.test(digits)) return undefined;
  const address = Number(BigInt.asIntN(64, BigInt(`0x${digits}`)));
  return Number.isSafeInteger(address) ? address : undefined;
}
