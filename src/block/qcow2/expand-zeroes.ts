// Turns zero clusters into data (or into nothing, where there is no backing file): what version 2 of the format needs, which
// knows no zero clusters. In the active tables and in those of snapshots. Under the image's lock.
import { ErrnoFailure } from '../../base/errno.ts';
import type { Progress } from './amend-refcounts.ts';
import { LIMIT } from './header.ts';
import type { Qcow2Image } from './image.ts';
import { L1Table } from './l1-table.ts';
import { CorruptMetadata, hex } from './mapping.ts';
import { OVERLAP } from './overlap.ts';
import { clusterType, hostOffset, UPPER } from './table-entries.ts';

export async function expandZeroClusters(image: Qcow2Image, progress: Progress): Promise<void> {
  const total = image.l1.length + image.snapshots.reduce((sum, { l1Size }) => sum + l1Size, 0);
  const expansion = new Expansion(image, (done) => progress(done, total));
  await expansion.tables(image.l1, true);
  // The cache holds none of the inactive tables' changes, and the file all of the active ones'.
  await image.l2Cache.empty();
  for (const { l1TableOffset, l1Size } of image.snapshots) {
    if (l1Size > LIMIT.MAX_L1_BYTES / 8) throw new ErrnoFailure('EFBIG');
    if (l1TableOffset % image.geometry.clusterSize !== 0) throw new ErrnoFailure('EINVAL');
    await expansion.tables(await L1Table.read(image.file, l1TableOffset, l1Size), false);
  }
}

class Expansion {
  readonly #image: Qcow2Image;
  readonly #visited: (done: number) => void;
  #done = 0;

  constructor(image: Qcow2Image, visited: (done: number) => void) {
    this.#image = image;
    this.#visited = visited;
  }

  async tables(l1: L1Table, isActive: boolean): Promise<void> {
    const { clusterMask } = this.#image.geometry;
    for (let index = 0; index < l1.length; index++) {
      const offset = l1.offsetAt(index);
      if ((offset & clusterMask) !== 0) throw new CorruptMetadata(`L2 table offset ${hex(offset)} unaligned (L1 index: ${hex(index)})`);
      if (offset !== 0) await this.#table(offset, isActive);
      this.#visited(++this.#done);
    }
  }

  async #table(offset: number, isActive: boolean): Promise<void> {
    const { l2Cache, geometry, refcounts } = this.#image;
    const references = await refcounts.get(offset / geometry.clusterSize);
    for (let at = 0; at < geometry.clusterSize; at += l2Cache.sliceBytes) {
      const bytes = (await l2Cache.get(offset + at)).bytes.slice();
      const view = new DataView(bytes.buffer);
      let changed = false;
      for (let entry = 0; entry < bytes.length; entry += 8) changed = (await this.#entry(view, entry, offset, references)) || changed;
      if (changed) await this.#store(offset + at, bytes, isActive);
    }
  }

  async #store(offset: number, bytes: Uint8Array, isActive: boolean): Promise<void> {
    const { l2Cache, refcountCache, overlaps, file } = this.#image;
    if (!isActive) {
      await refcountCache.flush();
      l2Cache.forget(offset);
      await overlaps.guard(OVERLAP.INACTIVE_L2 | OVERLAP.ACTIVE_L2, offset, bytes.length);
      await file.write(offset, bytes);
      return;
    }
    await l2Cache.dependOn(refcountCache);
    const slice = await l2Cache.get(offset);
    slice.bytes.set(bytes);
    l2Cache.markDirty(slice);
  }

  /** Whether the entry was changed. */
  async #entry(view: DataView, at: number, l2Offset: number, references: number): Promise<boolean> {
    const image = this.#image;
    const { geometry, refcounts } = image;
    const upper = view.getUint32(at),
      lower = view.getUint32(at + 4);
    const type = clusterType(upper, lower, geometry.extendedL2, image.hasDataFile);
    if (type !== 'zero-plain' && type !== 'zero-allocated') return false;
    let place = hostOffset(upper, lower);
    if (type === 'zero-plain') {
      if (image.backing() === undefined) {
        view.setUint32(at, 0);
        view.setUint32(at + 4, 0);
        return true;
      }
      place = await refcounts.allocate(geometry.clusterSize);
      // As often referred to as the table is.
      if (references > 1) await refcounts.add(place, geometry.clusterSize, references - 1, 'other');
    } else if ((place & geometry.clusterMask) !== 0) {
      throw new CorruptMetadata(
        `Cluster allocation offset ${hex(place)} unaligned (L2 offset: ${hex(l2Offset)}, L2 index: ${hex(at / 8)})`,
      );
    }
    await image.overlaps.guard(OVERLAP.NONE, place, geometry.clusterSize);
    await image.data.writeZeroes(place, geometry.clusterSize);
    const copied = references === 1 ? UPPER.COPIED : 0;
    view.setUint32(at, Math.floor(place / 2 ** 32) + copied);
    view.setUint32(at + 4, place % 2 ** 32);
    return true;
  }
}
