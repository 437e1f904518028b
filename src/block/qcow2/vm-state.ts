// The area behind the disk of a qcow2 image in which a machine's state is saved (qcow2.txt, "VM state data"): guest clusters from
// the first L1 entry on that the disk does not need. What is in it, and the snapshot that keeps it, is not its business.
import { ErrnoFailure } from '../../base/errno.ts';
import { debugEvent } from '../debug-events.ts';
import { l1EntriesFor } from './geometry.ts';
import type { Qcow2Image } from './image.ts';
import { growL1 } from './l1-growth.ts';
import { locked } from './l2-tables.ts';
import { read } from './reader.ts';
import { write } from './writer.ts';

/** Where the area begins. */
export const vmStateOffset = ({ geometry, header }: Qcow2Image): number => l1EntriesFor(geometry, header.size) * geometry.l1Coverage;

export async function readVmState(image: Qcow2Image, offset: number, target: Uint8Array): Promise<void> {
  await debugEvent(image.file, 'vmstate_load');
  await read(image, placeOf(image, offset, target.length), target);
}

export async function writeVmState(image: Qcow2Image, offset: number, source: Uint8Array): Promise<void> {
  if (image.flags.readOnly) throw new ErrnoFailure('EPERM');
  await debugEvent(image.file, 'vmstate_save');
  const at = placeOf(image, offset, source.length);
  const entries = Math.ceil((at + source.length) / image.geometry.l1Coverage);
  if (entries > image.l1.length) await locked(image, () => growL1(image, entries, false));
  await write(image, at, source);
}

function placeOf(image: Qcow2Image, offset: number, bytes: number): number {
  const at = vmStateOffset(image) + offset;
  if (!Number.isSafeInteger(at + bytes)) throw new ErrnoFailure('EFBIG');
  return at;
}
