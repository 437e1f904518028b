// INT 10h: text output. VESA calls (AH=4Fh) and functions of graphics are answered as not supported.
import { BDA } from './data-area.ts';
import { COLUMNS, ROWS, type Screen } from './screen.ts';
import type { Answer, ServiceCall } from './service.ts';

const MODE_TEXT = 3;
const MODES_TEXT_MAX = 3;
const KEEP_SCREEN = 0x80;
const CELLS = COLUMNS * ROWS;

/** Some functions return nothing even for success: AX stays what it is. */
export function videoService(call: ServiceCall, screen: Screen): Answer {
  const { registers: r } = call;
  if (screen.serial !== undefined) {
    screen.serial.drain();
    if (screen.serial.busy) return 'again';
  }
  FUNCTIONS[r.ah]?.(call, screen);
  screen.serial?.drain();
  return 'done';
}

const FUNCTIONS: Readonly<Record<number, (call: ServiceCall, screen: Screen) => void>> = {
  0x00: ({ registers: r }, screen) => {
    const mode = r.al & ~KEEP_SCREEN;
    screen.setMode(mode <= MODES_TEXT_MAX ? mode : MODE_TEXT, (r.al & KEEP_SCREEN) === 0);
    r.al = mode <= MODES_TEXT_MAX ? 0x30 : 0x20;
  },
  0x01: ({ registers: r, memory }) => memory.write16(BDA.CURSOR_SHAPE, r.cx),
  0x02: ({ registers: r }, screen) => screen.moveTo(r.dh, r.dl),
  0x03: ({ registers: r, memory }, screen) => {
    r.cx = memory.read16(BDA.CURSOR_SHAPE);
    r.dh = screen.row;
    r.dl = screen.column;
  },
  0x06: ({ registers: r }, screen) => screen.scroll({ top: r.ch, left: r.cl, bottom: r.dh, right: r.dl }, r.al, r.bh),
  0x07: ({ registers: r }, screen) => screen.scroll({ top: r.ch, left: r.cl, bottom: r.dh, right: r.dl }, -r.al, r.bh),
  0x08: ({ registers: r }, screen) => {
    r.ax = screen.cellAt(screen.row, screen.column);
  },
  0x09: ({ registers: r }, screen) => repeat(screen, r.cx, r.al, r.bl),
  0x0a: ({ registers: r }, screen) => repeat(screen, r.cx, r.al, undefined),
  0x0e: ({ registers: r }, screen) => screen.type(r.al),
  0x0f: ({ registers: r, memory }) => {
    r.ah = COLUMNS;
    r.al = memory.read8(BDA.VIDEO_MODE);
    r.bh = memory.read8(BDA.PAGE);
  },
  0x11: ({ registers: r }) => {
    if (r.al !== 0x30) return; // only what the character set is
    r.cx = 16;
    r.dl = ROWS - 1;
  },
  0x12: ({ registers: r }) => {
    if (r.bl === 0x10) {
      r.bx = 0x0003; // colour, 256 KiB
      r.cx = 0x0009;
    } else if (r.bl >= 0x30 && r.bl <= 0x36) r.al = 0x12;
  },
  0x13: writeString,
  0x1a: ({ registers: r }) => {
    if (r.al !== 0) return;
    r.al = 0x1a;
    r.bx = 0x0008;
  },
  // VBE: AL = 4Fh would mean that the function is supported, AH = 1 that it failed.
  0x4f: ({ registers: r }) => {
    r.ax = 0x0100;
  },
};

/** Characters from the cursor on, which stays; an absent attribute leaves that of each cell. */
function repeat(screen: Screen, count: number, character: number, attribute: number | undefined): void {
  const start = screen.row * COLUMNS + screen.column;
  const end = Math.min(start + count, CELLS);
  for (let cell = start; cell < end; cell++) {
    const row = Math.floor(cell / COLUMNS);
    const column = cell % COLUMNS;
    // Who writes text this way writes its blanks too: sent, they spare cursor movements.
    screen.put(row, column, character, attribute ?? screen.cellAt(row, column) >> 8, count === 1);
  }
}

/** AL bit 0: the cursor moves along; bit 1: an attribute follows each character. */
function writeString({ registers: r, memory }: ServiceCall, screen: Screen): void {
  const { row, column } = screen;
  screen.moveTo(r.dh, r.dl);
  const withAttributes = (r.al & 2) !== 0;
  const step = withAttributes ? 2 : 1;
  const count = Math.min(r.cx, CELLS);
  for (let n = 0; n < count; n++) {
    const character = memory.read8(r.address('es', r.bp + n * step));
    screen.type(character, withAttributes ? memory.read8(r.address('es', r.bp + n * step + 1)) : r.bl);
  }
  if ((r.al & 1) === 0) screen.moveTo(row, column);
}
