// One back end shared by several front ends (the guest's console and the monitor). All of them write to it; what is typed
// goes to the one in focus, except for the escapes that start with Ctrl-A.
import { Failure } from '../base/failure.ts';
import type { CharBackend, CharEvent, CharFrontEnd } from '../ports/char-backend.ts';
import { ByteQueue } from './byte-queue.ts';

const CONTROL_A = 0x01;
const QUEUE_BYTES = 4096;
const FRONT_ENDS_MAX = 4;

export interface MuxActions {
  /** Ctrl-A x. */
  quit(): void;
}

interface Escape {
  readonly key: string;
  readonly help: string;
  run(mux: CharMux): void;
}

// prettier-ignore
const ESCAPES: readonly Escape[] = [
  { key: 'h', help: 'C-a h    print this help', run: (mux) => mux.printHelp() },
  { key: 'x', help: 'C-a x    exit emulator', run: (mux) => mux.quit() },
  { key: 'b', help: 'C-a b    send break (magic sysrq)', run: (mux) => mux.sendBreak() },
  { key: 'c', help: 'C-a c    switch between console and monitor', run: (mux) => mux.focusNext() },
  { key: '\x01', help: 'C-a C-a  sends C-a', run: (mux) => mux.deliverByte(CONTROL_A) },
];

interface Port {
  readonly queue: ByteQueue;
  frontEnd: CharFrontEnd | undefined;
  /** Its last write was cut short. */
  blocked: boolean;
}

export class CharMux {
  readonly #backend: CharBackend;
  readonly #actions: MuxActions;
  readonly #ports: Port[] = [];
  #focus = 0;
  #escaped = false;

  constructor(backend: CharBackend, actions: MuxActions) {
    this.#backend = backend;
    this.#actions = actions;
    backend.connect({
      canReceive: () => this.#focused?.queue.room ?? 0,
      receive: (bytes) => this.#receive(bytes),
      event: (event) => this.#event(event),
      writable: () => this.#writable(),
    });
  }

  /** One more front end's back end. The first one attached has the focus. */
  attach(): CharBackend {
    if (this.#ports.length === FRONT_ENDS_MAX) {
      throw new Failure('limit', `too many uses of multiplexed chardev (maximum is ${FRONT_ENDS_MAX})`);
    }
    const port: Port = { queue: new ByteQueue(QUEUE_BYTES), frontEnd: undefined, blocked: false };
    this.#ports.push(port);
    return {
      connect: (frontEnd) => {
        port.frontEnd = frontEnd;
        if (port === this.#focused) frontEnd?.event?.('focus');
        this.#deliver(port);
      },
      write: (bytes) => {
        const taken = this.#backend.write(bytes);
        port.blocked = taken < bytes.length;
        return taken;
      },
      acceptInput: () => this.#deliver(port),
      close: () => this.#backend.close(),
    };
  }

  printHelp(): void {
    this.#backend.write(new TextEncoder().encode(['', ...ESCAPES.map(({ help }) => help), ''].join('\n\r')));
  }

  quit(): void {
    this.#backend.write(new TextEncoder().encode('nandu: Terminated\n\r'));
    this.#actions.quit();
  }

  sendBreak(): void {
    this.#focused?.frontEnd?.event?.('break');
  }

  focusNext(): void {
    this.#focused?.frontEnd?.event?.('unfocus');
    this.#focus = (this.#focus + 1) % this.#ports.length;
    this.#focused?.frontEnd?.event?.('focus');
  }

  deliverByte(byte: number): void {
    this.#focused?.queue.push(Uint8Array.of(byte));
  }

  get #focused(): Port | undefined {
    return this.#ports[this.#focus];
  }

  #receive(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (this.#escaped) {
        this.#escaped = false;
        ESCAPES.find(({ key }) => key.charCodeAt(0) === byte)?.run(this); // another key does nothing
      } else if (byte === CONTROL_A) {
        this.#escaped = true;
      } else {
        this.deliverByte(byte);
      }
    }
    for (const port of this.#ports) this.#deliver(port);
  }

  #deliver(port: Port): void {
    while (port.queue.count > 0 && port.frontEnd !== undefined) {
      const room = port.frontEnd.canReceive();
      if (room <= 0) return;
      port.frontEnd.receive(port.queue.shift(room));
      this.#backend.acceptInput();
    }
  }

  #writable(): void {
    for (const port of this.#ports) {
      if (!port.blocked) continue;
      port.blocked = false;
      port.frontEnd?.writable?.();
    }
  }

  #event(event: CharEvent): void {
    if (event === 'break') this.sendBreak();
    else if (event === 'closed') for (const port of this.#ports) port.frontEnd?.event?.('closed');
  }
}
