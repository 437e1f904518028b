// Counts what a machine's guest does, from now on: its code is interpreted by an executor that counts, and devices, faults and interrupts
// are noted as they come. Exact, and some ten times slower than the machine is otherwise.
import { addressAt, addressText } from '../profile/address.ts';
import { Counts, type Place } from '../profile/counts.ts';
import { GuestMemory } from '../profile/guest-memory.ts';
import { LinuxKernel } from '../profile/linux-kernel.ts';
import { codeName, type SymbolSource } from '../profile/symbols.ts';
import { buildCountedProfile, type CountedProfile } from '../profile/counts-report.ts';
import { cpuOffset } from '../cpu/x86/state.ts';
import type { Machine } from './machine.ts';

const VECTOR_PF = 14;
const KINDS = ['exception', 'software', 'external', 'NMI', 'INT1'];
/** Ends of slices between two looks for the kernel. */
const LOOK_EVERY = 64;

export class MachineCounts {
  readonly #machine: Machine;
  readonly #counts: Counts;
  readonly #memory: GuestMemory;
  readonly #kernel: LinuxKernel;
  #untilLook = 0;

  /** `interpreter` is interpreter-counting.wasm. The machine must not have run yet, or stand between two turns. */
  constructor(machine: Machine, interpreter: WebAssembly.Module, symbols: SymbolSource | undefined) {
    this.#machine = machine;
    const { vcpu, memory, board } = machine;
    this.#memory = new GuestMemory(vcpu.u32, vcpu.area, memory.ramBytes);
    this.#kernel = new LinuxKernel(this.#memory, vcpu.area, symbols);
    vcpu.regions.options = { ...vcpu.regions.options, promoteAt: 0 };
    vcpu.regions.flush();
    vcpu.set32('promoteAt', 0);
    vcpu.useInterpreter(interpreter);
    this.#counts = new Counts(vcpu.u32, vcpu.area);
    vcpu.onNotes = () => this.#take();
    vcpu.onExit = (reason) => this.#counts.exit(reason);
    vcpu.traceInterrupts = true;
    machine.onInterrupt = (vector, error, kind) => this.#interrupted(vector, error, kind);
    for (const space of [board.bus.ports, board.bus.mmio]) {
      space.onAccess = ({ name }, bytes, isWrite) => this.#counts.access(`${space.name} ${name}`, bytes, isWrite, this.#place());
    }
  }

  #at(field: string): number {
    const { vcpu } = this.#machine;
    return addressAt(vcpu.u32, (vcpu.area + cpuOffset(field)) >> 2);
  }

  /** Of the block that runs. */
  #place(): Place {
    const { vcpu } = this.#machine;
    return { rip: this.#at('rip'), space: ((vcpu.get32('cr3') & ~0xfff) | vcpu.get32('cpl')) >>> 0 };
  }

  #take(): void {
    this.#noteTask(); // first: what it did since the last look is its own, not that of whom its page tables were before
    this.#counts.take();
    if (--this.#untilLook < 0) {
      this.#untilLook = this.#kernel.look() ? 0 : LOOK_EVERY;
    }
  }

  /** Whose page tables these are. */
  #noteTask(): void {
    const { vcpu } = this.#machine;
    if (!this.#kernel.isLinux || vcpu.get32('cpl') !== 3) return;
    this.#memory.begin();
    const address = this.#kernel.nameAddress(this.#kernel.currentTask());
    const name = Number.isNaN(address) ? '' : this.#kernel.taskName(address);
    if (name !== '') this.#counts.programs.named((vcpu.get32('cr3') & ~0xfff) >>> 0, name);
  }

  #interrupted(vector: number, error: number, kind: number): void {
    this.#counts.interrupt(`${KINDS[kind] ?? 'other'} ${vector}`);
    if (vector !== VECTOR_PF || kind !== 0) return;
    const { symbols, isLinux } = this.#kernel;
    const address = this.#at('cr2');
    const page = address - (((address % 4096) + 4096) % 4096);
    this.#counts.fault(`${addressText(page)} ${causeOf(error)} in ${codeName({ symbols, isLinux }, this.#at('rip'), (error & 4) !== 0)}`);
  }

  profile(): CountedProfile {
    this.#take();
    this.#untilLook = 0;
    while (this.#kernel.look());
    const { symbols, isLinux, modules } = this.#kernel;
    modules.refresh(true);
    return buildCountedProfile(this.#counts, { symbols, isLinux, modules });
  }
}

/** The error code of #PF (SDM 3A 4.7). */
function causeOf(error: number): string {
  const access = (error & 16) !== 0 ? 'fetch' : (error & 2) !== 0 ? 'write' : 'read';
  const why = (error & 8) !== 0 ? 'reserved bit' : (error & 1) !== 0 ? 'not allowed' : 'not present';
  return `${(error & 4) !== 0 ? 'user' : 'kernel'} ${access}, ${why}`;
}
