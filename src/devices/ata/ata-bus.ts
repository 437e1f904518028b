// Where ATA devices plug in: an IDE channel takes a master and a slave, an AHCI port one device.
import type { AtaUnit } from './ata-unit.ts';

export interface AtaBus {
  /** As a firmware's boot menu names the place. */
  readonly label: string;
  /** Serial ATA: devices announce queued commands. */
  readonly serialAta: boolean;
  readonly units: readonly (AtaUnit | undefined)[];
  /** Only while the machine is being built. */
  attach(place: number, unit: AtaUnit): void;
}
