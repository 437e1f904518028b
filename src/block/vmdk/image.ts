// An open virtual disk: its extents one after the other, its descriptor, and its parent. The first write of a session gives the
// disk a new content identifier, so that whoever has it as a parent finds out that it was changed.
import { ErrnoFailure } from '../../base/errno.ts';
import type { Eventual } from '../../base/eventual.ts';
import { partitionPoint } from '../../base/partition-point.ts';
import type { BlockInstance, CheckRequest, CheckResult, DriverInfo, InfoObject } from '../driver.ts';
import { displayFilename } from '../filename.ts';
import { SerialQueue } from '../image-format/serial-queue.ts';
import type { BlockNode, Edge } from '../node.ts';
import type { BlockStatus } from '../status.ts';
import { EMBEDDED, latin1Bytes, withContentId } from './descriptor.ts';
import type { Extent, ReadParent } from './extent.ts';
import { SECTOR_BYTES } from './layout.ts';

export interface OpenedVmdk {
  readonly node: BlockNode;
  readonly file: Edge;
  readonly extents: readonly Extent[];
  readonly createType: string;
  readonly descriptor: { readonly text: string; readonly offset: number };
  readonly contentId: number;
  readonly parentContentId: number;
  readonly parentName: string | undefined;
  readonly randomU32: () => number;
  readonly complain: (line: string) => void;
}

interface Placed {
  readonly extent: Extent;
  readonly start: number;
  readonly read: ReadParent;
}

export class VmdkImage implements BlockInstance {
  readonly size: number;
  readonly limits: { requestAlignment: number; pwriteZeroesAlignment?: number };
  readonly supportsBacking = true;
  readonly supportsCompressed = true;
  readonly hasZeroInit: boolean;
  readonly backingFile?: { readonly name: string; readonly format: string | undefined };
  /** Absent when the extents are of different kinds. */
  info?: () => DriverInfo;
  readonly #opened: OpenedVmdk;
  readonly #extents: readonly Placed[];
  readonly #identifying = new SerialQueue();
  #contentId: number;
  #isIdentified = false;
  #isParentChecked = false;

  constructor(opened: OpenedVmdk) {
    this.#opened = opened;
    this.#contentId = opened.contentId;
    let end = 0;
    this.#extents = opened.extents.map((extent) => {
      const start = end;
      end += extent.size;
      return { extent, start, read: (offset: number, target: Uint8Array) => this.#readParent(start + offset, target) };
    });
    this.size = end;
    const grains = opened.extents.flatMap(({ grainBytes }) => grainBytes ?? []);
    this.limits = { requestAlignment: SECTOR_BYTES, ...(grains.length === 0 ? {} : { pwriteZeroesAlignment: Math.min(...grains) }) };
    // A flat extent is as zero as the file it lies in.
    this.hasZeroInit = opened.extents.every((extent) => extent.grainBytes !== undefined || extent.file.node.instance.hasZeroInit === true);
    if (opened.parentName !== undefined) this.backingFile = { name: opened.parentName, format: 'vmdk' };
    const [first] = opened.extents;
    const isUniform = opened.extents.every(
      ({ grainBytes, isCompressed }) => grainBytes === first?.grainBytes && isCompressed === first?.isCompressed,
    );
    if (isUniform) this.info = () => ({ clusterSize: first?.grainBytes ?? 0, needsCompressedWrites: first?.isCompressed ?? false });
  }

  get contentId(): number {
    return this.#contentId;
  }

  #placeAt(offset: number): Placed {
    const extents = this.#extents;
    const placed = extents[partitionPoint(0, extents.length, (index) => extents[index]!.start <= offset) - 1];
    if (placed === undefined) throw new ErrnoFailure('EIO');
    return placed;
  }

  /** Every part of a range with its extent. */
  *#parts(offset: number, count: number): Generator<Placed & { readonly at: number; readonly count: number }> {
    for (let at = offset; at < offset + count; ) {
      const placed = this.#placeAt(at);
      const part = Math.min(offset + count - at, placed.start + placed.extent.size - at);
      if (part <= 0) throw new ErrnoFailure('EIO');
      yield { ...placed, at, count: part };
      at += part;
    }
  }

  #readParent(offset: number, target: Uint8Array): Eventual<void> {
    const parent = this.#opened.node.backing;
    if (parent === undefined) {
      target.fill(0);
      return;
    }
    this.#checkParent(parent);
    return parent.read(offset, target);
  }

  #checkParent({ node }: Edge): void {
    if (this.#isParentChecked) return;
    const { instance } = node;
    if (instance instanceof VmdkImage && instance.contentId !== this.#opened.parentContentId) throw new ErrnoFailure('EINVAL');
    this.#isParentChecked = true;
  }

  read(offset: number, target: Uint8Array): Eventual<void> {
    const { extent, start, read } = this.#placeAt(offset);
    if (offset + target.length <= start + extent.size) return extent.read(offset - start, target, read);
    return this.#readAcross(offset, target);
  }

  async #readAcross(offset: number, target: Uint8Array): Promise<void> {
    for (const part of this.#parts(offset, target.length)) {
      const place = target.subarray(part.at - offset, part.at - offset + part.count);
      await part.extent.read(part.at - part.start, place, part.read);
    }
  }

  async write(offset: number, source: Uint8Array): Promise<void> {
    if (!this.#isIdentified) await this.#identifying.run(() => this.#identify());
    try {
      for (const part of this.#parts(offset, source.length)) {
        await part.extent.write(part.at - part.start, source.subarray(part.at - offset, part.at - offset + part.count), part.read);
      }
    } catch (error) {
      throw this.#shown(error);
    }
  }

  /** An error with a text of its own is told at once; the request fails with the number. */
  #shown(error: unknown): unknown {
    if (!(error instanceof ErrnoFailure) || !error.message.startsWith('Could not write to allocated')) return error;
    this.#opened.complain(error.message);
    return new ErrnoFailure(error.errno, undefined, { cause: error });
  }

  /** Another content identifier, before anything is changed. */
  async #identify(): Promise<void> {
    if (this.#isIdentified) return;
    const { file, descriptor, randomU32 } = this.#opened;
    const id = randomU32();
    const text = latin1Bytes(withContentId(descriptor.text, id));
    const isEmbedded = descriptor.offset > 0;
    const room = isEmbedded ? EMBEDDED.BYTES : Math.ceil(Math.max(text.length, file.size) / SECTOR_BYTES) * SECTOR_BYTES;
    if (text.length > room) throw new ErrnoFailure('EIO');
    const source = new Uint8Array(room);
    source.set(text);
    await file.write(descriptor.offset, source);
    await file.flush();
    this.#contentId = id;
    this.#isIdentified = true;
  }

  async writeCompressed(offset: number, source: Uint8Array): Promise<void> {
    if (this.#extents.length !== 1 || !this.#extents[0]!.extent.isCompressed) throw new ErrnoFailure('ENOTSUP');
    await this.write(offset, source);
  }

  async writeZeroes(offset: number, count: number): Promise<void> {
    const parts = [...this.#parts(offset, count)];
    // All of it or nothing, so that the fall-back has a whole request.
    for (const { extent, at, start, count: bytes } of parts) {
      const { grainBytes, hasZeroedGrains } = extent;
      if (!hasZeroedGrains || (at - start) % grainBytes! !== 0 || bytes % grainBytes! !== 0) throw new ErrnoFailure('ENOTSUP');
    }
    if (!this.#isIdentified) await this.#identifying.run(() => this.#identify());
    for (const { extent, at, start, count: bytes } of parts) await extent.writeZeroes(at - start, bytes);
  }

  status(offset: number, count: number): Eventual<BlockStatus> {
    const { extent, start } = this.#placeAt(offset);
    return extent.status(offset - start, Math.min(count, start + extent.size - offset));
  }

  specificInfo(): { readonly type: string; readonly data: InfoObject } {
    const { createType, parentContentId } = this.#opened;
    const extents = this.#extents.map(
      ({ extent }): InfoObject => ({
        ...(extent.isCompressed ? { compressed: true } : {}),
        'virtual-size': extent.size,
        filename: displayFilename(extent.file.node),
        ...(extent.grainBytes === undefined ? {} : { 'cluster-size': extent.grainBytes }),
        // Of compressed extents only whether they are; that is how the reference shows them.
        format: extent.type,
      }),
    );
    return { type: 'vmdk', data: { cid: this.#contentId, 'parent-cid': parentContentId, 'create-type': createType, extents } };
  }

  async check(request: CheckRequest): Promise<CheckResult> {
    if (request.fixLeaks || request.fixErrors) throw new ErrnoFailure('ENOTSUP');
    for (const { extent, start } of this.#extents) {
      const bad = await extent.check();
      if (bad === undefined) continue;
      request.report(`ERROR: cluster offset for sector ${start / SECTOR_BYTES + bad} points after EOF`, 'stderr');
      throw new ErrnoFailure('EINVAL');
    }
    return { corruptions: 0, leaks: 0, checkErrors: 0, corruptionsFixed: 0, leaksFixed: 0, imageEndOffset: 0 };
  }

  async flush(): Promise<void> {
    for (const { extent } of this.#extents) await extent.close();
  }

  close(): Promise<void> {
    return this.flush();
  }
}
