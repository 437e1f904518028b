// I/O commands of the NVM command set (NVM Express 1.4, chapter 6) on the one namespace.
import { after, type Eventual } from '../../base/eventual.ts';
import { errnoOf } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { ScatterList } from '../../bus/scatter-list.ts';
import type { NvmeController } from './nvme-controller.ts';
import { ALL_NAMESPACES, IO, NAMESPACE, STATUS, TRANSFER_BYTES_MAX } from './nvme-spec.ts';
import { prpList } from './prp.ts';
import { trace } from './trace.ts';

const WORD = 2 ** 32;
const FUA = 0x4000_0000;
const DEALLOCATE = 0x0200_0000;
const RANGE_BYTES = 16;

const dword = (nvme: NvmeController, number: number): number => nvme.entry.getUint32(4 * number, true);

export function executeIo(nvme: NvmeController): Eventual<number> {
  const opcode = nvme.entry.getUint8(0);
  const namespace = dword(nvme, 1);
  if (nvme.entry.getUint8(1) !== 0) return STATUS.INVALID_FIELD; // fused commands, scatter-gather lists
  const forAll = opcode === IO.FLUSH && namespace === ALL_NAMESPACES;
  if (namespace !== NAMESPACE && !forAll) return STATUS.INVALID_NAMESPACE;
  switch (opcode) {
    case IO.READ:
      return transfer(nvme, false);
    case IO.WRITE:
      return transfer(nvme, true);
    case IO.FLUSH:
      return guarded(nvme, STATUS.WRITE_FAULT, () => nvme.drive.flush());
    case IO.COMPARE:
      return compare(nvme);
    case IO.WRITE_ZEROES:
      return writeZeroes(nvme);
    case IO.DATASET_MANAGEMENT:
      return manageDataset(nvme);
    default:
      return STATUS.INVALID_OPCODE;
  }
}

/** Does something with the drive; a failure becomes `status`, or what says more. */
function guarded(nvme: NvmeController, status: number, work: () => Eventual<void>): Eventual<number> {
  const opcode = nvme.entry.getUint8(0);
  const failed = (error: unknown): number => {
    if (!(error instanceof Failure)) throw error;
    trace.failure?.({ opcode, what: error.message });
    return status === STATUS.WRITE_FAULT && errnoOf(error) === 'ENOSPC' ? STATUS.CAPACITY_EXCEEDED : status;
  };
  try {
    const result = work();
    return result instanceof Promise ? result.then(() => STATUS.SUCCESS, failed) : STATUS.SUCCESS;
  } catch (error) {
    return failed(error);
  }
}

/** First byte and length of a command's blocks; a status when they do not lie in the namespace. */
function extent(nvme: NvmeController): { readonly offset: number; readonly bytes: number } | number {
  const { blockBytes, drive } = nvme.wires;
  const block = dword(nvme, 11) * WORD + dword(nvme, 10);
  const blocks = (dword(nvme, 12) & 0xffff) + 1;
  if (block + blocks > Math.floor(drive.size / blockBytes)) return STATUS.LBA_OUT_OF_RANGE;
  return { offset: block * blockBytes, bytes: blocks * blockBytes };
}

function memoryOf(nvme: NvmeController, bytes: number): { readonly list: ScatterList; readonly views: Uint8Array[] } | number {
  const first = dword(nvme, 7) * WORD + dword(nvme, 6);
  const second = dword(nvme, 9) * WORD + dword(nvme, 8);
  const list = prpList(nvme.wires.memory, { first, second }, bytes, nvme.pageBytes);
  if (typeof list === 'number') return list;
  const views = list.views();
  return views === undefined ? STATUS.DATA_TRANSFER_ERROR : { list, views };
}

function transfer(nvme: NvmeController, write: boolean): Eventual<number> {
  const where = extent(nvme);
  if (typeof where === 'number') return where;
  const { offset, bytes } = where;
  const { drive, state } = nvme;
  if (bytes > TRANSFER_BYTES_MAX) return STATUS.INVALID_FIELD;
  if (write && drive.readOnly) return STATUS.WRITE_PROTECTED;
  const memory = memoryOf(nvme, bytes);
  if (typeof memory === 'number') return memory;
  const { list, views } = memory;
  nvme.countBytes(bytes);
  if (write) {
    state.writes++;
    state.sectorsWritten += bytes / 512;
    const fua = (dword(nvme, 12) & FUA) !== 0 || !state.writeCache;
    return guarded(nvme, STATUS.WRITE_FAULT, () => drive.writev(offset, views, { fua }));
  }
  state.reads++;
  state.sectorsRead += bytes / 512;
  return after(guarded(nvme, STATUS.READ_ERROR, () => drive.readv(offset, views)), (status) => {
    list.written();
    return status;
  });
}

function compare(nvme: NvmeController): Eventual<number> {
  const where = extent(nvme);
  if (typeof where === 'number') return where;
  if (where.bytes > TRANSFER_BYTES_MAX) return STATUS.INVALID_FIELD;
  const memory = memoryOf(nvme, where.bytes);
  if (typeof memory === 'number') return memory;
  nvme.countBytes(where.bytes);
  const stored = new Uint8Array(where.bytes);
  return after(guarded(nvme, STATUS.READ_ERROR, () => nvme.drive.read(where.offset, stored)), (status) => {
    if (status !== STATUS.SUCCESS) return status;
    const given = memory.list.gather();
    return given?.every((byte, index) => byte === stored[index]) === true ? STATUS.SUCCESS : STATUS.COMPARE_FAILURE;
  });
}

function writeZeroes(nvme: NvmeController): Eventual<number> {
  const where = extent(nvme);
  if (typeof where === 'number') return where;
  const { drive, state } = nvme;
  if (drive.readOnly) return STATUS.WRITE_PROTECTED;
  const flags = dword(nvme, 12);
  const options = { unmap: (flags & DEALLOCATE) !== 0, fua: (flags & FUA) !== 0 || !state.writeCache };
  nvme.countBytes(where.bytes);
  return guarded(nvme, STATUS.WRITE_FAULT, () => drive.writeZeroes(where.offset, where.bytes, options));
}

function manageDataset(nvme: NvmeController): Eventual<number> {
  const ranges = (dword(nvme, 10) & 0xff) + 1;
  const deallocate = (dword(nvme, 11) & 4) !== 0;
  const memory = memoryOf(nvme, ranges * RANGE_BYTES);
  if (typeof memory === 'number') return memory;
  const data = memory.list.gather();
  if (data === undefined) return STATUS.DATA_TRANSFER_ERROR;
  if (!deallocate) return STATUS.SUCCESS; // hints
  if (nvme.drive.readOnly) return STATUS.WRITE_PROTECTED;
  return discardAll(nvme, new DataView(data.buffer, data.byteOffset, data.length), ranges);
}

async function discardAll(nvme: NvmeController, data: DataView, ranges: number): Promise<number> {
  const { blockBytes, drive } = nvme.wires;
  const total = Math.floor(drive.size / blockBytes);
  for (let index = 0; index < ranges; index++) {
    const at = RANGE_BYTES * index;
    const blocks = data.getUint32(at + 4, true);
    const first = data.getUint32(at + 12, true) * WORD + data.getUint32(at + 8, true);
    if (blocks === 0) continue;
    if (first + blocks > total) return STATUS.LBA_OUT_OF_RANGE;
    const status = await guarded(nvme, STATUS.WRITE_FAULT, () => drive.discard(first * blockBytes, blocks * blockBytes));
    if (status !== STATUS.SUCCESS) return status;
  }
  return STATUS.SUCCESS;
}
