// The virtio SCSI host adapter: virtio 1.2, 5.6. Carries commands to the units of a ScsiBus and moves their data. Task management
// waits for what it would abort. No events: units do not come and go while the machine runs.
import type { Eventual } from '../../base/eventual.ts';
import { layout, le16, le32 } from '../../struct/layout.ts';
import { ScsiBus, type ScsiAddress, type ScsiUnit } from '../scsi/scsi-bus.ts';
import { fixedSense, SCSI_STATUS, type ScsiPlan, type ScsiSense } from '../scsi/scsi-command.ts';
import type { Chain } from './ring.ts';
import type { VirtioHandler, VirtQueue } from './virtio-device.ts';
import { defineEvents } from '../../trace/event.ts';
import { attemptRequest, type DeviceRequest } from '../../trace/device-request.ts';

const trace = defineEvents('virtioScsi', {
  request: 'request {request} target {target} lun {lun} operation {operation:hex}',
  command: 'request {request} target {target} lun {lun} operation {operation:hex} status {status} response {response}',
});

const CONTROL_QUEUE = 0;
const EVENT_QUEUE = 1;
const FIXED_QUEUES = 2;
const REQUEST_HEADER_BYTES = 19;
const RESPONSE_BYTES = 12;
const CDB_BYTES_DEFAULT = 32;
const SENSE_BYTES_DEFAULT = 96;
/** What a driver may make of both. */
const CDB_BYTES_MAX = 260;
const SENSE_BYTES_MAX = 252;
const TARGETS_MAX = 256;
const LUNS_MAX = 16384;
/** A transfer that is longer is none that a driver makes. */
const TRANSFER_BYTES_MAX = 64 * 1024 * 1024;

const RESPONSE = { OK: 0, OVERRUN: 1, BAD_TARGET: 3 } as const;
const CONTROL = { TASK_MANAGEMENT: 0, QUERY_NOTIFICATION: 1, SUBSCRIBE_NOTIFICATION: 2 } as const;
const TMF_RESPONSE = { COMPLETE: 0, SUCCEEDED: 10, REJECTED: 11, INCORRECT_LUN: 12 } as const;
/** Abort task, abort task set, clear ACA, clear task set, I_T nexus reset, logical unit reset, query task, query task set. */
const TMF = {
  ABORT_TASK: 0, ABORT_TASK_SET: 1, CLEAR_TASK_SET: 3, NEXUS_RESET: 4, UNIT_RESET: 5, QUERY_TASK: 6, QUERY_TASK_SET: 7,
} as const;
const ABORTING = new Set<number>([TMF.ABORT_TASK, TMF.ABORT_TASK_SET, TMF.CLEAR_TASK_SET, TMF.NEXUS_RESET, TMF.UNIT_RESET]);

export const scsiConfig = layout('virtio_scsi_config', {
  num_queues: le32(0), seg_max: le32(4), max_sectors: le32(8), cmd_per_lun: le32(12), event_info_size: le32(16), sense_size: le32(20),
  cdb_size: le32(24), max_channel: le16(28), max_target: le16(30), max_lun: le32(32),
});

export interface VirtioScsiOptions {
  readonly queues?: number;
  readonly queueSize?: number;
  readonly maxSectors?: number;
  readonly commandsPerLun?: number;
}

/** A command on its way. */
interface Command {
  readonly queue: VirtQueue;
  readonly chain: Chain;
  readonly cdb: Uint8Array;
  readonly address: ScsiAddress;
  readonly unit: ScsiUnit | undefined;
  /** Where the data is in the readable and writable part. */
  readonly outAt: number;
  readonly inAt: number;
  readonly senseBytes: number;
}

export class VirtioScsi implements VirtioHandler {
  readonly name = 'virtio-scsi';
  readonly type = 8;
  readonly features: readonly number[] = [];
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array;
  readonly bus = new ScsiBus({ targetsMax: TARGETS_MAX, lunsMax: LUNS_MAX });
  readonly #inFlight = new Map<ScsiUnit, number>();
  /** What was answered while a queue is emptied is shown at its end. */
  #isTaking = false;
  /** Task management that waits for commands to end. */
  #waiting: { readonly unit: ScsiUnit; readonly done: () => void }[] = [];

  constructor({ queues = 1, queueSize = 256, maxSectors = 0xffff, commandsPerLun = 128 }: VirtioScsiOptions = {}) {
    this.queueSizes = new Array<number>(FIXED_QUEUES + queues).fill(queueSize);
    this.config = scsiConfig.encode({
      num_queues: queues, seg_max: queueSize - 2, max_sectors: maxSectors, cmd_per_lun: commandsPerLun, event_info_size: 16,
      sense_size: SENSE_BYTES_DEFAULT, cdb_size: CDB_BYTES_DEFAULT, max_target: TARGETS_MAX - 1, max_lun: LUNS_MAX - 1,
    });
  }

  readonly writableConfig = (at: number): boolean => {
    const { sense_size: sense, cdb_size: cdb } = scsiConfig.fields;
    return at >= sense.offset && at < cdb.offset + cdb.sizeBytes;
  };

  notified(queue: VirtQueue): void {
    if (queue.index === EVENT_QUEUE) return; // buffers for events wait there
    this.#isTaking = true;
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      if (queue.index === CONTROL_QUEUE) this.#control(queue, chain);
      else this.#request(queue, chain);
    }
    this.#isTaking = false;
    queue.arm();
    queue.publish();
  }

  // Commands ------------------------------------------------------------------------------------------------------------

  #request(queue: VirtQueue, chain: Chain): void {
    const { config } = queue.device.state;
    const cdbBytes = le32At(config, scsiConfig.fields.cdb_size.offset);
    const senseBytes = le32At(config, scsiConfig.fields.sense_size.offset);
    const outAt = REQUEST_HEADER_BYTES + cdbBytes;
    const inAt = RESPONSE_BYTES + senseBytes;
    const isPossible = cdbBytes <= CDB_BYTES_MAX && senseBytes <= SENSE_BYTES_MAX && chain.writable.bytes >= inAt;
    const header = isPossible ? chain.readable.gather(outAt) : undefined;
    if (header === undefined) {
      queue.device.breakDown(queue, 'a command without header or room for an answer');
      queue.push(chain, 0);
      return;
    }
    const address = { target: header[1]!, lun: ((header[2]! << 8) | header[3]!) & 0x3fff };
    const cdb = header.subarray(REQUEST_HEADER_BYTES);
    // A command set reads as many bytes as its longest commands have.
    const padded = cdb.length < 16 ? Uint8Array.from({ length: 16 }, (_, index) => cdb[index] ?? 0) : cdb;
    const isWellKnown = (header[2]! & 0xc0) === 0xc0;
    const command: Command = {
      queue, chain, cdb: padded, address, unit: isWellKnown ? undefined : this.bus.unit(address), outAt, inAt, senseBytes,
    };
    if (header[0] !== 1 || !this.bus.hasTarget(address.target)) {
      answer(command, { response: RESPONSE.BAD_TARGET });
      return;
    }
    this.#begin(command);
  }

  #begin(command: Command): void {
    const { unit, cdb, address, chain } = command;
    const own = this.bus.answer(cdb, address);
    this.#enter(unit);
    const fail = (error: unknown): void => this.#finish(command, { sense: senseOf(unit, error, false) });
    trace.request?.({ request: chain.request, ...address, operation: cdb[0]! });
    attemptRequest(ownOf(command), () => own ?? unit!.begin(cdb), (plan) => this.#carryOut(command, plan), fail);
  }

  #carryOut(command: Command, plan: ScsiPlan): void {
    switch (plan.kind) {
      case 'done':
        return this.#finish(command, {});
      case 'failed':
        return this.#finish(command, { sense: plan.sense });
      case 'in':
        return this.#answerData(command, plan.data);
      case 'out':
        return this.#takeParameters(command, plan.bytes);
      case 'read':
      case 'write':
        return this.#transfer(command, plan);
    }
  }

  #answerData(command: Command, data: Uint8Array): void {
    const { queue, chain, inAt } = command;
    const room = chain.writable.bytes - inAt;
    const part = data.length > room ? data.subarray(0, room) : data;
    if (queue.owns(chain)) chain.writable.fill(part, inAt);
    this.#finish(command, { residual: room - part.length, transferred: part.length });
  }

  #takeParameters(command: Command, bytes: number): void {
    const { chain, outAt, unit, cdb } = command;
    const available = chain.readable.bytes - outAt;
    const data = chain.readable.gather(Math.min(bytes, available), outAt) ?? new Uint8Array(0);
    const fail = (error: unknown): void => this.#finish(command, { sense: senseOf(unit, error, true) });
    const residual = available - data.length;
    attemptRequest(ownOf(command), () => unit!.accept(cdb, data), (plan) => {
      this.#finish(command, plan.kind === 'failed' ? { sense: plan.sense } : { residual });
    }, fail);
  }

  #transfer(command: Command, plan: ScsiPlan & { readonly kind: 'read' | 'write' }): void {
    const { chain, unit } = command;
    const isWrite = plan.kind === 'write';
    const [list, start] = isWrite ? [chain.readable, command.outAt] : [chain.writable, command.inAt];
    const room = list.bytes - start;
    const bytes = Math.min(plan.bytes, room);
    const views = bytes <= TRANSFER_BYTES_MAX ? list.views(start, bytes) : undefined;
    if (views === undefined) return this.#finish(command, { response: RESPONSE.OVERRUN });
    const drive = unit!.drive!;
    const done = (): void => {
      if (!isWrite && command.queue.owns(chain)) list.written();
      this.#finish(command, { residual: room - bytes, transferred: isWrite ? 0 : bytes });
    };
    const fail = (error: unknown): void => this.#finish(command, { sense: senseOf(unit, error, isWrite) });
    attemptRequest(ownOf(command), (): Eventual<void> => {
      if (bytes === 0) return undefined;
      return plan.kind === 'write' ? drive.writev(plan.offset, views, { fua: plan.fua }) : drive.readv(plan.offset, views);
    }, done, fail);
  }

  #finish(command: Command, outcome: Outcome): void {
    answer(command, outcome);
    this.#leave(command.unit);
    if (!this.#isTaking) command.queue.publish();
  }

  // What is in flight, and who waits for it -----------------------------------------------------------------------------

  #enter(unit: ScsiUnit | undefined): void {
    if (unit !== undefined) this.#inFlight.set(unit, (this.#inFlight.get(unit) ?? 0) + 1);
  }

  #leave(unit: ScsiUnit | undefined): void {
    if (unit === undefined) return;
    const left = this.#inFlight.get(unit)! - 1;
    this.#inFlight.set(unit, left);
    if (left > 0 || this.#waiting.length === 0) return;
    const ready = this.#waiting.filter((waiter) => waiter.unit === unit);
    this.#waiting = this.#waiting.filter((waiter) => waiter.unit !== unit);
    for (const { done } of ready) done();
  }

  // Control queue -------------------------------------------------------------------------------------------------------

  #control(queue: VirtQueue, chain: Chain): void {
    const type = chain.readable.gather(4)?.[0];
    if (type === CONTROL.QUERY_NOTIFICATION || type === CONTROL.SUBSCRIBE_NOTIFICATION) {
      chain.writable.fill(Uint8Array.of(0, 0, 0, 0, RESPONSE.OK)); // none of the events is ever sent
      queue.push(chain, Math.min(5, chain.writable.bytes));
      return;
    }
    const request = type === CONTROL.TASK_MANAGEMENT ? chain.readable.gather(24) : undefined;
    if (request === undefined || chain.writable.bytes === 0) {
      queue.device.breakDown(queue, 'a control request of no known kind');
      queue.push(chain, 0);
      return;
    }
    this.#manageTasks(queue, chain, request);
  }

  #manageTasks(queue: VirtQueue, chain: Chain, request: Uint8Array): void {
    const respond = (response: number): void => {
      if (queue.owns(chain)) chain.writable.setByte(0, response);
      queue.push(chain, 1);
    };
    const subtype = request[4]!;
    const unit = this.bus.unit({ target: request[9]!, lun: ((request[10]! << 8) | request[11]!) & 0x3fff });
    if (unit === undefined || request[8] !== 1) return respond(TMF_RESPONSE.INCORRECT_LUN);
    if (subtype === TMF.QUERY_TASK || subtype === TMF.QUERY_TASK_SET) {
      return respond((this.#inFlight.get(unit) ?? 0) > 0 ? TMF_RESPONSE.SUCCEEDED : TMF_RESPONSE.COMPLETE);
    }
    if (!ABORTING.has(subtype)) return respond(TMF_RESPONSE.REJECTED);
    if ((this.#inFlight.get(unit) ?? 0) === 0) return respond(TMF_RESPONSE.COMPLETE);
    this.#waiting.push({ unit, done: () => {
      respond(TMF_RESPONSE.COMPLETE);
      queue.publish();
    } });
  }
}

const ownOf = ({ chain, unit }: Command): DeviceRequest => ({ request: chain.request, name: unit?.drive?.name ?? 'virtio-scsi' });

interface Outcome {
  readonly response?: number;
  readonly sense?: ScsiSense;
  readonly residual?: number;
  readonly transferred?: number;
}

function senseOf(unit: ScsiUnit | undefined, error: unknown, write: boolean): ScsiSense {
  if (unit === undefined) throw error;
  return unit.transferFailed(error, write);
}

const NO_SENSE = new Uint8Array(0);
const answerBytes = new Uint8Array(RESPONSE_BYTES + SENSE_BYTES_MAX);
const answerView = new DataView(answerBytes.buffer);

const le32At = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;

/** Writes the answer and gives the request back. */
function answer({ queue, chain, senseBytes, cdb, address }: Command, outcome: Outcome): void {
  const { response = RESPONSE.OK, sense, residual = 0, transferred = 0 } = outcome;
  const status = sense === undefined ? SCSI_STATUS.GOOD : SCSI_STATUS.CHECK_CONDITION;
  trace.command?.({ request: chain.request, ...address, operation: cdb[0]!, status, response });
  if (queue.owns(chain)) {
    const senseData = sense === undefined ? NO_SENSE : fixedSense(sense).subarray(0, senseBytes);
    answerBytes.fill(0);
    answerView.setUint32(0, senseData.length, true);
    answerView.setUint32(4, residual, true);
    answerBytes[10] = status;
    answerBytes[11] = response;
    answerBytes.set(senseData, RESPONSE_BYTES);
    chain.writable.fill(answerBytes.subarray(0, RESPONSE_BYTES + senseBytes));
  }
  queue.push(chain, RESPONSE_BYTES + senseBytes + transferred);
}

