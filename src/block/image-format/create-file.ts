// What the creation of image formats has in common: the file below is made with those options that are not the format's own,
// filled, and closed whatever happens.
import type { BlockBackend } from '../backend.ts';
import type { CreateContext, CreateOption, CreateValues } from '../driver.ts';

export async function createImageFile(
  filename: string,
  values: CreateValues,
  own: readonly CreateOption[],
  context: CreateContext,
  fill: (file: BlockBackend) => Promise<void>,
): Promise<void> {
  const names = new Set(own.map(({ name }) => name));
  const passed = new Map([...values].filter(([name]) => !names.has(name)));
  const file = await context.graph.createFile(filename, passed);
  try {
    await fill(file);
  } catch (error) {
    await file.close().catch(() => {}); // the first error is the one that tells
    throw error;
  }
  await file.close();
}

/** A random UUID (RFC 4122, version 4) in network order. */
export function randomUuid(context: CreateContext): Uint8Array {
  const uuid = context.host.cryptography.randomBytes(16);
  uuid[6] = (uuid[6]! & 0x0f) | 0x40;
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  return uuid;
}

/** The order of Microsoft's GUIDs: the first three parts little-endian. Its own inverse. */
export function swapGuid(uuid: Uint8Array): Uint8Array {
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return Uint8Array.from(order, (index) => uuid[index]!);
}
