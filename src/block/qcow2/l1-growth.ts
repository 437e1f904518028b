// A bigger L1 table for an image: a copy elsewhere, complete on the medium before the header names it. Under the image's lock.
import { ErrnoFailure } from '../../base/errno.ts';
import { debugEvent } from '../debug-events.ts';
import { LIMIT } from './header.ts';
import type { Qcow2Image } from './image.ts';
import { OVERLAP } from './overlap.ts';

/** Makes room for at least `entries`; for exactly that many, or for half as many more, so that growing stays rare. */
export async function growL1(image: Qcow2Image, entries: number, exact: boolean): Promise<void> {
  const { l1, header, refcounts, overlaps, file } = image;
  if (entries <= l1.length) return;
  if (entries > LIMIT.MAX_L1_BYTES / 8) throw new ErrnoFailure('EFBIG');
  let length = exact ? entries : Math.max(1, l1.length);
  while (length < entries) length = Math.ceil((length * 3) / 2);
  if (length > LIMIT.MAX_L1_BYTES / 8) throw new ErrnoFailure('EFBIG');
  const next = l1.resized(length);
  await debugEvent(file, 'l1_grow_alloc_table');
  const offset = await refcounts.allocate(next.bytes.length);
  const old = { offset: header.l1TableOffset, size: header.l1Size };
  try {
    await image.refcountCache.flush();
    await overlaps.guard(OVERLAP.NONE, offset, next.bytes.length);
    await debugEvent(file, 'l1_grow_write_table');
    await file.write(offset, next.bytes);
    await file.flush();
    await debugEvent(file, 'l1_grow_activate_table');
    header.l1TableOffset = offset;
    header.l1Size = length;
    await image.writeHeaderFields('l1Size', 'l1TableOffset');
    await file.flush();
  } catch (error) {
    header.l1TableOffset = old.offset;
    header.l1Size = old.size;
    await refcounts.free(offset, next.bytes.length, 'other');
    throw error;
  }
  image.l1 = next;
  overlaps.reset();
  if (l1.bytes.length > 0) await refcounts.free(old.offset, l1.bytes.length, 'other');
}
