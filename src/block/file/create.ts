// Making a new file, or giving an existing one a new beginning; its content goes only when nobody else uses it.
import { ErrnoFailure, prefixed } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { HostFile } from '../../ports/host-file.ts';
import { PREALLOCATION, type CreateContext, type CreateOption, type CreateValues, type Preallocation } from '../driver.ts';
import { PERM, PERM_ALL } from '../permissions.ts';
import { ImageLocks, NO_PERMISSIONS } from './locks.ts';
import { resizeFile } from './resize.ts';

const SECTOR = 512;
const DEFAULT_EXTENT_BYTES = 1 << 20;

// prettier-ignore
export const fileCreateOptions: readonly CreateOption[] = [
  { name: 'nocow',            type: 'bool', help: 'Turn off copy-on-write (valid only on btrfs)' },
  { name: 'preallocation',    type: 'str',  help: 'Preallocation mode (allowed values: off, falloc, full)' },
  { name: 'extent_size_hint', type: 'size', help: 'Extent size hint for the image file, 0 to disable' },
  { name: 'size',             type: 'size', help: 'Virtual disk size' },
];

// prettier-ignore
export const deviceCreateOptions: readonly CreateOption[] = [
  { name: 'preallocation', type: 'str',  help: 'Preallocation mode (allowed values: off)' },
  { name: 'size',          type: 'size', help: 'Virtual disk size' },
];

const sizeIn = (values: CreateValues): number => Math.ceil(Number(values.get('size') ?? 0) / SECTOR) * SECTOR;

function preallocationIn(values: CreateValues): Preallocation {
  const text = values.get('preallocation') ?? 'off';
  const mode = PREALLOCATION.find((candidate) => candidate === text);
  if (mode === undefined) throw new Failure('invalid-argument', `invalid parameter value: ${String(text)}`);
  return mode;
}

export async function createFile(path: string, values: CreateValues, { host }: CreateContext): Promise<void> {
  const size = sizeIn(values);
  const preallocation = preallocationIn(values);
  const file = await openNew(() => host.files.open(path, { write: true, create: true, keep: true }), path);
  try {
    const locks = new ImageLocks(file, path);
    // Others may look at it and even write, but not count on its size.
    locks.change({ perm: PERM.WRITE | PERM.RESIZE, shared: PERM_ALL & ~PERM.RESIZE });
    await resizeFile(file, 0, 'off');
    if (values.get('nocow') === true) quietly(() => file.sparse?.disableCopyOnWrite());
    const extent = Number(values.get('extent_size_hint') ?? DEFAULT_EXTENT_BYTES);
    if (extent !== 0) quietly(() => file.sparse?.setExtentSizeHint(extent));
    await resizeFile(file, size, preallocation);
    locks.change(NO_PERMISSIONS);
  } finally {
    await file.close();
  }
}

/** A device cannot be made; it must be there and big enough, and what was on it must not be found again. */
export async function createOnDevice(path: string, values: CreateValues, { host }: CreateContext): Promise<void> {
  const size = sizeIn(values);
  const preallocation = preallocationIn(values);
  if (preallocation !== 'off') throw new ErrnoFailure('ENOTSUP', `Unsupported preallocation mode '${preallocation}'`);
  const file = await openNew(() => host.files.open(path, { write: true }), path, 'open');
  try {
    const locks = new ImageLocks(file, path);
    locks.change({ perm: PERM.WRITE | PERM.RESIZE, shared: PERM_ALL });
    const available = file.size();
    if (size > available) throw new ErrnoFailure('EINVAL', 'Cannot grow device files');
    await file.write(0, new Uint8Array(Math.min(SECTOR, available)));
  } finally {
    await file.close();
  }
}

async function openNew(open: () => HostFile | Promise<HostFile>, path: string, verb = 'create'): Promise<HostFile> {
  try {
    return await open();
  } catch (error) {
    throw prefixed(`Could not ${verb} '${path}'`, error);
  }
}

/** For hints: many file systems do not know them. */
function quietly(call: () => void): void {
  try {
    call();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
  }
}
