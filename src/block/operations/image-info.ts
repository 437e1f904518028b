// What `info` tells of an image: QMP's ImageInfo, collected from an open node. Text and JSON of it are the tools'.
import { errnoOf } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { DriverInfo, InfoObject, SnapshotInfo } from '../driver.ts';
import { displayFilename, fullBackingNameOf } from '../filename.ts';
import type { BlockNode } from '../node.ts';

export interface ImageInfo {
  readonly filename: string;
  readonly format: string;
  readonly virtualSize: number;
  readonly actualSize: number | undefined;
  readonly encrypted: boolean;
  readonly clusterSize: number | undefined;
  readonly dirty: boolean | undefined;
  readonly backing: { readonly name: string; readonly fullName: string | undefined; readonly format: string | undefined } | undefined;
  readonly snapshots: readonly SnapshotInfo[];
  readonly specific: { readonly type: string; readonly data: InfoObject } | undefined;
}

/** Formats without clusters of their own. */
const SHOWS_FILE: ReadonlySet<string> = new Set(['raw', 'luks']);

/** A filter shows what lies below it. */
export function driverInfo(node: BlockNode): DriverInfo | undefined {
  const { instance } = node;
  if (instance.info !== undefined) return instance.info();
  const below = node.filtered?.node ?? (SHOWS_FILE.has(node.driver.name) ? node.primary?.node : undefined);
  if (below !== undefined) return driverInfo(below);
  return node.driver.kind === 'protocol' && node.driver.name === 'file' ? { clusterSize: 0 } : undefined;
}

export function allocatedFileSize(node: BlockNode): number | undefined {
  if (node.instance.allocatedFileSize !== undefined) return node.instance.allocatedFileSize();
  if (node.filtered !== undefined) return allocatedFileSize(node.filtered.node);
  if (node.driver.kind === 'protocol') return undefined;
  let sum = 0;
  for (const { node: child, role, name } of node.children) {
    if (!role.data && !role.metadata) continue;
    if (name === 'data-file' && node.flags.noIo) continue; // not looked at without data
    const size = allocatedFileSize(child);
    if (size === undefined) return undefined;
    sum += size;
  }
  return sum;
}

function backingInfo(node: BlockNode): ImageInfo['backing'] {
  const named = node.instance.backingFile;
  if (named === undefined || named.name === '') return undefined;
  let fullName: string | undefined;
  try {
    fullName = fullBackingNameOf(node, named.name);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
  }
  return { name: named.name, fullName, format: named.format };
}

/** None where the driver has none. */
export async function listSnapshots(node: BlockNode): Promise<readonly SnapshotInfo[] | undefined> {
  const power = snapshotNode(node)?.instance.snapshots;
  if (power === undefined) return undefined;
  try {
    return await power.list();
  } catch (error) {
    if (error instanceof Failure && errnoOf(error) === 'ENOTSUP') return undefined;
    throw error;
  }
}

/** The node that has the internal snapshots: this one, or what it filters. */
export function snapshotNode(node: BlockNode): BlockNode | undefined {
  if (node.instance.snapshots !== undefined) return node;
  const below = node.filtered?.node ?? (node.driver.name === 'raw' ? node.primary?.node : undefined);
  return below === undefined ? undefined : snapshotNode(below);
}

export async function imageInfo(node: BlockNode): Promise<ImageInfo> {
  const info = driverInfo(node);
  return {
    filename: displayFilename(node),
    format: node.driver.name,
    virtualSize: node.size,
    actualSize: allocatedFileSize(node),
    encrypted: isEncrypted(node),
    clusterSize: info === undefined || info.clusterSize === 0 ? undefined : info.clusterSize,
    dirty: info === undefined ? undefined : (info.isDirty ?? false),
    backing: backingInfo(node),
    snapshots: (await listSnapshots(node)) ?? [],
    specific: specificInfo(node),
  };
}

const specificInfo = (node: BlockNode): ImageInfo['specific'] => node.instance.specificInfo?.();

function isEncrypted(node: BlockNode): boolean {
  if (node.instance.encrypted) return true;
  return node.backing !== undefined && isEncrypted(node.backing.node);
}
