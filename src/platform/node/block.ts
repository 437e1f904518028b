// The library form of the image tools, `import { openImage, createImage, convert } from 'nandu/block'`: disk images of every
// format, opened, made and converted from Node. Errors are Failures with a `kind` and a one-line message.
import { BlockBackend } from '../../block/backend.ts';
import type { CheckResult } from '../../block/driver.ts';
import { BlockGraph } from '../../block/graph.ts';
import { convert as convertInto } from '../../block/operations/convert.ts';
import { createImage as createIn } from '../../block/operations/create.ts';
import { driverInfo, imageInfo, type ImageInfo } from '../../block/operations/image-info.ts';
import { mapImage, type MapEntry } from '../../block/operations/map-image.ts';
import { readsAsZero } from '../../block/operations/zero-init.ts';
import { OptionDict, type NestedOptions } from '../../block/options.ts';
import { Failure } from '../../base/failure.ts';
import { createBlockHost } from './block-host.ts';

export interface HostOptions {
  /** Values of secrets by the names that options refer to: `encrypt.key-secret`. */
  readonly secrets?: Readonly<Record<string, string | Uint8Array>>;
  /**
   * `sync` is the fastest for one task after the other and blocks the event loop meanwhile; `pooled` (the default) goes through
   * Node's thread pool.
   */
  readonly files?: 'sync' | 'pooled';
  /** Hears warnings, one line each; they go nowhere otherwise. */
  readonly onWarning?: (line: string) => void;
}

export interface OpenImageOptions extends HostOptions {
  /** Found by looking at the image when it is left out. */
  readonly format?: string;
  readonly readOnly?: boolean;
  /** Options of the node as in QMP's blockdev-add: `{ driver: 'qcow2', file: { driver: 'nbd', … } }`. Instead of a file name. */
  readonly node?: NestedOptions;
  /** Discards give space back (default true). */
  readonly discard?: boolean;
}

export interface CreateImageOptions extends HostOptions {
  readonly format: string;
  /** In bytes; that of the backing image when it is left out. */
  readonly size?: number;
  readonly backingFile?: string;
  readonly backingFormat?: string;
  /** As in `nandu-img create -o`: `{ cluster_size: 65536, lazy_refcounts: true }`. */
  readonly options?: Readonly<Record<string, string | number | boolean>>;
}

export interface ConvertOptions extends HostOptions {
  readonly sourceFormat?: string;
  /** Default raw. */
  readonly format?: string;
  readonly compressed?: boolean;
  readonly options?: Readonly<Record<string, string | number | boolean>>;
  /** Zero bytes in a row that are left out (default 4096); 0 writes everything. */
  readonly sparseBytes?: number;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

function graphFor({ secrets = {}, files = 'pooled', onWarning = () => undefined }: HostOptions): BlockGraph {
  const encoder = new TextEncoder();
  const values = Object.entries(secrets).map(([id, value]) => [id, typeof value === 'string' ? encoder.encode(value) : value] as const);
  return new BlockGraph(createBlockHost({ files, secrets: new Map(values), warn: onWarning }));
}

const optionText = (options: Readonly<Record<string, string | number | boolean>> | undefined): string | undefined =>
  options === undefined || Object.keys(options).length === 0
    ? undefined
    : Object.entries(options)
        .map(([name, value]) => `${name}=${textOf(value)}`)
        .join(',');

const textOf = (value: string | number | boolean): string =>
  typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value).replaceAll(',', ',,');

/** An open image. Offsets and sizes are bytes. */
export class Image implements AsyncDisposable {
  readonly #backend: BlockBackend;

  private constructor(backend: BlockBackend) {
    this.#backend = backend;
  }

  static async open(filename: string | undefined, options: OpenImageOptions = {}): Promise<Image> {
    const dict = options.node === undefined ? new OptionDict() : OptionDict.fromNested(options.node);
    if (options.format !== undefined) dict.set('driver', options.format);
    const readOnly = options.readOnly ?? false;
    const flags = { readOnly, unmap: options.discard ?? true };
    return new Image(await BlockBackend.open(graphFor(options), { filename, options: dict, flags, write: !readOnly, resize: !readOnly }));
  }

  get size(): number {
    return this.#backend.size;
  }

  get format(): string {
    return this.#backend.node.driver.name;
  }

  /** `count` bytes from `offset` on. */
  async read(offset: number, count: number): Promise<Uint8Array> {
    const target = new Uint8Array(count);
    await this.#backend.read(offset, target);
    return target;
  }

  /** Fills `target`. */
  async readInto(offset: number, target: Uint8Array): Promise<void> {
    await this.#backend.read(offset, target);
  }

  async write(offset: number, source: Uint8Array): Promise<void> {
    this.#checkEnd(offset, source.length);
    await this.#backend.write(offset, source);
  }

  async writeZeroes(offset: number, count: number): Promise<void> {
    this.#checkEnd(offset, count);
    await this.#backend.writeZeroes(offset, count);
  }

  /** Says that the contents of a range are no longer of interest. */
  async discard(offset: number, count: number): Promise<void> {
    await this.#backend.discard(offset, count);
  }

  /** Everything written before is on the medium when this resolves. */
  async flush(): Promise<void> {
    await this.#backend.flush();
  }

  async resize(size: number): Promise<void> {
    await this.#backend.resize(size);
  }

  info(): Promise<ImageInfo> {
    return imageInfo(this.#backend.node);
  }

  /** Runs of data, zeroes and unallocated space. */
  map(start = 0, length = Number.MAX_SAFE_INTEGER): AsyncGenerator<MapEntry> {
    return mapImage(this.#backend.node, start, length);
  }

  /** Looks for inconsistencies, and repairs them when asked to; `report` hears of each. */
  async check(repair?: 'leaks' | 'all', report: (line: string) => void = () => undefined): Promise<CheckResult> {
    const { instance, driver } = this.#backend.node;
    if (instance.check === undefined) throw new Failure('unsupported', `Images of format '${driver.name}' cannot be checked`);
    return instance.check({ fixLeaks: repair !== undefined, fixErrors: repair === 'all', report });
  }

  async close(): Promise<void> {
    await this.#backend.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #checkEnd(offset: number, count: number): void {
    if (offset + count > this.size)
      throw new Failure('invalid-argument', `Write beyond the end of the image (${offset + count} > ${this.size})`);
  }
}

/** Opens an image by its file name (or URL, or `json:{…}`), or by `options.node`. */
export function openImage(filename: string | undefined, options: OpenImageOptions = {}): Promise<Image> {
  return Image.open(filename, options);
}

/** Makes a new image; one of that name is overwritten. */
export async function createImage(filename: string, options: CreateImageOptions): Promise<void> {
  const { format, size, backingFile, backingFormat } = options;
  await createIn(graphFor(options), {
    filename,
    format,
    backingFile,
    backingFormat,
    optionText: optionText(options.options),
    size: size === undefined ? undefined : BigInt(size),
  });
}

/** Copies an image into a new one of any format; zeroes and unallocated space are left out. */
export async function convert(source: string, target: string, options: ConvertOptions = {}): Promise<void> {
  const graph = graphFor({ files: 'sync', ...options });
  const { format = 'raw', sourceFormat, sparseBytes = 4096, compressed = false } = options;
  const from = await BlockBackend.open(graph, { filename: source, options: driverOption(sourceFormat), flags: { readOnly: true } });
  try {
    await createIn(graph, { filename: target, format, optionText: optionText(options.options), size: BigInt(from.size) });
    const into = await BlockBackend.open(graph, { filename: target, options: driverOption(format), flags: { unmap: true, noFlush: true } });
    try {
      await convertInto({
        sources: [from],
        target: into,
        sparseBytes,
        compressed,
        clusterBytes: driverInfo(into.node)?.clusterSize || 65536,
        targetIsZero: readsAsZero(into.node),
        signal: options.signal,
        ...(options.onProgress === undefined ? {} : { progress: options.onProgress }),
      });
    } finally {
      await into.close();
    }
  } finally {
    await from.close();
  }
}

const driverOption = (format: string | undefined): OptionDict => new OptionDict(format === undefined ? [] : [['driver', format]]);
