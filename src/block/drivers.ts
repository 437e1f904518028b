// The table of block drivers: name, kind, how a driver is recognised, and where its code lies. Code is loaded when a node of
// that driver is opened, so that a short command does not pay for twenty formats; what recognises an image is light and here.
import { Failure } from '../base/failure.ts';
import type { HostFileKind } from '../ports/host-file.ts';
import type { BlockDriver } from './driver.ts';
import { protocolPrefix } from './filename.ts';
import { FORMAT_PROBES } from './probes.ts';

interface DriverRow {
  readonly name: string;
  readonly load: () => Promise<{ readonly driver: BlockDriver }>;
  /** Names `prefix:…` belong to this protocol; usually the driver's own name. */
  readonly prefixes?: readonly string[];
  /** Plain names of such files are this protocol's. */
  readonly devices?: readonly HostFileKind[];
}

// prettier-ignore
const ROWS: readonly DriverRow[] = [
  { name: 'raw',          load: () => import('./raw/driver.ts') },
  { name: 'qcow2',        load: () => import('./qcow2/driver.ts') },
  { name: 'vmdk',         load: () => import('./vmdk/driver.ts') },
  { name: 'vdi',          load: () => import('./vdi/driver.ts') },
  { name: 'vhdx',         load: () => import('./vhdx/driver.ts') },
  { name: 'vpc',          load: () => import('./vpc/driver.ts') },
  { name: 'luks',         load: () => import('./luks/driver.ts') },
  { name: 'qcow',         load: () => import('./qcow/driver.ts') },
  { name: 'qed',          load: () => import('./qed/driver.ts') },
  { name: 'parallels',    load: () => import('./parallels/driver.ts') },
  { name: 'dmg',          load: () => import('./dmg/driver.ts') },
  { name: 'cloop',        load: () => import('./cloop/driver.ts') },
  { name: 'bochs',        load: () => import('./bochs/driver.ts') },
  { name: 'file',         load: () => import('./file/driver.ts').then(({ file }) => ({ driver: file })), prefixes: ['file'] },
  { name: 'host_device',  load: () => import('./file/driver.ts').then(({ hostDevice }) => ({ driver: hostDevice })), prefixes: ['host_device'], devices: ['block-device', 'character-device'] },
  { name: 'host_cdrom',   load: () => import('./file/driver.ts').then(({ hostCdrom }) => ({ driver: hostCdrom })), prefixes: ['host_cdrom'] },
  { name: 'nbd',          load: () => import('./nbd/driver.ts'), prefixes: ['nbd', 'nbd+tcp', 'nbd+unix', 'nbds', 'nbds+tcp', 'nbds+unix'] },
  { name: 'http',         load: () => import('./http/driver.ts').then(({ http }) => ({ driver: http })), prefixes: ['http'] },
  { name: 'https',        load: () => import('./http/driver.ts').then(({ https }) => ({ driver: https })), prefixes: ['https'] },
  { name: 'vvfat',        load: () => import('./vvfat/driver.ts'), prefixes: ['fat'] },
  { name: 'null-co',      load: () => import('./null/driver.ts').then(({ nullCo }) => ({ driver: nullCo })), prefixes: ['null-co'] },
  { name: 'null-aio',     load: () => import('./null/driver.ts').then(({ nullAio }) => ({ driver: nullAio })), prefixes: ['null-aio'] },
  { name: 'blkdebug',     load: () => import('./blkdebug/driver.ts'), prefixes: ['blkdebug'] },
  { name: 'blkverify',    load: () => import('./blkverify/driver.ts'), prefixes: ['blkverify'] },
  { name: 'blklogwrites', load: () => import('./blklogwrites/driver.ts') },
  { name: 'throttle',     load: () => import('./throttle/driver.ts') },
  { name: 'copy-on-read', load: () => import('./copy-on-read/driver.ts') },
  { name: 'compress',     load: () => import('./compress/driver.ts') },
  { name: 'preallocate',  load: () => import('./preallocate/driver.ts') },
  { name: 'quorum',       load: () => import('./quorum/driver.ts') },
];

const byName = new Map(ROWS.map((row) => [row.name, row]));

/** What `-f help` lists, in the reference's order. */
export const driverNames = (): readonly string[] => [...byName.keys()].sort();

export const hasDriver = (name: string): boolean => byName.has(name);

export async function loadDriver(name: string): Promise<BlockDriver> {
  const row = byName.get(name);
  if (row === undefined) throw new Failure('invalid-argument', `Unknown driver '${name}'`);
  return (await row.load()).driver;
}

/** The protocol that a file name belongs to; Failure for a prefix that nobody knows. */
export function protocolOf(filename: string, kind: (path: string) => HostFileKind | 'directory' | 'other' | undefined): string {
  const prefix = protocolPrefix(filename);
  if (prefix === undefined) {
    const kindOfFile = kind(filename);
    return ROWS.find(({ devices }) => devices?.some((device) => device === kindOfFile))?.name ?? 'file';
  }
  const row = ROWS.find(({ prefixes }) => prefixes?.includes(prefix));
  if (row === undefined) throw new Failure('invalid-argument', `Unknown protocol '${prefix}'`);
  return row.name;
}

/** How many bytes of an image are looked at. */
export const PROBE_BYTES = 2048;

/** The format of an image by its first bytes and its name; `raw` when nothing else fits. */
export function probeFormat(head: Uint8Array, filename: string): string {
  let best = 'raw';
  let bestScore = 1;
  for (const { name, probe } of FORMAT_PROBES) {
    const score = probe(head, filename);
    if (score > bestScore) [best, bestScore] = [name, score];
  }
  return best;
}
