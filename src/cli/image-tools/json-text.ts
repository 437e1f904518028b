// JSON over several lines as the image tools print it: four blanks per level, members in the order of the reference's
// dictionaries.
import { bucketOf } from '../../block/filename.ts';

export type JsonValue = string | number | bigint | boolean | null | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [name: string]: JsonValue | undefined;
}

const INDENT = '    ';

/** Members in the dictionary's order; those that are undefined are left out. */
export function orderedMembers<T>(object: { readonly [name: string]: T | undefined }): [name: string, value: T][] {
  return Object.entries(object)
    .filter((entry): entry is [string, T] => entry[1] !== undefined)
    .map((entry, index) => ({ entry, index, bucket: bucketOf(entry[0]) }))
    .sort((a, b) => a.bucket - b.bucket || b.index - a.index)
    .map(({ entry }) => entry);
}

export function prettyJson(value: JsonValue, indent = ''): string {
  const inner = indent + INDENT;
  if (Array.isArray(value)) {
    return `[${value.map((item: JsonValue) => `\n${inner}${prettyJson(item, inner)}`).join(',')}\n${indent}]`;
  }
  if (typeof value === 'object' && value !== null) {
    const members = orderedMembers(value as JsonObject).map(([name, item]) => `\n${inner}${jsonText(name)}: ${prettyJson(item, inner)}`);
    return `{${members.join(',')}\n${indent}}`;
  }
  return typeof value === 'bigint' ? String(value) : jsonText(value as string | number | boolean | null);
}

/** A scalar in ASCII. */
export const jsonText = (value: string | number | boolean | null): string =>
  JSON.stringify(value).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`);
