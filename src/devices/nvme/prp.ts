// Physical region pages (NVM Express 1.4, 4.3): the memory of a command as a scatter list.
import { ScatterList } from '../../bus/scatter-list.ts';
import type { DmaMemory } from '../../ports/dma.ts';
import { STATUS } from './nvme-spec.ts';

const WORD = 2 ** 32;
const ENTRY_BYTES = 8;

export interface Prp {
  readonly first: number;
  readonly second: number;
}

/** The list, or the status with which the command fails. The number of entries read is bounded by `bytes`. */
export function prpList(memory: DmaMemory, { first, second }: Prp, bytes: number, pageBytes: number): ScatterList | number {
  const list = new ScatterList(memory);
  const offset = first % pageBytes;
  if ((first & 3) !== 0) return STATUS.INVALID_PRP_OFFSET;
  list.add(first, Math.min(bytes, pageBytes - offset));
  const left = bytes - list.bytes;
  if (left === 0) return list;
  if (left > pageBytes) return addPages(memory, list, second, bytes, pageBytes);
  if (second % pageBytes !== 0) return STATUS.INVALID_PRP_OFFSET;
  list.add(second, left);
  return list;
}

function addPages(memory: DmaMemory, list: ScatterList, start: number, bytes: number, pageBytes: number): ScatterList | number {
  let at = start;
  while (list.bytes < bytes) {
    if ((at & 7) !== 0) return STATUS.INVALID_PRP_OFFSET;
    const room = (pageBytes - (at % pageBytes)) / ENTRY_BYTES;
    const wanted = Math.ceil((bytes - list.bytes) / pageBytes);
    const count = Math.min(room, wanted);
    const entries = memory.view(at, count * ENTRY_BYTES);
    if (entries === undefined) return STATUS.DATA_TRANSFER_ERROR;
    const view = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
    const pages = wanted > room ? count - 1 : count;
    for (let index = 0; index < pages; index++) {
      const address = view.getUint32(8 * index + 4, true) * WORD + view.getUint32(8 * index, true);
      if (address % pageBytes !== 0) return STATUS.INVALID_PRP_OFFSET;
      list.add(address, Math.min(pageBytes, bytes - list.bytes));
    }
    if (pages === count) break;
    // The last entry of a full page is the next list, which begins its page: so every list but the first has regions.
    at = view.getUint32(8 * pages + 4, true) * WORD + view.getUint32(8 * pages, true);
    if (at % pageBytes !== 0) return STATUS.INVALID_PRP_OFFSET;
  }
  return list;
}
