// The 80 by 25 text screen: cells that INT 10h writes, kept here, shown in the display's memory at B8000 and, where there is one,
// on the serial console. Cursor and mode are in the BIOS data area, where programs look for them.
// QUIRK: the built-in BIOS has one video page and no graphics modes; a mode that is asked for leaves text mode on.
import { BDA } from './data-area.ts';
import { NORMAL, type SerialConsole } from './serial-console.ts';
import type { GuestMemory } from './guest-memory.ts';

export const COLUMNS = 80;
export const ROWS = 25;
export const CELLS_BYTES = COLUMNS * ROWS * 2;
const TEXT_MEMORY = 0xb8000;
const TAB_COLUMNS = 8;
const CURSOR_NORMAL = 0x0607;
const CODE = { BELL: 7, BACKSPACE: 8, TAB: 9, LINE_FEED: 10, RETURN: 13 } as const;
const SPACE = 0x20;

export interface ScreenState {
  /** Character and attribute of each cell, row by row. */
  readonly cells: Uint8Array;
}

export interface Window {
  readonly top: number;
  readonly left: number;
  readonly bottom: number;
  readonly right: number;
}
const WHOLE: Window = { top: 0, left: 0, bottom: ROWS - 1, right: COLUMNS - 1 };

export class Screen {
  readonly #memory: GuestMemory;
  readonly serial: SerialConsole | undefined;
  state: ScreenState;

  constructor(memory: GuestMemory, serial: SerialConsole | undefined, state: ScreenState) {
    this.#memory = memory;
    this.serial = serial;
    this.state = state;
  }

  /** What the BIOS data area says of an 80 by 25 colour text mode; the screen empty if wanted. */
  setMode(mode: number, clear: boolean): void {
    const memory = this.#memory;
    memory.write8(BDA.VIDEO_MODE, mode);
    memory.write16(BDA.COLUMNS, COLUMNS);
    memory.write16(BDA.PAGE_BYTES, 0x1000);
    memory.write16(BDA.PAGE_START, 0);
    memory.write8(BDA.PAGE, 0);
    memory.write16(BDA.CRTC_PORT, 0x3d4);
    memory.write8(BDA.ROWS, ROWS - 1);
    memory.write16(BDA.CHARACTER_HEIGHT, 16);
    memory.write8(BDA.EGA_INFO, 0x60);
    memory.write8(BDA.EGA_SWITCHES, 0xf9);
    memory.write8(BDA.VGA_FLAGS, 0x51);
    memory.write8(BDA.DISPLAY_COMBINATION, 0x08);
    memory.write16(BDA.CURSOR_SHAPE, CURSOR_NORMAL);
    for (let page = 0; page < 8; page++) memory.write16(BDA.CURSORS + 2 * page, 0);
    if (!clear) return;
    for (let n = 0; n < COLUMNS * ROWS; n++) this.#store(n, SPACE, NORMAL);
    this.serial?.clear();
  }

  get row(): number {
    return Math.min(ROWS - 1, this.#memory.read8(BDA.CURSORS + 1));
  }
  get column(): number {
    return Math.min(COLUMNS - 1, this.#memory.read8(BDA.CURSORS));
  }
  moveTo(row: number, column: number): void {
    this.#memory.write8(BDA.CURSORS, Math.min(COLUMNS - 1, column));
    this.#memory.write8(BDA.CURSORS + 1, Math.min(ROWS - 1, row));
  }

  cellAt(row: number, column: number): number {
    const at = (row * COLUMNS + column) * 2;
    return this.state.cells[at]! | (this.state.cells[at + 1]! << 8);
  }

  #store(cell: number, character: number, attribute: number): void {
    const { cells } = this.state;
    cells[cell * 2] = character;
    cells[cell * 2 + 1] = attribute;
    this.#memory.write16(TEXT_MEMORY + cell * 2, character | (attribute << 8));
  }

  /** Changes a cell; the serial console is told if it is not what it shows anyway, or has to be. */
  put(row: number, column: number, character: number, attribute: number, always = false): void {
    if (!always && this.cellAt(row, column) === (character | (attribute << 8))) return;
    this.#store(row * COLUMNS + column, character, attribute);
    this.serial?.put(row, column, character, attribute, COLUMNS);
  }

  /** Writes at the cursor and moves it, as a teletype does. An attribute that is absent stays what it is there. */
  type(character: number, attribute?: number): void {
    const { row, column } = this;
    switch (character) {
      case CODE.BELL:
        return this.serial?.bell();
      case CODE.BACKSPACE:
        return this.#control(character, row, Math.max(0, column - 1));
      case CODE.RETURN:
        return this.#control(character, row, 0);
      case CODE.LINE_FEED:
        return this.#lineFeed(row, column);
      case CODE.TAB: {
        const end = column - (column % TAB_COLUMNS) + TAB_COLUMNS;
        for (let n = column; n < end; n++) this.type(SPACE, attribute);
        return;
      }
      default:
        this.#typeCharacter(row, column, character, attribute);
    }
  }

  #typeCharacter(row: number, column: number, character: number, attribute = this.cellAt(row, column) >> 8): void {
    this.#store(row * COLUMNS + column, character, attribute);
    this.serial?.put(row, column, character, attribute, COLUMNS);
    if (column + 1 < COLUMNS) this.moveTo(row, column + 1);
    else {
      this.moveTo(row, 0);
      this.#lineFeed(row, 0);
    }
  }

  #control(code: number, row: number, column: number): void {
    const sent = this.serial?.state;
    // Only where the terminal's cursor is the screen's does the same code do the same there.
    if (sent?.row === this.row && sent.column === this.column) this.serial!.control(code, row, column);
    this.moveTo(row, column);
  }

  #lineFeed(row: number, column: number): void {
    if (row === ROWS - 1) {
      this.scroll(WHOLE, 1, NORMAL);
      this.moveTo(row, column);
    } else this.#control(CODE.LINE_FEED, row + 1, column);
  }

  /** Up by `lines`, down by as many when negative; all of the window when that many are not there. */
  scroll(window: Window, lines: number, attribute: number): void {
    const bottom = Math.min(window.bottom, ROWS - 1);
    const right = Math.min(window.right, COLUMNS - 1);
    const { top, left } = window;
    if (top > bottom || left > right) return;
    const height = bottom - top + 1;
    const whole = top === 0 && left === 0 && bottom === ROWS - 1 && right === COLUMNS - 1;
    const all = lines === 0 || Math.abs(lines) >= height;
    if (whole && all && attribute === NORMAL) return this.#empty();
    const streamed = whole && !all && lines > 0 && attribute === NORMAL;
    if (streamed) this.serial?.scrollUp(lines, ROWS);
    const cells = this.state.cells.slice();
    for (let row = top; row <= bottom; row++) {
      const source = row + lines;
      const empty = all || source < top || source > bottom;
      for (let column = left; column <= right; column++) {
        const at = (source * COLUMNS + column) * 2;
        const character = empty ? SPACE : cells[at]!;
        const colour = empty ? attribute : cells[at + 1]!;
        if (streamed) this.#store(row * COLUMNS + column, character, colour);
        else this.put(row, column, character, colour);
      }
    }
  }

  #empty(): void {
    for (let n = 0; n < COLUMNS * ROWS; n++) this.#store(n, SPACE, NORMAL);
    this.serial?.clear();
  }

  /** Text of the BIOS itself. */
  write(text: string): void {
    for (const character of text) {
      if (character === '\n') this.type(CODE.RETURN);
      this.type(Math.min(character.codePointAt(0)!, 0xff));
    }
  }
}
