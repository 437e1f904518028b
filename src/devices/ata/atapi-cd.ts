// A CD drive as an ATA packet device: the few ATA commands it has, and the PACKET command, whose contents are a SCSI logical unit's
// (devices/scsi/mmc-drive.ts). ATA8-ACS, ATAPI of MMC-6 annex A.
import { after, type Eventual } from '../../base/eventual.ts';
import type { Failure } from '../../base/failure.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import type { RemovableDrive } from '../../ports/disk.ts';
import { u16, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import type { MmcDrive } from '../scsi/mmc-drive.ts';
import type { ScsiPlan } from '../scsi/scsi-command.ts';
import { PACKET_COMMAND } from './ata-commands.ts';
import {
  DONE, ERROR, PACKET_SIGNATURE, REASON, refuse, SECTOR_BYTES, STATUS, succeed, taskFileFields, type AtaPlan, type AtaUnit, type TaskFile,
} from './ata-unit.ts';
import { identifyPacketDevice, type AtaIdentity } from './identify.ts';
import { trace } from './trace.ts';

const CDB_BYTES = 16;
const FEATURE_DMA = 1;
const CD_SECTOR_BYTES = 2048;
const BLOCK_BYTES_MAX = 0xfffe;
const ULTRA_DMA_5 = 0x45;

export const atapiCdState = defineState({
  kind: 'atapi-cd',
  version: 1,
  fields: {
    ...taskFileFields,
    lbaMid: u8(PACKET_SIGNATURE.mid),
    lbaHigh: u8(PACKET_SIGNATURE.high),
    status: u8(0),
    transferMode: u8(ULTRA_DMA_5),
    /** Largest block of a PIO transfer, from the registers at PACKET. */
    byteCountLimit: u16(),
    operation: u8(),
  },
});
export type AtapiCdState = ReturnType<typeof atapiCdState.initial>;

export interface AtapiCdOptions {
  readonly logicalUnit: MmcDrive;
  readonly identity: AtaIdentity;
  readonly serialAta: boolean;
}

export class AtapiCd implements AtaUnit, Device<AtapiCdState> {
  readonly schema = atapiCdState;
  state = atapiCdState.initial();
  readonly isPacketDevice = true;
  readonly logicalUnit: MmcDrive;
  readonly #identity: AtaIdentity;
  readonly #serialAta: boolean;

  constructor({ logicalUnit, identity, serialAta }: AtapiCdOptions) {
    this.logicalUnit = logicalUnit;
    this.#identity = identity;
    this.#serialAta = serialAta;
  }

  get drive(): RemovableDrive | undefined {
    return this.logicalUnit.drive;
  }

  get taskFile(): TaskFile {
    return this.state;
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = atapiCdState.initial();
  }

  settle(): void {
    // No outputs.
  }

  softReset(): void {
    const { mid, high } = PACKET_SIGNATURE;
    Object.assign(this.state, { status: 0, error: 1, command: 0, feature: 0, featureHob: 0, count: 1, countHob: 0, device: 0 });
    Object.assign(this.state, { lbaLow: 1, lbaLowHob: 0, lbaMid: mid, lbaMidHob: 0, lbaHigh: high, lbaHighHob: 0 });
  }

  begin(): AtaPlan {
    const { state } = this;
    state.status = STATUS.BUSY | STATUS.READY;
    state.error = 0;
    switch (state.command) {
      case PACKET_COMMAND:
        return this.#beginPacket();
      case 0xa1: {
        const data = identifyPacketDevice(this.#identity, state.transferMode, this.#serialAta);
        return { kind: 'in', dma: false, bytes: data.length, block: SECTOR_BYTES, data };
      }
      case 0xef:
        return this.#setFeatures();
      case 0xe5: // CHECK POWER MODE
        state.count = 0xff;
        return this.#accepted();
      case 0xe0:
      case 0xe1:
      case 0xe2:
      case 0xe3:
      case 0xe6:
        return this.#accepted();
      case 0xec: // whoever takes this for a disk finds the signature
      case 0x20:
        state.lbaMid = PACKET_SIGNATURE.mid;
        state.lbaHigh = PACKET_SIGNATURE.high;
        state.lbaLow = state.count = 1;
        return refuse(state);
      default:
        return refuse(state);
    }
  }

  #accepted(): AtaPlan {
    succeed(this.state);
    return DONE;
  }

  #setFeatures(): AtaPlan {
    const { state } = this;
    const mode = state.count;
    const limit = { 0: 1, 1: 4, 4: 2, 8: 5 }[mode >> 3];
    if (state.feature !== 3) return state.feature === 0x66 || state.feature === 0xcc ? this.#accepted() : refuse(state);
    if (limit === undefined || (mode & 7) > limit) return refuse(state);
    if (mode >> 3 >= 4) state.transferMode = mode;
    return this.#accepted();
  }

  #beginPacket(): AtaPlan {
    const { state } = this;
    const limit = state.lbaMid | (state.lbaHigh << 8);
    state.byteCountLimit = limit === 0xffff || limit === 0 ? BLOCK_BYTES_MAX : limit;
    state.count = REASON.COMMAND;
    return { kind: 'packet' };
  }

  packet(cdb: Uint8Array): Eventual<AtaPlan> {
    const whole = new Uint8Array(CDB_BYTES);
    whole.set(cdb.subarray(0, CDB_BYTES));
    this.state.operation = whole[0]!;
    return after(this.logicalUnit.begin(whole), (plan) => this.#planOf(plan));
  }

  #planOf(plan: ScsiPlan): AtaPlan {
    trace.packet?.({ drive: this.drive?.name ?? '', operation: this.state.operation, plan: plan.kind });
    const dma = (this.state.feature & FEATURE_DMA) !== 0;
    const block = this.#blockBytes(plan.kind === 'read');
    switch (plan.kind) {
      case 'done':
        return this.#completed();
      case 'failed':
        return this.#checkCondition(plan.sense.key);
      case 'in':
        return plan.data.length === 0 ? this.#completed() : { kind: 'in', dma, bytes: plan.data.length, block, data: plan.data };
      case 'out':
        return plan.bytes === 0 ? this.#completed() : { kind: 'out', dma, bytes: plan.bytes, block };
      case 'read':
        return plan.bytes === 0 ? this.#completed() : { kind: 'read', dma, bytes: plan.bytes, block, offset: plan.offset };
      case 'write':
        return refuse(this.state); // no CD drive plans to write
    }
  }

  /** An even number within the host's limit; whole sectors where they fit. */
  #blockBytes(ofMedium: boolean): number {
    const { byteCountLimit } = this.state;
    if (ofMedium && byteCountLimit >= CD_SECTOR_BYTES) return byteCountLimit - (byteCountLimit % CD_SECTOR_BYTES);
    return Math.max(2, byteCountLimit & ~1);
  }

  #completed(): AtaPlan {
    this.finish();
    return DONE;
  }

  #checkCondition(key: number): AtaPlan {
    const { state } = this;
    state.count = REASON.COMMAND | REASON.TO_HOST;
    state.status = STATUS.READY | STATUS.SEEK | STATUS.ERROR;
    state.error = (key << 4) | (key === 5 ? ERROR.ABORT : 0);
    return DONE;
  }

  blockReady(bytes: number, toHost: boolean): void {
    const { state } = this;
    if (state.command !== PACKET_COMMAND) return;
    state.lbaMid = bytes & 0xff;
    state.lbaHigh = bytes >> 8;
    state.count = toHost ? REASON.TO_HOST : 0;
  }

  finish(): void {
    succeed(this.state);
    if (this.state.command === PACKET_COMMAND) this.state.count = REASON.COMMAND | REASON.TO_HOST;
  }

  abort(): void {
    if (this.state.command === PACKET_COMMAND) this.state.count = REASON.COMMAND | REASON.TO_HOST;
    refuse(this.state);
  }

  fail(failure: Failure): void {
    trace.failure?.({ drive: this.drive?.name ?? '', command: this.state.operation, what: failure.message });
    this.#checkCondition(this.logicalUnit.transferFailed(failure).key);
  }

  accept(): void {
    this.#planOf(this.logicalUnit.accept());
  }
}
