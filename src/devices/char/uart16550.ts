// The 16550A UART (National PC16550D): the chip, with its two FIFOs and one interrupt line. Where it sits on a PC is in
// isa-serial.ts. Bits are not timed: a byte leaves at once if the back end takes it. Only the receive time-out is an alarm.
// QUIRK: OUT2 does not gate the interrupt, because guests exist that never set it and work on other emulated PCs.
import type { Device, ResetPhase } from '../../bus/device.ts';
import { RegisterFile } from '../../bus/register-file.ts';
import type { CharBackend, CharFrontEnd } from '../../ports/char-backend.ts';
import type { Timer, Timers } from '../../ports/clock.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import { bool, fifo, nanoseconds, u16, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { trace } from './trace.ts';

const FIFO_BYTES = 16;
const BAUD_BASE = 115_200;
export const IER = { RECEIVE: 1, TRANSMIT: 2, LINE: 4, MODEM: 8, ALL: 15 } as const;
export const IIR = { NONE: 1, MODEM: 0, TRANSMIT: 2, RECEIVE: 4, LINE: 6, TIMEOUT: 12, FIFOS: 0xc0 } as const;
const FCR = { ENABLE: 1, CLEAR_RX: 2, CLEAR_TX: 4, TRIGGER: 0xc0 } as const;
const LCR = { DIVISOR: 0x80, STOP2: 4, PARITY: 8 } as const;
const MCR = { DTR: 1, RTS: 2, OUT1: 4, OUT2: 8, LOOP: 16, ALL: 31 } as const;
export const LSR = { DATA: 1, OVERRUN: 2, PARITY: 4, FRAMING: 8, BREAK: 16, THR_EMPTY: 32, IDLE: 64, ERRORS: 0x1e } as const;
const MSR = { CTS: 0x10, DSR: 0x20, RI: 0x40, DCD: 0x80, DELTA_CTS: 1, DELTA_DSR: 2, RI_ENDED: 4, DELTA_DCD: 8, DELTAS: 15 } as const;
const TRIGGER_LEVELS = [1, 4, 8, 14] as const;

export const uartState = defineState({
  kind: 'uart16550',
  version: 1,
  fields: {
    ier: u8(0, IER.ALL),
    fcr: u8(),
    lcr: u8(3),
    mcr: u8(0, MCR.ALL),
    scr: u8(),
    lsr: u8(LSR.THR_EMPTY | LSR.IDLE), // DATA, THR_EMPTY and IDLE are those of the FIFOs
    msr: u8(),
    divisor: u16(12),
    receiveBuffer: u8(), // the last byte read, which an empty register repeats
    rx: fifo(FIFO_BYTES),
    tx: fifo(FIFO_BYTES),
    threPending: bool(), // the transmitter-empty interrupt was not yet acknowledged
    timeoutAt: nanoseconds(Infinity), // when bytes below the trigger level are reported
    timeout: bool(),
  },
});
export type UartState = ReturnType<typeof uartState.initial>;

export interface UartWires {
  readonly irq: IrqLine;
  readonly timers: Timers;
  /** Absent: nothing is connected. */
  readonly backend?: CharBackend | undefined;
}

export class Uart16550 implements Device<UartState>, CharFrontEnd {
  readonly schema = uartState;
  state = uartState.initial();
  readonly #wires: UartWires;
  readonly #timeoutAlarm: Timer;
  /** One byte for the back end, so that no write allocates. */
  readonly #single = new Uint8Array(1);

  constructor(wires: UartWires) {
    this.#wires = wires;
    this.#timeoutAlarm = wires.timers.createTimer(() => this.#receiveTimeout(), 'uart-timeout');
    this.state.msr = this.#modemInputs();
    wires.backend?.connect(this);
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') {
      this.state = uartState.initial();
      this.state.msr = this.#modemInputs();
    } else this.settle();
  }

  settle(): void {
    this.#timeoutAlarm.armAt(this.state.timeoutAt);
    this.#driveInterrupt();
    this.#drain();
    if (this.canReceive() > 0) this.#wires.backend?.acceptInput();
  }

  get #fifoEnabled(): boolean {
    return (this.state.fcr & FCR.ENABLE) !== 0;
  }

  get #loopback(): boolean {
    return (this.state.mcr & MCR.LOOP) !== 0;
  }

  get #receiveTrigger(): number {
    return this.#fifoEnabled ? TRIGGER_LEVELS[(this.state.fcr >> 6) as 0 | 1 | 2 | 3] : 1;
  }

  /** The interrupt of highest priority, as IIR shows it. */
  get interrupt(): number {
    const { state } = this;
    if ((state.ier & IER.LINE) !== 0 && (state.lsr & LSR.ERRORS) !== 0) return IIR.LINE;
    if ((state.ier & IER.RECEIVE) !== 0) {
      if (state.rx.length >= this.#receiveTrigger) return IIR.RECEIVE;
      if (state.timeout) return IIR.TIMEOUT;
    }
    if ((state.ier & IER.TRANSMIT) !== 0 && state.threPending) return IIR.TRANSMIT;
    if ((state.ier & IER.MODEM) !== 0 && (state.msr & MSR.DELTAS) !== 0) return IIR.MODEM;
    return IIR.NONE;
  }

  #driveInterrupt(): void {
    this.#wires.irq.set(this.interrupt !== IIR.NONE);
  }

  // Receiver

  canReceive(): number {
    return this.#loopback ? 0 : this.#receiveRoom();
  }

  #receiveRoom(): number {
    const { rx } = this.state;
    return this.#fifoEnabled ? rx.room : 1 - Math.min(1, rx.length);
  }

  receive(bytes: Uint8Array): void {
    for (const byte of bytes) this.#arrived(byte);
    this.#driveInterrupt();
  }

  event(event: string): void {
    if (event !== 'break' || this.#loopback) return;
    this.#arrived(0);
    this.state.lsr |= LSR.BREAK;
    this.#driveInterrupt();
  }

  #arrived(byte: number): void {
    const { state } = this;
    if (this.#receiveRoom() === 0) {
      trace.uartOverrun?.({ byte });
      state.lsr |= LSR.OVERRUN;
      return;
    }
    trace.uartReceive?.({ byte });
    state.rx.push(byte);
    state.lsr |= LSR.DATA;
    this.#armTimeout();
  }

  /** Four character times without a byte or a read. */
  #armTimeout(): void {
    const { state } = this;
    state.timeoutAt =
      this.#fifoEnabled && state.rx.length > 0 && !state.timeout ? this.#wires.timers.now() + 4 * this.#characterNs() : Infinity;
    this.#timeoutAlarm.armAt(state.timeoutAt);
  }

  #characterNs(): number {
    const { lcr, divisor } = this.state;
    const bits = 7 + (lcr & 3) + ((lcr & LCR.STOP2) !== 0 ? 1 : 0) + ((lcr & LCR.PARITY) !== 0 ? 1 : 0);
    return Math.ceil((bits * Math.max(1, divisor) * 1e9) / BAUD_BASE);
  }

  #receiveTimeout(): void {
    this.state.timeoutAt = Infinity;
    this.state.timeout = this.state.rx.length > 0;
    this.#driveInterrupt();
  }

  popReceived(): number {
    const { state } = this;
    const byte = state.rx.pop();
    if (byte >= 0) state.receiveBuffer = byte;
    if (state.rx.length === 0) state.lsr &= ~LSR.DATA;
    state.timeout = false;
    this.#armTimeout();
    this.#driveInterrupt();
    if (byte >= 0 && !this.#loopback) this.#wires.backend?.acceptInput();
    return state.receiveBuffer;
  }

  // Transmitter

  transmit(byte: number): void {
    const { state } = this;
    trace.uartTransmit?.({ byte });
    state.threPending = false;
    if (this.#loopback) {
      this.#arrived(byte);
      this.#transmitterEmpty();
    } else if (state.tx.length > 0 || !this.#send(byte)) {
      // The back end is full. Without FIFOs there is one holding register, which a further byte overwrites.
      if (!this.#fifoEnabled) state.tx.clear();
      state.tx.push(byte);
      state.lsr &= ~(LSR.THR_EMPTY | LSR.IDLE);
    } else this.#transmitterEmpty();
    this.#driveInterrupt();
  }

  #send(byte: number): boolean {
    const { backend } = this.#wires;
    if (backend === undefined) return true;
    this.#single[0] = byte;
    return backend.write(this.#single) === 1;
  }

  #transmitterEmpty(): void {
    this.state.lsr |= LSR.THR_EMPTY | LSR.IDLE;
    this.state.threPending = true;
  }

  writable(): void {
    this.#drain();
    this.#driveInterrupt();
  }

  #drain(): void {
    const { tx } = this.state;
    if (tx.length === 0) return;
    while (tx.length > 0 && this.#send(tx.peek())) tx.pop();
    if (tx.length === 0) this.#transmitterEmpty();
  }

  // Registers

  writeInterruptEnable(value: number): void {
    const { state } = this;
    const started = (value & ~state.ier & IER.TRANSMIT) !== 0;
    state.ier = value & IER.ALL;
    if (started && (state.lsr & LSR.THR_EMPTY) !== 0) state.threPending = true;
    this.#driveInterrupt();
  }

  readInterrupt(): number {
    const { interrupt } = this;
    if (interrupt === IIR.TRANSMIT) {
      this.state.threPending = false;
      this.#driveInterrupt();
    }
    return interrupt | (this.#fifoEnabled ? IIR.FIFOS : 0);
  }

  writeFifoControl(value: number): void {
    const { state } = this;
    const toggled = ((value ^ state.fcr) & FCR.ENABLE) !== 0;
    if (toggled || (value & FCR.CLEAR_RX) !== 0) {
      state.rx.clear();
      state.lsr &= ~(LSR.DATA | LSR.BREAK);
      state.timeout = false;
    }
    if ((toggled || (value & FCR.CLEAR_TX) !== 0) && state.tx.length > 0) {
      state.tx.clear();
      this.#transmitterEmpty();
    }
    state.fcr = (value & FCR.ENABLE) !== 0 ? value & (FCR.ENABLE | FCR.TRIGGER) : 0;
    this.#armTimeout();
    this.#driveInterrupt();
    if (this.canReceive() > 0) this.#wires.backend?.acceptInput();
  }

  readLineStatus(): number {
    const { lsr } = this.state;
    this.state.lsr = lsr & ~LSR.ERRORS;
    this.#driveInterrupt();
    return lsr;
  }

  /** After a write to MCR: in loopback the outputs are the modem inputs. */
  modemControlChanged(): void {
    const { state } = this;
    const inputs = this.#modemInputs();
    const changed = (inputs ^ state.msr) & 0xf0;
    const ended = changed & ~inputs & MSR.RI;
    state.msr = inputs | (state.msr & MSR.DELTAS) | ((changed >> 4) & ~MSR.RI_ENDED) | (ended !== 0 ? MSR.RI_ENDED : 0);
    this.#driveInterrupt();
    if (this.canReceive() > 0) this.#wires.backend?.acceptInput();
  }

  #modemInputs(): number {
    const { mcr } = this.state;
    if (!this.#loopback) return MSR.CTS | MSR.DSR | MSR.DCD;
    return (
      ((mcr & MCR.RTS) !== 0 ? MSR.CTS : 0) |
      ((mcr & MCR.DTR) !== 0 ? MSR.DSR : 0) |
      ((mcr & MCR.OUT1) !== 0 ? MSR.RI : 0) |
      ((mcr & MCR.OUT2) !== 0 ? MSR.DCD : 0)
    );
  }

  readModemStatus(): number {
    const { msr } = this.state;
    this.state.msr = msr & ~MSR.DELTAS;
    this.#driveInterrupt();
    return msr;
  }
}

const divisor = (uart: Uart16550): boolean => (uart.state.lcr & LCR.DIVISOR) !== 0;

export const uartRegisters = new RegisterFile<Uart16550>('uart16550', 1, [
  {
    at: 0,
    name: 'DLL',
    when: divisor,
    read: (uart) => uart.state.divisor & 0xff,
    write: (uart, value) => {
      uart.state.divisor = (uart.state.divisor & 0xff00) | value;
    },
  },
  { at: 0, name: 'RBR/THR', read: (uart) => uart.popReceived(), write: (uart, value) => uart.transmit(value) },
  {
    at: 1,
    name: 'DLM',
    when: divisor,
    read: (uart) => uart.state.divisor >> 8,
    write: (uart, value) => {
      uart.state.divisor = (uart.state.divisor & 0xff) | (value << 8);
    },
  },
  { at: 1, name: 'IER', field: 'ier', write: (uart, value) => uart.writeInterruptEnable(value) },
  { at: 2, name: 'IIR/FCR', read: (uart) => uart.readInterrupt(), write: (uart, value) => uart.writeFifoControl(value) },
  { at: 3, name: 'LCR', field: 'lcr', writable: 0xff },
  { at: 4, name: 'MCR', field: 'mcr', writable: MCR.ALL, after: (uart) => uart.modemControlChanged() },
  { at: 5, name: 'LSR', read: (uart) => uart.readLineStatus(), write: () => {} },
  { at: 6, name: 'MSR', read: (uart) => uart.readModemStatus(), write: () => {} },
  { at: 7, name: 'SCR', field: 'scr', writable: 0xff },
]);
