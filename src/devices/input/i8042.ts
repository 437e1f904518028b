// The PS/2 controller (8042) behind ports 0x60 and 0x64: keyboard and mouse ports, translation into scan code set 1, the
// A20 gate and the reset pulse of its output port (IBM PS/2 hardware reference, "Keyboard and Auxiliary Device Controller").
import type { Device, ResetPhase } from '../../bus/device.ts';
import type { IsaBus } from '../../bus/isa-bus.ts';
import { RegisterFile } from '../../bus/register-file.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import { bool, bytes, choice, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { TRANSLATION } from './keys.ts';
import type { Ps2Device } from './ps2-device.ts';
import { Ps2Keyboard } from './ps2-keyboard.ts';
import { Ps2Mouse } from './ps2-mouse.ts';
import { trace } from './trace.ts';

const STATUS = { OUTPUT_FULL: 1, SYSTEM: 4, COMMAND: 8, UNLOCKED: 0x10, MOUSE: 0x20 } as const;
const CONFIG = { KEYBOARD_IRQ: 1, MOUSE_IRQ: 2, SYSTEM: 4, KEYBOARD_OFF: 0x10, MOUSE_OFF: 0x20, TRANSLATE: 0x40 } as const;
const OUTPUT = { NOT_RESET: 1, A20: 2, KEYBOARD_IRQ: 0x10, MOUSE_IRQ: 0x20 } as const;
const COMMAND = {
  READ_RAM: 0x20,
  WRITE_RAM: 0x60,
  MOUSE_OFF: 0xa7,
  MOUSE_ON: 0xa8,
  TEST_MOUSE: 0xa9,
  SELF_TEST: 0xaa,
  TEST_KEYBOARD: 0xab,
  KEYBOARD_OFF: 0xad,
  KEYBOARD_ON: 0xae,
  READ_INPUT: 0xc0,
  READ_OUTPUT: 0xd0,
  WRITE_OUTPUT: 0xd1,
  KEYBOARD_LOOP: 0xd2,
  MOUSE_LOOP: 0xd3,
  MOUSE: 0xd4,
  A20_OFF: 0xdd,
  A20_ON: 0xdf,
  PULSE: 0xf0,
} as const;
const RAM_BYTES = 32;
const BREAK_PREFIX = 0xf0;

export const i8042State = defineState({
  kind: 'i8042',
  version: 1,
  fields: {
    ram: bytes(RAM_BYTES, [CONFIG.KEYBOARD_IRQ | CONFIG.MOUSE_IRQ | CONFIG.SYSTEM | CONFIG.TRANSLATE]), // byte 0 is the configuration
    outputPort: u8(OUTPUT.NOT_RESET | OUTPUT.A20),
    data: u8(), // the output buffer
    source: choice('none', 'controller', 'keyboard', 'mouse'), // whose byte is in it
    command: u8(), // the command whose parameter comes next at port 0x60, 0: none
    lastWasCommand: bool(),
    breakNext: bool(), // F0 was swallowed by the translation
  },
});
export type I8042State = ReturnType<typeof i8042State.initial>;

export interface I8042Wires {
  readonly keyboardIrq: IrqLine;
  readonly mouseIrq: IrqLine;
  readonly a20: IrqLine;
  readonly reset: () => void;
  readonly keyboard: Ps2Device;
  readonly mouse: Ps2Device;
}

export class I8042 implements Device<I8042State> {
  readonly schema = i8042State;
  state = i8042State.initial();
  readonly #wires: I8042Wires;

  constructor(wires: I8042Wires) {
    this.#wires = wires;
    wires.keyboard.onData = () => this.#fill();
    wires.mouse.onData = () => this.#fill();
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = i8042State.initial();
    else this.settle();
  }

  settle(): void {
    const { state } = this;
    this.#wires.a20.set((state.outputPort & OUTPUT.A20) !== 0);
    this.#wires.keyboardIrq.set(
      (state.source === 'keyboard' || state.source === 'controller') && (this.#config & CONFIG.KEYBOARD_IRQ) !== 0,
    );
    this.#wires.mouseIrq.set(state.source === 'mouse' && (this.#config & CONFIG.MOUSE_IRQ) !== 0);
  }

  get #config(): number {
    return this.state.ram[0]!;
  }

  #setConfig(value: number): void {
    this.state.ram[0] = value;
    this.settle();
    this.#fill();
  }

  #put(source: I8042State['source'], byte: number): void {
    this.state.data = byte;
    this.state.source = source;
    this.settle();
  }

  /** Moves the next byte of a device into the empty output buffer. */
  #fill(): void {
    const { state } = this;
    while (state.source === 'none') {
      const keyboard = (this.#config & CONFIG.KEYBOARD_OFF) === 0 ? this.#wires.keyboard.take() : -1;
      if (keyboard >= 0) {
        this.#fromKeyboard(keyboard);
        continue;
      }
      const mouse = (this.#config & CONFIG.MOUSE_OFF) === 0 ? this.#wires.mouse.take() : -1;
      if (mouse < 0) return;
      this.#put('mouse', mouse);
    }
  }

  #fromKeyboard(byte: number): void {
    const { state } = this;
    if ((this.#config & CONFIG.TRANSLATE) === 0) this.#put('keyboard', byte);
    else if (byte === BREAK_PREFIX) state.breakNext = true;
    else {
      this.#put('keyboard', TRANSLATION[byte]! | (state.breakNext ? 0x80 : 0));
      state.breakNext = false;
    }
  }

  readStatus(): number {
    const { state } = this;
    const full = state.source === 'none' ? 0 : STATUS.OUTPUT_FULL | (state.source === 'mouse' ? STATUS.MOUSE : 0);
    return (
      full | ((this.#config & CONFIG.SYSTEM) !== 0 ? STATUS.SYSTEM : 0) | (state.lastWasCommand ? STATUS.COMMAND : 0) | STATUS.UNLOCKED
    );
  }

  readData(): number {
    const { state } = this;
    const { data } = state;
    trace.controllerRead?.({ value: data, mouse: state.source === 'mouse' });
    state.source = 'none';
    this.settle();
    this.#fill();
    return data;
  }

  writeData(value: number): void {
    const { state } = this;
    const { command } = state;
    state.command = 0;
    state.lastWasCommand = false;
    if (command === 0) {
      // Writing to the keyboard switches its port on.
      state.ram[0] = this.#config & ~CONFIG.KEYBOARD_OFF;
      this.#wires.keyboard.write(value);
    } else if (command === COMMAND.MOUSE) {
      state.ram[0] = this.#config & ~CONFIG.MOUSE_OFF;
      this.#wires.mouse.write(value);
    } else this.#parameter(command, value);
    this.#fill();
  }

  #parameter(command: number, value: number): void {
    if (command === COMMAND.WRITE_RAM) this.#setConfig(value);
    else if (command < COMMAND.WRITE_RAM + RAM_BYTES) this.state.ram[command - COMMAND.WRITE_RAM] = value;
    else if (command === COMMAND.WRITE_OUTPUT) this.#writeOutputPort(value);
    else if (command === COMMAND.KEYBOARD_LOOP) this.#put('keyboard', value);
    else if (command === COMMAND.MOUSE_LOOP) this.#put('mouse', value);
  }

  #writeOutputPort(value: number): void {
    this.state.outputPort = value | OUTPUT.NOT_RESET;
    this.settle();
    if ((value & OUTPUT.NOT_RESET) === 0) this.#wires.reset();
  }

  writeCommand(value: number): void {
    trace.controllerCommand?.({ value });
    const { state } = this;
    state.lastWasCommand = true;
    state.command = 0;
    if (value >= COMMAND.READ_RAM && value < COMMAND.READ_RAM + RAM_BYTES) this.#put('controller', state.ram[value - COMMAND.READ_RAM]!);
    else if (value >= COMMAND.WRITE_RAM && value < COMMAND.WRITE_RAM + RAM_BYTES) state.command = value;
    else if (value >= COMMAND.PULSE) {
      if ((value & OUTPUT.NOT_RESET) === 0) this.#wires.reset();
    } else this.#operate(value);
  }

  #operate(value: number): void {
    const { state } = this;
    switch (value) {
      case COMMAND.MOUSE_OFF:
        return this.#setConfig(this.#config | CONFIG.MOUSE_OFF);
      case COMMAND.MOUSE_ON:
        return this.#setConfig(this.#config & ~CONFIG.MOUSE_OFF);
      case COMMAND.KEYBOARD_OFF:
        return this.#setConfig(this.#config | CONFIG.KEYBOARD_OFF);
      case COMMAND.KEYBOARD_ON:
        return this.#setConfig(this.#config & ~CONFIG.KEYBOARD_OFF);
      case COMMAND.TEST_MOUSE:
      case COMMAND.TEST_KEYBOARD:
        return this.#put('controller', 0);
      case COMMAND.SELF_TEST:
        state.ram[0] = this.#config | CONFIG.SYSTEM;
        return this.#put('controller', 0x55);
      case COMMAND.READ_INPUT:
        return this.#put('controller', 0x80);
      case COMMAND.READ_OUTPUT:
        return this.#put('controller', this.#outputPort());
      case COMMAND.WRITE_OUTPUT:
      case COMMAND.KEYBOARD_LOOP:
      case COMMAND.MOUSE_LOOP:
      case COMMAND.MOUSE:
        state.command = value;
        return undefined;
      case COMMAND.A20_OFF:
        return this.#writeOutputPort(state.outputPort & ~OUTPUT.A20);
      case COMMAND.A20_ON:
        return this.#writeOutputPort(state.outputPort | OUTPUT.A20);
      default:
        return undefined;
    }
  }

  #outputPort(): number {
    const { source, outputPort } = this.state;
    const irqs = source === 'mouse' ? OUTPUT.MOUSE_IRQ : source === 'none' ? 0 : OUTPUT.KEYBOARD_IRQ;
    return (outputPort & ~(OUTPUT.KEYBOARD_IRQ | OUTPUT.MOUSE_IRQ)) | irqs;
  }
}

export const dataRegisters = new RegisterFile<I8042>('i8042-data', 1, [
  { at: 0, name: 'DATA', read: (controller) => controller.readData(), write: (controller, value) => controller.writeData(value) },
]);
export const commandRegisters = new RegisterFile<I8042>('i8042-command', 1, [
  {
    at: 0,
    name: 'STATUS/COMMAND',
    read: (controller) => controller.readStatus(),
    write: (controller, value) => controller.writeCommand(value),
  },
]);

export interface Ps2Parts {
  readonly controller: I8042;
  readonly keyboard: Ps2Keyboard;
  readonly mouse: Ps2Mouse;
}

/** The PC's controller at its ports with a keyboard and a mouse. */
export function isaPs2(bus: IsaBus, { a20, reset }: Pick<I8042Wires, 'a20' | 'reset'>): Ps2Parts {
  const keyboard = new Ps2Keyboard();
  const mouse = new Ps2Mouse();
  const controller = new I8042({ keyboardIrq: bus.irq(1), mouseIrq: bus.irq(12), a20, reset, keyboard, mouse });
  bus.claimPorts({
    base: 0x60,
    size: 1,
    name: 'i8042-data',
    registers: dataRegisters,
    read: (at) => dataRegisters.read(controller, at),
    write: (at, _size, value) => dataRegisters.write(controller, at, value),
  });
  bus.claimPorts({
    base: 0x64,
    size: 1,
    name: 'i8042-command',
    registers: commandRegisters,
    read: (at) => commandRegisters.read(controller, at),
    write: (at, _size, value) => commandRegisters.write(controller, at, value),
  });
  return { controller, keyboard, mouse };
}
