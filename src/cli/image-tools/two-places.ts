// Numbers with two places behind the point as printf's %.2f writes them: exact ties go to the even digit.

export function twoPlaces(value: number): string {
  const hundredths = value * 100;
  const below = Math.floor(hundredths);
  const isTie = hundredths - below === 0.5 && (below + 0.5) / 100 === value;
  return isTie ? ((below + (below % 2)) / 100).toFixed(2) : value.toFixed(2);
}
