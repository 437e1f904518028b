// Reads a tar stream (POSIX ustar with GNU long names) chunk by chunk and keeps the files somebody wants.
// Does not write archives, nor follow links.

const BLOCK_BYTES = 512;
const REGULAR = new Set(['0', '\0']);
const GNU_LONG_NAME = 'L';

interface Member {
  readonly path: string;
  readonly kept: boolean;
  readonly parts: Uint8Array[];
  dataLeft: number;
  paddingLeft: number;
}

export class TarReader {
  readonly #wanted: (path: string) => boolean;
  #pending: Uint8Array = new Uint8Array(0);
  #longName: string | undefined;
  /** The rest of the current member: its data, then padding. */
  #current: Member | undefined;
  readonly files = new Map<string, Uint8Array>();

  constructor(wanted: (path: string) => boolean) {
    this.#wanted = wanted;
  }

  push(chunk: Uint8Array): void {
    let rest = this.#pending.length === 0 ? chunk : joined([this.#pending, chunk]);
    for (;;) {
      if (this.#current === undefined) {
        if (rest.length < BLOCK_BYTES) break;
        this.#start(rest.subarray(0, BLOCK_BYTES));
        rest = rest.subarray(BLOCK_BYTES);
      } else {
        if (rest.length === 0 && this.#current.dataLeft + this.#current.paddingLeft > 0) break;
        rest = this.#continue(rest);
      }
    }
    this.#pending = rest.slice();
  }

  #start(block: Uint8Array): void {
    const text = new TextDecoder('latin1').decode(block);
    const field = (offset: number, length: number): string => text.slice(offset, offset + length).replace(/\0.*$/s, '');
    if (field(0, 100) === '') return; // the zero blocks at the end
    const prefix = text.slice(257, 262) === 'ustar' ? field(345, 155) : '';
    const path = this.#longName ?? (prefix === '' ? field(0, 100) : `${prefix}/${field(0, 100)}`);
    const type = text[156]!;
    const sizeBytes = Number.parseInt(field(124, 12), 8) || 0;
    const isName = type === GNU_LONG_NAME;
    this.#longName = undefined;
    const paddingLeft = (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
    const kept = isName || (REGULAR.has(type) && this.#wanted(path));
    this.#current = { path: isName ? '' : path, kept, parts: [], dataLeft: sizeBytes, paddingLeft };
  }

  #continue(rest: Uint8Array): Uint8Array {
    const current = this.#current!;
    const data = rest.subarray(0, current.dataLeft);
    current.dataLeft -= data.length;
    if (current.kept) current.parts.push(data.slice());
    const padding = Math.min(current.dataLeft === 0 ? current.paddingLeft : 0, rest.length - data.length);
    current.paddingLeft -= padding;
    if (current.dataLeft + current.paddingLeft === 0) this.#finish();
    return rest.subarray(data.length + padding);
  }

  #finish(): void {
    const { path, kept, parts } = this.#current!;
    this.#current = undefined;
    if (!kept) return;
    if (path === '') this.#longName = new TextDecoder().decode(joined(parts)).replace(/\0.*$/s, '');
    else this.files.set(path, joined(parts));
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const target = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    target.set(part, offset);
    offset += part.length;
  }
  return target;
}
