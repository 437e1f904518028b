// Formats that can only be read: opening one for writing is refused, or made read-only where the caller allows it.
import { ErrnoFailure } from '../../base/errno.ts';
import type { OpenContext } from '../driver.ts';

export function requireReadOnly({ node, flags }: OpenContext): void {
  if (flags.readOnly) return;
  if (!flags.autoReadOnly) throw new ErrnoFailure('EACCES', 'Image is read-only');
  node.flags = { ...node.flags, readOnly: true };
}
