// Counts of references to host clusters, as `check` finds them by walking an image's tables. Pieces of the array exist only
// where something is referenced, so that a sparse file of any size costs no more than what is in it. Not the refcounts
// that an image stores (refcounts.ts).
import { ErrnoFailure } from '../../base/errno.ts';

const PIECE = 1 << 14;
/** The reference refuses files of more clusters, too. */
const MAX_CLUSTERS = 2 ** 31 - 1;

type Piece = Uint8Array | Uint16Array | Uint32Array | Float64Array;

function newPiece(refcountBits: number): Piece {
  if (refcountBits <= 8) return new Uint8Array(PIECE);
  if (refcountBits === 16) return new Uint16Array(PIECE);
  return refcountBits === 32 ? new Uint32Array(PIECE) : new Float64Array(PIECE);
}

export class ReferenceCounts {
  readonly #refcountBits: number;
  readonly #max: number;
  #pieces: (Piece | undefined)[] = [];
  /** Clusters that are looked at; grows with what is referenced. */
  clusterCount: number;

  constructor(refcountBits: number, clusterCount: number) {
    this.#refcountBits = refcountBits;
    this.#max = refcountBits === 64 ? Number.MAX_SAFE_INTEGER : 2 ** refcountBits - 1;
    if (clusterCount > MAX_CLUSTERS) throw new ErrnoFailure('EFBIG');
    this.clusterCount = clusterCount;
  }

  get(cluster: number): number {
    return this.#pieces[Math.floor(cluster / PIECE)]?.[cluster % PIECE] ?? 0;
  }

  set(cluster: number, count: number): void {
    const index = Math.floor(cluster / PIECE);
    let piece = this.#pieces[index];
    if (piece === undefined) {
      if (count === 0) return;
      piece = this.#pieces[index] = newPiece(this.#refcountBits);
    }
    piece[cluster % PIECE] = count;
    if (cluster >= this.clusterCount) this.clusterCount = cluster + 1;
  }

  /** One reference more; false when the refcounts of the image are too narrow for it. */
  increment(cluster: number): boolean {
    const count = this.get(cluster);
    if (count >= this.#max) return false;
    this.set(cluster, count + 1);
    return true;
  }

  clear(): void {
    this.#pieces = [];
  }

  /** The first cluster at or after `cluster` in a piece that has counts; Infinity when all that follow are unreferenced. */
  skipEmpty(cluster: number): number {
    for (let index = Math.floor(cluster / PIECE); index < this.#pieces.length; index++) {
      if (this.#pieces[index] !== undefined) return Math.max(cluster, index * PIECE);
    }
    return Infinity;
  }
}
