// Reads a file whole. What has no size (a pipe, a device) may have no end either, so that it is read up to a bound only.
import { closeSync, openSync, read, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { promisify } from 'node:util';

const readPart = promisify(read);

/** More than any kernel or file system for a RAM disk. */
const UNSIZED_BYTES_MAX = 1 << 30;
const CHUNK_BYTES = 1 << 20;
/** One read(2) returns less than 2 GiB. */
const PART_BYTES_MAX = 1 << 30;

/** Throws system errors; EFBIG for what does not end. */
export async function readWholeFile(path: string): Promise<Uint8Array> {
  const status = statSync(path);
  return status.isFile() && status.size > 0 ? readSized(path, status.size) : readUnsized(path);
}

/** The one read that does it has begun when this returns its promise: what the caller does until it waits costs nothing. */
async function readSized(path: string, size: number): Promise<Uint8Array> {
  const file = openSync(path, 'r'); // of a file with a size, it does not wait
  try {
    const bytes = Buffer.allocUnsafeSlow(size);
    let length = 0;
    while (length < size) {
      const { bytesRead } = await readPart(file, bytes, length, Math.min(size - length, PART_BYTES_MAX), null);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return bytes.subarray(0, length);
  } finally {
    closeSync(file);
  }
}

async function readUnsized(path: string): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const chunks: Buffer[] = [];
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    for (let length = 0; length < UNSIZED_BYTES_MAX; ) {
      const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, null);
      if (bytesRead === 0) return Buffer.concat(chunks);
      chunks.push(Buffer.from(chunk.subarray(0, bytesRead)));
      length += bytesRead;
    }
  } finally {
    await file.close();
  }
  throw Object.assign(new Error(`EFBIG: file too large, read '${path}'`), { code: 'EFBIG', syscall: 'read', path });
}
