// `name,key=value,flag,key2=a,,b`: the syntax of most option arguments. Only splits; property.ts gives the values types.
// A comma inside a value is doubled. A key without `=` is a switch: `wait` is wait=on, `nowait` is wait=off.

export interface KeyValue {
  readonly name: string;
  readonly value: string;
  /** Written without `=`. */
  readonly bare: boolean;
}

/** Splits at single commas and undoes the doubling of the others. */
export function splitAtCommas(text: string): string[] {
  const parts: string[] = [];
  let part = '';
  for (let index = 0; index < text.length; index++) {
    if (text[index] !== ',') {
      part += text[index];
    } else if (text[index + 1] === ',') {
      part += ',';
      index++;
    } else {
      parts.push(part);
      part = '';
    }
  }
  parts.push(part);
  return parts;
}

/** `impliedName` is the key of a first part that has no `=`. */
export function parseKeyValue(text: string, impliedName?: string): KeyValue[] {
  return splitAtCommas(text).flatMap((part, index): KeyValue[] => {
    const equals = part.indexOf('=');
    if (equals >= 0) return [{ name: part.slice(0, equals), value: part.slice(equals + 1), bare: false }];
    if (index === 0 && impliedName !== undefined) return [{ name: impliedName, value: part, bare: false }];
    if (part === '') return [];
    return [{ name: part, value: 'on', bare: true }];
  });
}
