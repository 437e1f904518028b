// Admin commands of an NVMe controller (NVM Express 1.4, chapter 5). What they answer with is in nvme-data.ts.
import { identifyController, identifyNamespace, logPage, namespaceDescriptors, namespaceList } from './nvme-data.ts';
import type { NvmeController } from './nvme-controller.ts';
import { ADMIN, ALL_NAMESPACES, FEATURE, IO_QUEUES, NAMESPACE, ok, QUEUE_ENTRIES_MAX, STATUS, type NvmeResult } from './nvme-spec.ts';
import { prpList } from './prp.ts';

const WORD = 2 ** 32;
type Result = NvmeResult | number | undefined;

const dword = (nvme: NvmeController, number: number): number => nvme.entry.getUint32(4 * number, true);
const address = (nvme: NvmeController, number: number): number => dword(nvme, number + 1) * WORD + dword(nvme, number);

export function executeAdmin(nvme: NvmeController): Result | Promise<Result> {
  if (nvme.entry.getUint8(1) >> 6 !== 0) return STATUS.INVALID_FIELD; // scatter-gather lists
  switch (nvme.entry.getUint8(0)) {
    case ADMIN.DELETE_SQ:
      return nvme.deleteSubmissionQueue(dword(nvme, 10) & 0xffff, nvme.entry.getUint16(2, true));
    case ADMIN.CREATE_SQ:
      return createSubmissionQueue(nvme);
    case ADMIN.GET_LOG_PAGE:
      return getLogPage(nvme);
    case ADMIN.DELETE_CQ:
      return deleteCompletionQueue(nvme);
    case ADMIN.CREATE_CQ:
      return createCompletionQueue(nvme);
    case ADMIN.IDENTIFY:
      return identify(nvme);
    case ADMIN.ABORT:
      return ok(1); // it is not aborted: it will end by itself
    case ADMIN.SET_FEATURES:
      return setFeatures(nvme);
    case ADMIN.GET_FEATURES:
      return getFeatures(nvme);
    default:
      return STATUS.INVALID_OPCODE;
  }
}

/** Writes an answer where the command says. */
function answer(nvme: NvmeController, data: Uint8Array): Result {
  const list = prpList(nvme.wires.memory, { first: address(nvme, 6), second: address(nvme, 8) }, data.length, nvme.pageBytes);
  if (typeof list === 'number') return list;
  return list.fill(data) ? STATUS.SUCCESS : STATUS.DATA_TRANSFER_ERROR;
}

function createCompletionQueue(nvme: NvmeController): Result {
  const id = dword(nvme, 10) & 0xffff;
  const entries = (dword(nvme, 10) >>> 16) + 1;
  const flags = dword(nvme, 11);
  const vector = flags >>> 16;
  if (id === 0 || id > IO_QUEUES || nvme.state.completions[id]!.entries > 0) return STATUS.INVALID_QUEUE_ID;
  if (entries < 2 || entries > QUEUE_ENTRIES_MAX) return STATUS.INVALID_QUEUE_SIZE;
  if ((flags & 1) === 0) return STATUS.INVALID_FIELD; // queues are contiguous
  if (address(nvme, 6) % nvme.pageBytes !== 0) return STATUS.INVALID_PRP_OFFSET;
  if (vector >= nvme.wires.vectors || (!nvme.wires.messages.enabled && vector !== 0)) return STATUS.INVALID_VECTOR;
  nvme.state.completions[id] = {
    low: dword(nvme, 6), high: dword(nvme, 7), entries, head: 0, tail: 0, phase: true, interrupts: (flags & 2) !== 0, vector,
  };
  return STATUS.SUCCESS;
}

function createSubmissionQueue(nvme: NvmeController): Result {
  const id = dword(nvme, 10) & 0xffff;
  const entries = (dword(nvme, 10) >>> 16) + 1;
  const flags = dword(nvme, 11);
  const completion = flags >>> 16;
  if (completion === 0 || completion > IO_QUEUES || nvme.state.completions[completion]!.entries === 0) return STATUS.INVALID_CQ;
  if (id === 0 || id > IO_QUEUES || nvme.state.submissions[id]!.entries > 0) return STATUS.INVALID_QUEUE_ID;
  if (entries < 2 || entries > QUEUE_ENTRIES_MAX) return STATUS.INVALID_QUEUE_SIZE;
  if ((flags & 1) === 0) return STATUS.INVALID_FIELD;
  if (address(nvme, 6) % nvme.pageBytes !== 0) return STATUS.INVALID_PRP_OFFSET;
  nvme.state.submissions[id] = { low: dword(nvme, 6), high: dword(nvme, 7), entries, head: 0, tail: 0, completion };
  return STATUS.SUCCESS;
}

function deleteCompletionQueue(nvme: NvmeController): Result {
  const id = dword(nvme, 10) & 0xffff;
  const { submissions, completions } = nvme.state;
  if (id === 0 || id > IO_QUEUES || completions[id]!.entries === 0) return STATUS.INVALID_QUEUE_ID;
  if (submissions.some((queue) => queue.entries > 0 && queue.completion === id)) return STATUS.INVALID_QUEUE_DELETION;
  completions[id] = { low: 0, high: 0, entries: 0, head: 0, tail: 0, phase: true, interrupts: false, vector: 0 };
  return STATUS.SUCCESS;
}

function identify(nvme: NvmeController): Result {
  const namespace = dword(nvme, 1);
  const { identity, blockBytes, drive } = nvme.wires;
  const shape = { blocks: Math.floor(drive.size / blockBytes), blockBytes, discards: drive.discards };
  switch (dword(nvme, 10) & 0xff) {
    case 0:
      if (namespace !== NAMESPACE && namespace !== ALL_NAMESPACES) return STATUS.INVALID_NAMESPACE;
      return answer(nvme, identifyNamespace(shape, identity));
    case 1:
      return answer(nvme, identifyController(identity));
    case 2:
      return namespace >= ALL_NAMESPACES - 1 ? STATUS.INVALID_NAMESPACE : answer(nvme, namespaceList(namespace));
    case 3:
      return namespace === NAMESPACE ? answer(nvme, namespaceDescriptors(identity)) : STATUS.INVALID_NAMESPACE;
    default:
      return STATUS.INVALID_FIELD;
  }
}

function getLogPage(nvme: NvmeController): Result {
  const bytes = ((dword(nvme, 10) >>> 16) + (dword(nvme, 11) & 0xffff) * 65536 + 1) * 4;
  const offset = dword(nvme, 13) * WORD + dword(nvme, 12);
  const page = logPage(dword(nvme, 10) & 0xff, nvme.state, nvme.wires.identity);
  if (page === undefined) return STATUS.INVALID_LOG_PAGE;
  if (offset >= page.length || (offset & 3) !== 0) return STATUS.INVALID_FIELD;
  return answer(nvme, page.subarray(offset, Math.min(offset + bytes, page.length)));
}

function setFeatures(nvme: NvmeController): Result | Promise<Result> {
  const { state } = nvme;
  const value = dword(nvme, 11);
  if (dword(nvme, 10) >>> 31 !== 0) return STATUS.FEATURE_NOT_CHANGEABLE; // nothing is kept over a reset
  switch (dword(nvme, 10) & 0xff) {
    case FEATURE.ARBITRATION:
      state.arbitration = value;
      return STATUS.SUCCESS;
    case FEATURE.POWER:
      return (value & 0x1f) === 0 ? STATUS.SUCCESS : STATUS.INVALID_FIELD;
    case FEATURE.TEMPERATURE:
      if ((value >>> 16) === 0) state.temperature = value & 0xffff;
      return STATUS.SUCCESS;
    case FEATURE.ERROR_RECOVERY:
      state.errorRecovery = value;
      return STATUS.SUCCESS;
    case FEATURE.WRITE_CACHE:
      return setWriteCache(nvme, (value & 1) !== 0);
    case FEATURE.QUEUES:
      if ((value & 0xffff) === 0xffff || value >>> 16 === 0xffff) return STATUS.INVALID_FIELD;
      return ok(queueCount());
    case FEATURE.COALESCING:
      state.coalescing = value;
      return STATUS.SUCCESS;
    case FEATURE.VECTOR:
      return (value & 0xffff) < nvme.wires.vectors ? STATUS.SUCCESS : STATUS.INVALID_FIELD;
    case FEATURE.ATOMICITY:
      state.atomicity = value & 1;
      return STATUS.SUCCESS;
    case FEATURE.ASYNC_EVENT:
      state.asyncEvents = value;
      return STATUS.SUCCESS;
    default:
      return STATUS.INVALID_FIELD;
  }
}

const queueCount = (): number => ((IO_QUEUES - 1) | ((IO_QUEUES - 1) << 16)) >>> 0;

async function flushed(nvme: NvmeController): Promise<Result> {
  await nvme.drive.flush();
  return STATUS.SUCCESS;
}

function setWriteCache(nvme: NvmeController, enabled: boolean): Result | Promise<Result> {
  const flush = nvme.state.writeCache && !enabled;
  nvme.state.writeCache = enabled;
  return flush ? flushed(nvme) : STATUS.SUCCESS;
}

function getFeatures(nvme: NvmeController): Result {
  const { state } = nvme;
  const select = (dword(nvme, 10) >>> 8) & 7;
  if (select > 1) return STATUS.INVALID_FIELD; // no saved values, no capabilities
  const initial = select === 1 ? nvme.schema.initial() : state;
  switch (dword(nvme, 10) & 0xff) {
    case FEATURE.ARBITRATION:
      return ok(initial.arbitration);
    case FEATURE.POWER:
      return ok(0);
    case FEATURE.TEMPERATURE:
      return ok(initial.temperature);
    case FEATURE.ERROR_RECOVERY:
      return ok(initial.errorRecovery);
    case FEATURE.WRITE_CACHE:
      return ok(initial.writeCache ? 1 : 0);
    case FEATURE.QUEUES:
      return ok(queueCount());
    case FEATURE.COALESCING:
      return ok(initial.coalescing);
    case FEATURE.VECTOR:
      return ok(dword(nvme, 11) & 0xffff);
    case FEATURE.ATOMICITY:
      return ok(initial.atomicity);
    case FEATURE.ASYNC_EVENT:
      return ok(initial.asyncEvents);
    default:
      return STATUS.INVALID_FIELD;
  }
}
