// What firmware knows of a drive that it may boot from. A disk controller, when it is put on the board, adds its drives to
// the board's list; the firmware reads the Drive and needs to know nothing of the controller.
import type { Drive, DriveGeometry } from './disk.ts';

export interface BootDrive {
  readonly drive: Drive;
  readonly medium: 'disk' | 'cdrom' | 'floppy';
  /** For the boot menu, without the drive's name: "Virtio disk", "AHCI/1". */
  readonly description: string;
  /** Property `bootindex`; absent: after those that have one, in the order of `-boot order`. */
  readonly bootIndex?: number | undefined;
  /** Its Open Firmware path, for a boot order that a ROM reads; absent: it cannot be named in one. */
  readonly firmwarePath?: string | undefined;
  /** What the user fixed; otherwise the firmware derives one. */
  readonly geometry?: DriveGeometry | undefined;
}
