// What an NVMe controller tells of itself and of its namespace: Identify structures and log pages (NVM Express 1.4, 5.14, 5.15).
import {
  ADMIN, EVENTS_MAX, IO, NAMESPACE, TRANSFER_PAGES_LOG2,
} from './nvme-spec.ts';

const PAGE = 4096;
const VERSION = 0x0001_0400;
const VENDOR = 0x1b36;
const SUBSYSTEM_VENDOR = 0x1af4;

export interface NvmeIdentity {
  readonly serial: string;
  readonly model: string;
  readonly firmware: string;
}

export interface NvmeNamespaceShape {
  readonly blocks: number;
  readonly blockBytes: number;
  readonly discards: boolean;
}

function putText(target: Uint8Array, at: number, length: number, text: string): void {
  for (let index = 0; index < length; index++) target[at + index] = index < text.length ? text.charCodeAt(index) & 0x7f : 0x20;
}

export function identifyController({ serial, model, firmware }: NvmeIdentity): Uint8Array {
  const data = new Uint8Array(PAGE);
  const view = new DataView(data.buffer);
  view.setUint16(0, VENDOR, true);
  view.setUint16(2, SUBSYSTEM_VENDOR, true);
  putText(data, 4, 20, serial);
  putText(data, 24, 40, model);
  putText(data, 64, 8, firmware);
  data[72] = 6; // arbitration burst
  data[77] = TRANSFER_PAGES_LOG2;
  view.setUint32(80, VERSION, true);
  data[111] = 1; // an I/O controller
  data[258] = 3; // aborts at a time, less one
  data[259] = EVENTS_MAX - 1;
  data[260] = 3; // one firmware slot, read only
  data[261] = 2; // command effects log
  view.setUint16(266, 343, true); // warning and critical temperature
  view.setUint16(268, 373, true);
  data[512] = 0x66;
  data[513] = 0x44;
  view.setUint32(516, 1, true);
  view.setUint16(520, 0x0d, true); // compare, dataset management, write zeroes
  data[525] = 7; // a volatile write cache, and FLUSH for all namespaces
  data.set(new TextEncoder().encode(`nqn.2014-08.org.nvmexpress:nandu:${serial}`).subarray(0, 223), 768);
  view.setUint16(2048, 2500, true); // one power state, 25 W
  view.setUint32(2052, 16, true);
  view.setUint32(2056, 4, true);
  return data;
}

const MODEL_OUI = [0x52, 0x54, 0x00] as const;

/** An identifier that depends on the serial number alone. */
function eui64(serial: string): Uint8Array {
  let hash = 0x811c_9dc5;
  for (const character of serial) hash = Math.imul(hash ^ character.charCodeAt(0), 0x0100_0193) >>> 0;
  return Uint8Array.of(...MODEL_OUI, 0, hash >>> 24, (hash >>> 16) & 0xff, (hash >>> 8) & 0xff, hash & 0xff);
}

export function identifyNamespace({ blocks, blockBytes, discards }: NvmeNamespaceShape, { serial }: NvmeIdentity): Uint8Array {
  const data = new Uint8Array(PAGE);
  const view = new DataView(data.buffer);
  for (const at of [0, 8, 16]) view.setBigUint64(at, BigInt(blocks), true);
  data[24] = discards ? 4 : 0; // reads of deallocated blocks are no errors
  data[33] = discards ? 1 : 0; // and read zero
  data.set(eui64(serial), 120);
  data[130] = Math.log2(blockBytes);
  return data;
}

/** Active namespaces above `after`. */
export function namespaceList(after: number): Uint8Array {
  const data = new Uint8Array(PAGE);
  if (after < NAMESPACE) data[0] = NAMESPACE;
  return data;
}

export function namespaceDescriptors({ serial }: NvmeIdentity): Uint8Array {
  const data = new Uint8Array(PAGE);
  data.set([1, 8, 0, 0, ...eui64(serial)]);
  return data;
}

export interface NvmeCounters {
  readonly sectorsRead: number;
  readonly sectorsWritten: number;
  readonly reads: number;
  readonly writes: number;
}

/** A log page by identifier; undefined for one that there is not. */
export function logPage(id: number, counters: NvmeCounters, { firmware }: NvmeIdentity): Uint8Array | undefined {
  switch (id) {
    case 1:
      return new Uint8Array(64);
    case 2:
      return healthLog(counters);
    case 3: {
      const data = new Uint8Array(512);
      data[0] = 1;
      putText(data, 8, 8, firmware);
      return data;
    }
    case 5:
      return effectsLog();
    default:
      return undefined;
  }
}

/** Sectors are counted in thousands of 512 bytes. */
function healthLog({ sectorsRead, sectorsWritten, reads, writes }: NvmeCounters): Uint8Array {
  const data = new Uint8Array(512);
  const view = new DataView(data.buffer);
  view.setUint16(1, 323, true);
  data[3] = 100;
  data[4] = 10;
  [Math.ceil(sectorsRead / 1000), Math.ceil(sectorsWritten / 1000), reads, writes].forEach((value, index) => {
    view.setBigUint64(32 + 16 * index, BigInt(value), true);
  });
  return data;
}

function effectsLog(): Uint8Array {
  const data = new Uint8Array(PAGE);
  const view = new DataView(data.buffer);
  const [supported, changesData] = [1, 2];
  for (const code of Object.values(ADMIN)) view.setUint32(4 * code, supported, true);
  const writes: readonly number[] = [IO.WRITE, IO.WRITE_ZEROES, IO.DATASET_MANAGEMENT];
  for (const code of Object.values(IO)) view.setUint32(1024 + 4 * code, supported | (writes.includes(code) ? changesData : 0), true);
  return data;
}
