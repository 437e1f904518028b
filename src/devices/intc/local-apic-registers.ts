// How a processor reaches its local APIC: the xAPIC page of 32-bit registers and the x2APIC MSRs (SDM volume 3A, chapter
// 12, "x2APIC Register Address Space"). One list of rows serves both.
import { RegisterFile, type RegisterRow } from '../../bus/register-file.ts';
import type { LocalApic } from './local-apic.ts';
import { APIC_BASE, ESR, ICR, LVT_WRITABLE, REG, VERSION } from './local-apic-state.ts';

const bank = (at: number, name: string, read: (apic: LocalApic, index: number) => number): RegisterRow<LocalApic>[] =>
  Array.from({ length: 8 }, (_, index) => ({ at: at + 16 * index, name: `${name}${index}`, read: (apic: LocalApic) => read(apic, index) }));

const lvt = (name: string, index: number): RegisterRow<LocalApic> => ({
  at: REG.LVT_TIMER + 16 * index,
  name,
  read: (apic) => apic.state.lvt[index]!,
  write: (apic, value) => apic.writeLvt(index, value),
});

function writeErrorStatus(apic: LocalApic): void {
  apic.state.esr = apic.state.esrPending;
  apic.state.esrPending = 0;
}

export const localApicRegisters = new RegisterFile<LocalApic>('local-apic', 4, [
  {
    at: REG.ID,
    name: 'ID',
    read: (apic) => (apic.x2apic ? apic.state.id : apic.state.id * 0x100_0000),
    write: (apic, value) => {
      apic.state.id = value >>> 24;
    },
  },
  { at: REG.VERSION, name: 'VERSION', constant: VERSION },
  { at: REG.TPR, name: 'TPR', read: (apic) => apic.state.tpr, write: (apic, value) => apic.setTaskPriority(value) },
  { at: REG.APR, name: 'APR', constant: 0 },
  { at: REG.PPR, name: 'PPR', read: (apic) => apic.processorPriority },
  { at: REG.EOI, name: 'EOI', read: () => 0, write: (apic) => apic.endOfInterrupt() },
  { at: REG.RRD, name: 'RRD', constant: 0 },
  {
    at: REG.LDR,
    name: 'LDR',
    read: (apic) => apic.logicalId,
    write: (apic, value) => {
      apic.state.ldr = (value & 0xff00_0000) >>> 0;
    },
  },
  {
    at: REG.DFR,
    name: 'DFR',
    field: 'dfr',
    write: (apic, value) => {
      apic.state.dfr = (value | 0x0fff_ffff) >>> 0;
    },
  },
  { at: REG.SVR, name: 'SVR', field: 'svr', write: (apic, value) => apic.writeSpurious(value) },
  ...bank(REG.ISR, 'ISR', (apic, index) => apic.state.isr[index]!),
  ...bank(REG.TMR, 'TMR', (apic, index) => apic.state.tmr[index]!),
  ...bank(REG.IRR, 'IRR', (apic, index) => apic.state.irr[index]!),
  { at: REG.ESR, name: 'ESR', field: 'esr', write: writeErrorStatus },
  {
    at: REG.ICR,
    name: 'ICR',
    field: 'icr',
    write: (apic, value) => {
      apic.state.icr = value & ICR.WRITABLE;
      apic.sendCommand(apic.state.icr, apic.state.icrHigh >>> 24);
    },
  },
  {
    at: REG.ICR_HIGH,
    name: 'ICR_HIGH',
    field: 'icrHigh',
    write: (apic, value) => {
      apic.state.icrHigh = (value & 0xff00_0000) >>> 0;
    },
  },
  lvt('LVT_TIMER', 0),
  lvt('LVT_THERMAL', 1),
  lvt('LVT_PERFORMANCE', 2),
  lvt('LVT_LINT0', 3),
  lvt('LVT_LINT1', 4),
  lvt('LVT_ERROR', 5),
  { at: REG.TIMER_INITIAL, name: 'TIMER_INITIAL', field: 'timerInitial', write: (apic, value) => apic.writeTimerInitial(value) },
  { at: REG.TIMER_CURRENT, name: 'TIMER_CURRENT', read: (apic) => apic.timerCurrent() },
  { at: REG.TIMER_DIVIDE, name: 'TIMER_DIVIDE', field: 'timerDivide', write: (apic, value) => apic.writeTimerDivide(value) },
]);

const PAGE_BYTES = 4096;
const known = new Set(localApicRegisters.offsets.map(({ at }) => at));

/** A read in the xAPIC page. Registers are 32 bits wide at 16-byte boundaries. */
export function readPage(apic: LocalApic, at: number, size: number): number {
  if (!apic.globallyEnabled || apic.x2apic) return size === 4 ? 0xffff_ffff : (1 << (8 * size)) - 1;
  const register = at & 0xff0;
  if (!known.has(register)) {
    apic.raiseError(ESR.ILLEGAL_REGISTER);
    return 0;
  }
  return (at & 15) + size <= 4 ? localApicRegisters.read(apic, at, size) : 0;
}

export function writePage(apic: LocalApic, at: number, size: number, value: number): void {
  if (!apic.globallyEnabled || apic.x2apic || size !== 4 || (at & 15) !== 0 || at >= PAGE_BYTES) return;
  if (known.has(at)) localApicRegisters.write(apic, at, value);
  else apic.raiseError(ESR.ILLEGAL_REGISTER);
}

const MSR_APIC_BASE = 0x1b;
const MSR_TSC_DEADLINE = 0x6e0;
const MSR_X2APIC = 0x800;
const MSR_X2APIC_LAST = 0x8ff;
/** Registers that x2APIC mode lacks. */
const XAPIC_ONLY = new Set<number>([REG.APR, REG.RRD, REG.DFR, REG.ICR_HIGH]);
const WRITE_ONLY = new Set<number>([REG.EOI, REG.SELF_IPI]);
const READ_ONLY = new Set<number>([REG.ID, REG.VERSION, REG.PPR, REG.LDR, REG.TIMER_CURRENT]);
const ZERO_ONLY = new Set<number>([REG.EOI, REG.ESR]);

/** The value of the last successful `read`, in two halves so that no call allocates. */
export class LocalApicMsrs {
  readonly #apic: LocalApic;
  readonly #physicalBits: number;
  low = 0;
  high = 0;

  constructor(apic: LocalApic, physicalBits: number) {
    this.#apic = apic;
    this.#physicalBits = physicalBits;
  }

  /** False: the access raises #GP(0). */
  read(msr: number): boolean {
    const { state } = this.#apic;
    this.high = 0;
    if (msr === MSR_APIC_BASE) this.low = state.apicBase;
    else if (msr === MSR_TSC_DEADLINE) {
      this.low = state.deadlineLow;
      this.high = state.deadlineHigh;
    } else return this.#readX2(msr);
    return true;
  }

  #readX2(msr: number): boolean {
    const at = (msr - MSR_X2APIC) << 4;
    if (msr < MSR_X2APIC || msr > MSR_X2APIC_LAST || !this.#apic.x2apic) return false;
    if (!known.has(at) || XAPIC_ONLY.has(at) || WRITE_ONLY.has(at)) return false;
    this.low = localApicRegisters.read(this.#apic, at);
    if (at === REG.ICR) this.high = this.#apic.state.icrHigh;
    return true;
  }

  /** False: the access raises #GP(0). */
  write(msr: number, low: number, high: number): boolean {
    if (msr === MSR_APIC_BASE) return this.#writeBase(low, high);
    if (msr !== MSR_TSC_DEADLINE) return this.#writeX2(msr, low, high);
    this.#apic.writeDeadline(low, high);
    return true;
  }

  #writeX2(msr: number, low: number, high: number): boolean {
    const apic = this.#apic;
    const at = (msr - MSR_X2APIC) << 4;
    if (msr < MSR_X2APIC || msr > MSR_X2APIC_LAST || !apic.x2apic) return false;
    if (at === REG.SELF_IPI) {
      if (high !== 0 || low > 0xff) return false;
      apic.sendCommand(low | (1 << 18), 0);
      return true;
    }
    if (at === REG.ICR) {
      if ((low & ~ICR.WRITABLE) !== 0) return false;
      apic.state.icr = low;
      apic.state.icrHigh = high;
      apic.sendCommand(low, high);
      return true;
    }
    const isBank = at >= REG.ISR && at < REG.ESR;
    if (!known.has(at) || XAPIC_ONLY.has(at) || READ_ONLY.has(at) || isBank || high !== 0) return false;
    if ((ZERO_ONLY.has(at) && low !== 0) || (low & reservedBits(at)) !== 0) return false;
    localApicRegisters.write(apic, at, low);
    return true;
  }

  /** Legal transitions only: disabled, xAPIC, x2APIC, and from x2APIC only to disabled (SDM figure "Local x2APIC State Transitions"). */
  #writeBase(low: number, high: number): boolean {
    const { state } = this.#apic;
    const enabled = (low & APIC_BASE.ENABLE) !== 0;
    const extended = (low & APIC_BASE.X2APIC) !== 0;
    if ((low & 0x2ff) !== 0 || high >= 2 ** (this.#physicalBits - 32)) return false;
    if (extended && !enabled) return false;
    if (this.#apic.x2apic && enabled && !extended) return false;
    if (extended && !this.#apic.globallyEnabled) return false;
    const before = state.apicBase;
    state.apicBase = low >>> 0;
    if ((before & APIC_BASE.ENABLE) !== 0 && !enabled) this.#apic.initReset();
    this.#apic.settle();
    return true;
  }
}

function reservedBits(at: number): number {
  if (at === REG.TPR) return ~0xff;
  if (at === REG.SVR) return ~0x1ff;
  if (at === REG.TIMER_DIVIDE) return ~0xb;
  if (at >= REG.LVT_TIMER && at <= REG.LVT_ERROR) return ~(LVT_WRITABLE[(at - REG.LVT_TIMER) >> 4]! | 0x1000);
  return 0;
}
