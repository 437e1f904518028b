// The first serial port as the BIOS's console: what is written on the screen goes out as a terminal's stream (ECMA-48, UTF-8),
// and what is typed there becomes keys. Where nothing but characters and line ends are written, the stream is nothing else, so that
// it reads well in a log. Only the cells that change are sent; a cursor movement is sent with the next character.
import type { AddressSpace } from '../../bus/address-space.ts';
import type { ByteFifo } from '../../state/byte-fifo.ts';
import { LSR } from '../../devices/char/uart16550.ts';
import { CODE_PAGE_UTF8 } from './code-page.ts';

/** Room for a screenful of cells that differ in colour each, and some. */
export const OUTPUT_BYTES = 60_000;
/** Above this many bytes the services wait before they write more. */
const OUTPUT_BUSY = 512;

const UART = { DATA: 0, IER: 1, FCR: 2, LCR: 3, MCR: 4, LSR: 5 } as const;
const LCR = { EIGHT_BITS: 3, DIVISOR: 0x80 } as const;
const FCR_ENABLE = 7; // and clear both
const MCR_READY = 3; // DTR, RTS
export const NORMAL = 0x07;

/** Red, green and blue are bits 0 to 2 of a terminal's colours, 2 to 0 of the PC's. */
const COLOUR = [0, 4, 2, 6, 1, 5, 3, 7] as const;

export interface TerminalState {
  readonly output: ByteFifo;
  /** Where the terminal's cursor is; the row is 255 when that is not known. */
  row: number;
  column: number;
  attribute: number;
}
export const UNKNOWN = 255;

export class SerialConsole {
  readonly #ports: AddressSpace;
  readonly #base: number;
  /** Replaced as a whole when a state is restored. */
  state: TerminalState;

  constructor(ports: AddressSpace, base: number, state: TerminalState) {
    this.#ports = ports;
    this.#base = base;
    this.state = state;
  }

  /** 115,200 baud, eight bits. */
  start(): void {
    const write = (register: number, value: number): void => this.#ports.write(this.#base + register, 1, value);
    write(UART.LCR, LCR.DIVISOR | LCR.EIGHT_BITS);
    write(UART.DATA, 1);
    write(UART.IER, 0);
    write(UART.LCR, LCR.EIGHT_BITS);
    write(UART.IER, 0);
    write(UART.FCR, FCR_ENABLE);
    write(UART.MCR, MCR_READY);
  }

  get busy(): boolean {
    return this.state.output.length > OUTPUT_BUSY;
  }

  /** Sends what the port takes. */
  drain(): void {
    const { output } = this.state;
    while (output.length > 0 && (this.#ports.read(this.#base + UART.LSR, 1) & LSR.THR_EMPTY) !== 0) {
      this.#ports.write(this.#base + UART.DATA, 1, output.pop());
    }
  }

  /** A byte that was typed, -1 when there is none. */
  receive(): number {
    return (this.#ports.read(this.#base + UART.LSR, 1) & LSR.DATA) === 0 ? -1 : this.#ports.read(this.#base + UART.DATA, 1);
  }

  #send(text: string): void {
    for (let n = 0; n < text.length; n++) this.state.output.push(text.charCodeAt(n));
  }

  /** Carriage return, line feed and backspace as they are: the terminal does what the screen does. */
  control(code: number, row: number, column: number): void {
    const { state } = this;
    state.output.push(code);
    state.row = row;
    state.column = column;
  }

  bell(): void {
    this.state.output.push(7);
  }

  put(row: number, column: number, character: number, attribute: number, columns: number): void {
    const { state } = this;
    this.#moveTo(row, column);
    if (attribute !== state.attribute) this.#colour(attribute);
    for (const byte of CODE_PAGE_UTF8[character]!) state.output.push(byte);
    state.column++;
    if (state.column >= columns) state.row = UNKNOWN; // terminals differ in when they wrap
  }

  #moveTo(row: number, column: number): void {
    const { state } = this;
    if (state.row === row && state.column === column) return;
    this.#send(`\x1b[${row + 1};${column + 1}H`);
    state.row = row;
    state.column = column;
  }

  #colour(attribute: number): void {
    this.state.attribute = attribute;
    const parts = ['0'];
    if ((attribute & 8) !== 0) parts.push('1');
    if ((attribute & 7) !== (NORMAL & 7)) parts.push(`3${COLOUR[attribute & 7]}`);
    if ((attribute & 0x70) !== 0) parts.push(`4${COLOUR[(attribute >> 4) & 7]}`);
    this.#send(`\x1b[${parts.join(';')}m`);
  }

  clear(): void {
    if (this.state.attribute !== NORMAL) this.#colour(NORMAL);
    this.#send('\x1b[2J\x1b[H');
    this.state.row = 0;
    this.state.column = 0;
  }

  /** The whole screen moves up by lines; the lowest ones become empty. */
  scrollUp(lines: number, rows: number): void {
    const { state } = this;
    if (state.attribute !== NORMAL) this.#colour(NORMAL);
    if (state.row !== rows - 1) this.#moveTo(rows - 1, 0);
    for (let n = 0; n < lines; n++) state.output.push(10);
  }
}
