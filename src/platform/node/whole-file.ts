// Reads a file whole. What has no size (a pipe, a device) may have no end either, so that it is read up to a bound only.
import { open, type FileHandle } from 'node:fs/promises';

/** More than any kernel or file system for a RAM disk. */
const UNSIZED_BYTES_MAX = 1 << 30;
const CHUNK_BYTES = 1 << 20;

/** Throws system errors; EFBIG for what does not end. */
export async function readWholeFile(path: string): Promise<Uint8Array> {
  const file = await open(path);
  try {
    return (await file.stat()).isFile() ? await file.readFile() : await readUnsized(file, path);
  } finally {
    await file.close();
  }
}

async function readUnsized(file: FileHandle, path: string): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  for (let length = 0; length < UNSIZED_BYTES_MAX; ) {
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, null);
    if (bytesRead === 0) return Buffer.concat(chunks);
    chunks.push(Buffer.from(chunk.subarray(0, bytesRead)));
    length += bytesRead;
  }
  throw Object.assign(new Error(`EFBIG: file too large, read '${path}'`), { code: 'EFBIG', syscall: 'read', path });
}
