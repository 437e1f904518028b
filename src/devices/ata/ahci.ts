// An AHCI host bus adapter (AHCI 1.3.1): the generic registers, its ports, and the interrupt that they share. Where it is on a bus is
// the attachment's (ich9-ahci.ts). No command completion coalescing, no enclosure management.
import type { Device, ResetPhase } from '../../bus/device.ts';
import { RegisterFile, type RegisterRow } from '../../bus/register-file.ts';
import type { DmaMemory } from '../../ports/dma.ts';
import type { Timer, Timers } from '../../ports/clock.ts';
import { array, bool, struct, u32 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { AhciPort, ahciPortFields } from './ahci-port.ts';
import { trace } from './trace.ts';

export const AHCI_PORTS = 6;
export const AHCI_BYTES = 0x1000;
const PORT_BASE = 0x100;
const PORT_BYTES = 0x80;
const GLOBAL = { RESET: 1, INTERRUPT: 2, ENABLE: 0x8000_0000 } as const;
/** 64-bit addresses, queuing, list override, first generation links, AHCI only, 32 slots. */
const CAPABILITIES = (0x8000_0000 | 0x4000_0000 | 0x0100_0000 | 0x0010_0000 | 0x0004_0000 | (31 << 8) | (AHCI_PORTS - 1)) >>> 0;
const VERSION = 0x0001_0300;

export const ahciState = defineState({
  kind: 'ahci',
  version: 1,
  fields: { control: u32(), interruptStatus: u32(), resetPending: bool(), ports: array(struct(ahciPortFields), AHCI_PORTS) },
});
export type AhciState = ReturnType<typeof ahciState.initial>;

export interface AhciWires {
  readonly memory: DmaMemory;
  readonly timers: Timers;
  readonly interrupt: (level: boolean) => void;
  /** A bit of the interrupt status was set: an edge for a message. */
  readonly message: () => void;
}

export class Ahci implements Device<AhciState> {
  readonly schema = ahciState;
  state = ahciState.initial();
  readonly ports: readonly AhciPort[];
  readonly #wires: AhciWires;
  /** Goes on with batches that were too long for one turn. */
  readonly #continuation: Timer;

  constructor(wires: AhciWires) {
    this.#wires = wires;
    this.#continuation = wires.timers.createTimer(() => this.#continue(), 'ahci');
    this.ports = Array.from({ length: AHCI_PORTS }, (_, number) => new AhciPort({
      number, memory: wires.memory,
      state: () => this.state.ports[number]!,
      interruptChanged: () => this.#interruptChanged(1 << number),
      later: () => this.#continuation.armAt(wires.timers.now()),
      becameIdle: () => this.#resetWhenIdle(),
    }));
  }

  reset(phase: ResetPhase): void {
    if (phase === 'settle') return this.settle();
    this.state = ahciState.initial();
    for (const port of this.ports) {
      port.forget();
      port.connect();
    }
  }

  settle(): void {
    this.#drive();
    if (this.state.ports.some((port) => port.deferred)) this.#continuation.armAt(this.#wires.timers.now());
    else this.#continuation.disarm();
  }

  #continue(): void {
    for (const port of this.ports) if (port.state.deferred) port.process();
  }

  #drive(): void {
    this.#wires.interrupt(this.state.interruptStatus !== 0 && (this.state.control & GLOBAL.INTERRUPT) !== 0);
  }

  /** Collects the interrupts of some ports into the status register, where those of the others are. */
  #interruptChanged(ports: number): void {
    const { state } = this;
    const before = state.interruptStatus;
    for (let number = 0; number < AHCI_PORTS; number++) {
      if ((ports & (1 << number)) !== 0 && this.ports[number]!.interrupting) state.interruptStatus |= 1 << number;
    }
    this.#drive();
    if ((state.interruptStatus & ~before) !== 0 && (state.control & GLOBAL.INTERRUPT) !== 0) this.#wires.message();
  }

  clearInterrupts(ones: number): void {
    this.state.interruptStatus = (this.state.interruptStatus & ~ones) >>> 0;
    this.#interruptChanged(ones);
  }

  readControl(): number {
    const { control, resetPending } = this.state;
    return (GLOBAL.ENABLE | control | (resetPending ? GLOBAL.RESET : 0)) >>> 0;
  }

  writeControl(value: number): void {
    const { state } = this;
    if ((value & GLOBAL.RESET) !== 0) {
      state.resetPending = true;
      return this.#resetWhenIdle();
    }
    const enabled = (value & ~state.control & GLOBAL.INTERRUPT) !== 0;
    state.control = value & GLOBAL.INTERRUPT;
    this.#drive();
    if (enabled && state.interruptStatus !== 0) this.#wires.message();
  }

  /** A reset that the host asked for begins when no request is in a drive any more; it reads as pending until then. */
  #resetWhenIdle(): void {
    if (!this.state.resetPending || this.ports.some((port) => !port.idle)) return;
    trace.reset?.({ device: 'ahci' });
    const before = this.state.ports;
    this.reset('enter');
    this.state.ports.forEach((port, number) => {
      const { listLow, listHigh, receivedLow, receivedHigh } = before[number]!;
      Object.assign(port, { listLow, listHigh, receivedLow, receivedHigh });
    });
    this.settle();
  }
}

const portRows = (number: number): RegisterRow<Ahci>[] => {
  const at = PORT_BASE + PORT_BYTES * number;
  const port = (ahci: Ahci): AhciPort => ahci.ports[number]!;
  const name = (register: string): string => `P${number}${register}`;
  type Access = Pick<RegisterRow<Ahci>, 'read' | 'write'>;
  const address = (field: 'listLow' | 'listHigh' | 'receivedLow' | 'receivedHigh', mask: number): Access => ({
    read: (ahci) => port(ahci).state[field],
    write: (ahci, value) => { port(ahci).state[field] = (value & mask) >>> 0; },
  });
  // prettier-ignore
  return [
    { at, name: name('CLB'), ...address('listLow', 0xffff_fc00) },
    { at: at + 0x04, name: name('CLBU'), ...address('listHigh', 0xffff_ffff) },
    { at: at + 0x08, name: name('FB'), ...address('receivedLow', 0xffff_ff00) },
    { at: at + 0x0c, name: name('FBU'), ...address('receivedHigh', 0xffff_ffff) },
    { at: at + 0x10, name: name('IS'), read: (ahci) => port(ahci).interruptStatus, write: (ahci, value) => port(ahci).clearInterrupts(value) },
    { at: at + 0x14, name: name('IE'), read: (ahci) => port(ahci).state.interruptEnable, write: (ahci, value) => port(ahci).enableInterrupts(value) },
    { at: at + 0x18, name: name('CMD'), read: (ahci) => port(ahci).readCommand(), write: (ahci, value) => port(ahci).writeCommand(value) },
    { at: at + 0x20, name: name('TFD'), read: (ahci) => port(ahci).state.taskFile },
    { at: at + 0x24, name: name('SIG'), read: (ahci) => port(ahci).state.signature },
    { at: at + 0x28, name: name('SSTS'), read: (ahci) => port(ahci).readSerialStatus() },
    { at: at + 0x2c, name: name('SCTL'), read: (ahci) => port(ahci).state.control, write: (ahci, value) => port(ahci).writeSerialControl(value) },
    { at: at + 0x30, name: name('SERR'), read: (ahci) => port(ahci).state.serialError, write: (ahci, value) => port(ahci).clearSerialErrors(value) },
    { at: at + 0x34, name: name('SACT'), read: (ahci) => port(ahci).state.active, write: (ahci, value) => port(ahci).activate(value) },
    { at: at + 0x38, name: name('CI'), read: (ahci) => port(ahci).state.issued, write: (ahci, value) => port(ahci).issue(value) },
    { at: at + 0x3c, name: name('SNTF'), constant: 0 },
    { at: at + 0x40, name: name('FBS'), constant: 0 },
  ];
};

export const ahciRegisters = new RegisterFile<Ahci>('ahci', 4, [
  { at: 0x00, name: 'CAP', constant: CAPABILITIES },
  { at: 0x04, name: 'GHC', read: (ahci) => ahci.readControl(), write: (ahci, value) => ahci.writeControl(value) },
  { at: 0x08, name: 'IS', read: (ahci) => ahci.state.interruptStatus, write: (ahci, value) => ahci.clearInterrupts(value) },
  { at: 0x0c, name: 'PI', constant: 2 ** AHCI_PORTS - 1 },
  { at: 0x10, name: 'VS', constant: VERSION },
  { at: 0x14, name: 'CCC_CTL', constant: 0 },
  { at: 0x18, name: 'CCC_PORTS', constant: 0 },
  { at: 0x1c, name: 'EM_LOC', constant: 0 },
  { at: 0x20, name: 'EM_CTL', constant: 0 },
  { at: 0x24, name: 'CAP2', constant: 0 },
  { at: 0x28, name: 'BOHC', constant: 0 },
  ...Array.from({ length: AHCI_PORTS }, (_, number) => portRows(number)).flat(),
]);
