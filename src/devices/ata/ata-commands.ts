// The commands of an ATA disk by code, in the notation of ATA8-ACS: which there are and what a transfer looks like.
import type { Eventual } from '../../base/eventual.ts';
import type { AtaDisk } from './ata-disk.ts';
import { refuse, type AtaPlan } from './ata-unit.ts';

export interface AtaCommandRow {
  readonly code: number;
  readonly name: string;
  /** Moves sectors of the medium, or only looks at them. */
  readonly access?: 'read' | 'write' | 'verify';
  /** 48-bit addresses. */
  readonly wide?: boolean;
  readonly dma?: boolean;
  /** Several sectors an interrupt. */
  readonly multiple?: boolean;
  /** Written through the cache. */
  readonly fua?: boolean;
  /** Only on serial ATA. */
  readonly serial?: boolean;
  readonly run: (disk: AtaDisk, row: AtaCommandRow) => Eventual<AtaPlan>;
}

const transfer: AtaCommandRow['run'] = (disk, row) => disk.transfer(row);
const verify: AtaCommandRow['run'] = (disk, row) => disk.verify(row);
const accepted: AtaCommandRow['run'] = (disk) => disk.setPower('active');

// prettier-ignore
const ROWS: readonly AtaCommandRow[] = [
  { code: 0x06, name: 'DATA SET MANAGEMENT',       wide: true, dma: true, run: (disk) => disk.dataSetManagement() },
  { code: 0x20, name: 'READ SECTOR(S)',            access: 'read', run: transfer },
  { code: 0x21, name: 'READ SECTOR(S) no retry',   access: 'read', run: transfer },
  { code: 0x24, name: 'READ SECTOR(S) EXT',        access: 'read', wide: true, run: transfer },
  { code: 0x25, name: 'READ DMA EXT',              access: 'read', wide: true, dma: true, run: transfer },
  { code: 0x27, name: 'READ NATIVE MAX ADDRESS EXT', wide: true, run: (disk, row) => disk.nativeMax(row) },
  { code: 0x29, name: 'READ MULTIPLE EXT',         access: 'read', wide: true, multiple: true, run: transfer },
  { code: 0x2f, name: 'READ LOG EXT',              wide: true, run: (disk) => disk.readLog(false) },
  { code: 0x30, name: 'WRITE SECTOR(S)',           access: 'write', run: transfer },
  { code: 0x31, name: 'WRITE SECTOR(S) no retry',  access: 'write', run: transfer },
  { code: 0x34, name: 'WRITE SECTOR(S) EXT',       access: 'write', wide: true, run: transfer },
  { code: 0x35, name: 'WRITE DMA EXT',             access: 'write', wide: true, dma: true, run: transfer },
  { code: 0x39, name: 'WRITE MULTIPLE EXT',        access: 'write', wide: true, multiple: true, run: transfer },
  { code: 0x3d, name: 'WRITE DMA FUA EXT',         access: 'write', wide: true, dma: true, fua: true, run: transfer },
  { code: 0x40, name: 'READ VERIFY SECTOR(S)',     access: 'verify', run: verify },
  { code: 0x41, name: 'READ VERIFY SECTOR(S) no retry', access: 'verify', run: verify },
  { code: 0x42, name: 'READ VERIFY SECTOR(S) EXT', access: 'verify', wide: true, run: verify },
  { code: 0x70, name: 'SEEK',                      access: 'verify', run: (disk, row) => disk.seek(row) },
  { code: 0x90, name: 'EXECUTE DEVICE DIAGNOSTIC', run: (disk) => disk.diagnose() },
  { code: 0x91, name: 'INITIALIZE DEVICE PARAMETERS', run: (disk) => disk.setGeometry() },
  { code: 0xb0, name: 'SMART',                     run: (disk) => disk.smart() },
  { code: 0xc4, name: 'READ MULTIPLE',             access: 'read', multiple: true, run: transfer },
  { code: 0xc5, name: 'WRITE MULTIPLE',            access: 'write', multiple: true, run: transfer },
  { code: 0xc6, name: 'SET MULTIPLE MODE',         run: (disk) => disk.setMultiple() },
  { code: 0xc8, name: 'READ DMA',                  access: 'read', dma: true, run: transfer },
  { code: 0xc9, name: 'READ DMA no retry',         access: 'read', dma: true, run: transfer },
  { code: 0xca, name: 'WRITE DMA',                 access: 'write', dma: true, run: transfer },
  { code: 0xcb, name: 'WRITE DMA no retry',        access: 'write', dma: true, run: transfer },
  { code: 0xce, name: 'WRITE MULTIPLE FUA EXT',    access: 'write', wide: true, multiple: true, fua: true, run: transfer },
  { code: 0xe0, name: 'STANDBY IMMEDIATE',         run: (disk) => disk.setPower('standby') },
  { code: 0xe1, name: 'IDLE IMMEDIATE',            run: (disk) => disk.setPower('idle') },
  { code: 0xe2, name: 'STANDBY',                   run: (disk) => disk.setPower('standby') },
  { code: 0xe3, name: 'IDLE',                      run: (disk) => disk.setPower('idle') },
  { code: 0xe5, name: 'CHECK POWER MODE',          run: (disk) => disk.checkPower() },
  { code: 0xe6, name: 'SLEEP',                     run: (disk) => disk.setPower('standby') },
  { code: 0xe7, name: 'FLUSH CACHE',               run: (disk) => disk.flush() },
  { code: 0xea, name: 'FLUSH CACHE EXT',           wide: true, run: (disk) => disk.flush() },
  { code: 0xec, name: 'IDENTIFY DEVICE',           run: (disk) => disk.identify() },
  { code: 0xef, name: 'SET FEATURES',              run: (disk) => disk.setFeatures() },
  { code: 0xf8, name: 'READ NATIVE MAX ADDRESS',   run: (disk, row) => disk.nativeMax(row) },
  { code: 0x47, name: 'READ LOG DMA EXT',          wide: true, dma: true, serial: true, run: (disk) => disk.readLog(true) },
  { code: 0x00, name: 'NOP',                       run: (disk) => refuse(disk.taskFile) },
  ...Array.from({ length: 16 }, (_, index) => ({ code: 0x10 + index, name: 'RECALIBRATE', run: accepted })),
];

/** By command code. */
export const ataCommands: readonly (AtaCommandRow | undefined)[] = Array.from({ length: 256 }, (_, code) =>
  ROWS.find((row) => row.code === code),
);

export const QUEUED = { READ: 0x60, WRITE: 0x61 } as const;
export const PACKET_COMMAND = 0xa0;
