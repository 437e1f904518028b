// Writes a cpio archive in the "new ASCII" format, the one that Linux unpacks as its initial file system.
// Specification: Linux Documentation/driver-api/early-userspace/buffer-format.rst. Does not read archives.

export interface CpioEntry {
  /** Without a leading slash; parents come before their children. */
  readonly path: string;
  /** Type and permissions as in stat(2). */
  readonly mode: number;
  readonly data?: Uint8Array;
  /** Of a device node. */
  readonly device?: { readonly major: number; readonly minor: number };
}

const TYPE = { CHARACTER_DEVICE: 0o020000, DIRECTORY: 0o040000, FILE: 0o100000, SYMBOLIC_LINK: 0o120000 } as const;

export const directory = (path: string): CpioEntry => ({ path, mode: TYPE.DIRECTORY | 0o755 });
export const file = (path: string, data: Uint8Array, permissions = 0o644): CpioEntry => ({ path, mode: TYPE.FILE | permissions, data });
export const symbolicLink = (path: string, target: string): CpioEntry => ({
  path,
  mode: TYPE.SYMBOLIC_LINK | 0o777,
  data: new TextEncoder().encode(target),
});
export const characterDevice = (path: string, major: number, minor: number): CpioEntry => ({
  path,
  mode: TYPE.CHARACTER_DEVICE | 0o600,
  device: { major, minor },
});

const MAGIC = '070701';
const ALIGNMENT_BYTES = 4;

export function cpioArchive(entries: readonly CpioEntry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [index, entry] of [...entries, { path: 'TRAILER!!!', mode: 0 }].entries()) {
    const { data = new Uint8Array(0) } = entry;
    parts.push(padded(header(entry, index + 1, data.length)), padded(data));
  }
  return concatenated(parts);
}

function header({ path, mode, device = { major: 0, minor: 0 } }: CpioEntry, inode: number, dataBytes: number): Uint8Array {
  const name = new TextEncoder().encode(`${path}\0`);
  const linkCount = (mode & TYPE.DIRECTORY) !== 0 && (mode & TYPE.FILE) === 0 ? 2 : 1;
  // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const fields = [inode, mode, 0, 0, linkCount, 0, dataBytes, 0, 0, device.major, device.minor, name.length, 0];
  const text = MAGIC + fields.map((field) => field.toString(16).toUpperCase().padStart(8, '0')).join('');
  return concatenated([new TextEncoder().encode(text), name]);
}

function padded(bytes: Uint8Array): Uint8Array {
  const target = new Uint8Array(Math.ceil(bytes.length / ALIGNMENT_BYTES) * ALIGNMENT_BYTES);
  target.set(bytes);
  return target;
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const target = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    target.set(part, offset);
    offset += part.length;
  }
  return target;
}
