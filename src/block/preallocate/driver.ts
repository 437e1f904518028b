// preallocate: a filter for the file of an image that grows: space beyond the end is reserved in big steps, and what was not
// used is given back on closing. Reference: QMP's BlockdevOptionsPreallocate.
import { Failure } from '../../base/failure.ts';
import { WRITE, type BlockDriver, type BlockInstance, type OpenContext, type TruncateRequest } from '../driver.ts';
import { filterInstance } from '../filter.ts';
import { sizeOption } from '../filter-options.ts';
import { SECTOR, type Edge } from '../node.ts';
import { defaultChildPermissions, PERM, ROLE, type Permissions } from '../permissions.ts';

const OPTIONS = { 'prealloc-align': { type: sizeOption }, 'prealloc-size': { type: sizeOption } } as const;
const DEFAULT_ALIGN = 1 << 20;
const DEFAULT_SIZE = 128 << 20;

/** The ends of a growing file. */
class GrowingFile {
  readonly #edge: Edge;
  readonly #step: number;
  readonly #align: number;
  /** End of what was written; undefined until something is. */
  #dataEnd: number | undefined;
  /** End of what is reserved. */
  #fileEnd = 0;
  #growing: Promise<void> | undefined;

  constructor(edge: Edge, step: number, align: number) {
    this.#edge = edge;
    this.#step = step;
    this.#align = align;
  }

  get size(): number {
    return this.#dataEnd ?? this.#edge.size;
  }

  /** Called before a write that ends at `end`. */
  async reserve(end: number): Promise<void> {
    while (this.#growing !== undefined) await this.#growing;
    if (this.#dataEnd === undefined) {
      if (end <= this.#edge.size) return;
      this.#fileEnd = this.#dataEnd = this.#edge.size;
    }
    if (end <= this.#dataEnd) return;
    this.#dataEnd = end;
    if (end <= this.#fileEnd) return;
    this.#growing = this.#grow(end).finally(() => (this.#growing = undefined));
    await this.#growing;
  }

  async #grow(end: number): Promise<void> {
    const target = Math.ceil((end + this.#step) / this.#align) * this.#align;
    try {
      await this.#edge.writeZeroes(this.#fileEnd, target - this.#fileEnd, WRITE.NO_FALLBACK);
      this.#fileEnd = target;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.#fileEnd = Math.max(end, this.#edge.size); // it is only a matter of speed: the write itself will tell
    }
  }

  /** Gives the unused part back. */
  async settle(): Promise<void> {
    while (this.#growing !== undefined) await this.#growing;
    const end = this.#dataEnd;
    this.#dataEnd = undefined;
    if (end !== undefined && end < this.#edge.size) await this.#edge.resize(end);
  }

  async truncate(request: TruncateRequest): Promise<void> {
    await this.settle();
    await this.#edge.truncate(request);
  }
}

async function open({ options, openChild, node }: OpenContext): Promise<BlockInstance> {
  const given = options.absorb(OPTIONS);
  const align = given['prealloc-align'] ?? DEFAULT_ALIGN;
  const step = given['prealloc-size'] ?? DEFAULT_SIZE;
  const edge = (await openChild('file', ROLE.FILTERED))!;
  const unit = Math.max(SECTOR, edge.node.limits.requestAlignment);
  if (align === 0 || align % unit !== 0 || align > Number.MAX_SAFE_INTEGER) {
    throw new Failure('invalid-argument', `prealloc-align parameter of preallocate filter is not aligned to ${unit}`);
  }
  if (step > Number.MAX_SAFE_INTEGER / 2) throw new Failure('limit', 'prealloc-size parameter of preallocate filter is too large');
  const file = new GrowingFile(edge, step, align);
  return filterInstance(edge, {
    get size() {
      return file.size;
    },
    async write(offset, source, flags) {
      await file.reserve(offset + source.length);
      await edge.write(offset, source, flags);
    },
    async writeZeroes(offset, count, flags) {
      await file.reserve(offset + count);
      await edge.writeZeroes(offset, count, flags);
    },
    truncate: (request) => file.truncate(request),
    close: () => (node.readOnly ? undefined : file.settle()),
    childPermissions(_name, role, own): Permissions {
      const { perm, shared } = defaultChildPermissions(role, own, !node.readOnly);
      // Held while the node is open for writing, since closing it cuts the file.
      return node.readOnly ? { perm, shared } : { perm: perm | PERM.WRITE | PERM.RESIZE, shared: shared & ~PERM.RESIZE };
    },
  });
}

export const driver: BlockDriver = { name: 'preallocate', kind: 'filter', options: OPTIONS, strongOptions: [], open };
