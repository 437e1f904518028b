// The host of a machine: its platform, and what the block layer under its drives needs.
import type { MachinePlatform } from '../ports/platform.ts';
import type { DriveHost } from './drives/machine-drives.ts';

export interface MachineHost extends MachinePlatform {
  driveHost(options: { readonly secrets: ReadonlyMap<string, Uint8Array> }): Promise<DriveHost>;
  /** A line for the user. */
  warn(line: string): void;
}
