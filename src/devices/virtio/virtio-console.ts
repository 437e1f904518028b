// The virtio console device with several ports: virtio 1.2, 5.3. A port is a character back end that the guest sees as /dev/hvc0
// (a console) or /dev/vport0p1 (a serial port, found by its name).
import { Failure } from '../../base/failure.ts';
import type { CharBackend, CharEvent } from '../../ports/char-backend.ts';
import { layout, le16, le32 } from '../../struct/layout.ts';
import type { Chain } from './ring.ts';
import type { VirtioDevice, VirtioHandler, VirtQueue } from './virtio-device.ts';

const FEATURE = { SIZE: 0, MULTIPORT: 1, EMERG_WRITE: 2 } as const;
const CONTROL_IN = 2;
const CONTROL_OUT = 3;
const EVENT = { DEVICE_READY: 0, PORT_ADD: 1, PORT_READY: 3, CONSOLE_PORT: 4, PORT_OPEN: 6, PORT_NAME: 7 } as const;
const MESSAGE_BYTES = 8;
/** Messages for a driver that gives no buffers for them. */
const MESSAGES_MAX = 256;
const WRITE_BYTES_MAX = 65536;
export const PORTS_MAX = 31;

const consoleConfig = layout('virtio_console_config', { cols: le16(0), rows: le16(2), max_nr_ports: le32(4), emerg_wr: le32(8) });

/** Queues of a port: 0 and 1, then 4 and 5, for the control queues lie between. */
const inQueueOf = (port: number): number => (port === 0 ? 0 : 2 * port + 2);
const portOf = (queue: number): number => (queue < CONTROL_IN ? 0 : (queue >> 1) - 1);

const wrong = (message: string): Failure => new Failure('invalid-argument', message);

export interface ConsolePortOptions {
  readonly backend: CharBackend | undefined;
  readonly isConsole: boolean;
  readonly portName?: string | undefined;
  /** Its number; the first free one when it is not given. Port 0 is for consoles. */
  readonly number?: number | undefined;
}

class ConsolePort {
  readonly number: number;
  readonly options: ConsolePortOptions;
  /** The guest has it open; a console always is. */
  guestOpen: boolean;
  hostOpen = false;
  /** What waits for the back end to take it. */
  readonly output: { readonly queue: VirtQueue; readonly chain: Chain; readonly bytes: Uint8Array }[] = [];

  constructor(number: number, options: ConsolePortOptions) {
    this.number = number;
    this.options = options;
    this.guestOpen = options.isConsole;
  }
}

export class VirtioConsole implements VirtioHandler {
  readonly name = 'virtio-console';
  readonly type = 3;
  readonly features: readonly number[] = [FEATURE.MULTIPORT, FEATURE.EMERG_WRITE];
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array;
  readonly #ports = new Map<number, ConsolePort>();
  readonly #portsMax: number;
  #device: VirtioDevice | undefined;
  #messages: Uint8Array[] = [];

  constructor(portsMax = PORTS_MAX) {
    this.#portsMax = portsMax;
    this.queueSizes = new Array<number>(2 * portsMax + 2).fill(128);
    this.config = consoleConfig.encode({ max_nr_ports: portsMax });
  }

  /** Plugs a port in; returns its number. */
  addPort(options: ConsolePortOptions): number {
    const number = options.number ?? this.#freeNumber(options.isConsole);
    const max = this.#portsMax - 1;
    if (number > max) throw wrong(`virtio-serial-bus: Out-of-range port id specified, max. allowed: ${max}`);
    if (this.#ports.has(number)) throw wrong(`virtio-serial-bus: A port already exists at id ${number}`);
    if (number === 0 && !options.isConsole) {
      throw wrong('Port number 0 on virtio-serial devices reserved for virtconsole devices for backward compatibility.');
    }
    const port = new ConsolePort(number, options);
    this.#ports.set(number, port);
    options.backend?.connect({
      canReceive: () => this.#roomFor(port),
      receive: (bytes) => this.#receive(port, bytes),
      event: (event) => this.#event(port, event),
      writable: () => this.#drain(port),
    });
    return number;
  }

  #freeNumber(isConsole: boolean): number {
    let number = isConsole ? 0 : 1;
    while (this.#ports.has(number)) number++;
    return number;
  }

  readonly writableConfig = (at: number): boolean => at >= consoleConfig.fields.emerg_wr.offset;

  /** The emergency register writes one character without any queue. */
  configWritten(at: number): void {
    if (at !== consoleConfig.fields.emerg_wr.offset) return;
    const character = this.#device?.state.config[at];
    if (character !== undefined) this.#ports.get(0)?.options.backend?.write(Uint8Array.of(character));
  }

  started(device: VirtioDevice): void {
    this.#device = device;
  }

  reset(): void {
    this.#messages = [];
    for (const port of this.#ports.values()) {
      port.output.length = 0;
      port.guestOpen = port.options.isConsole;
    }
  }

  notified(queue: VirtQueue): void {
    if (queue.index === CONTROL_IN) this.#sendMessages();
    else if (queue.index === CONTROL_OUT) this.#takeMessages(queue);
    else if (queue.index % 2 === 1) this.#takeOutput(queue);
    else this.#ports.get(portOf(queue.index))?.options.backend?.acceptInput();
    queue.arm();
    queue.publish();
  }

  // Data ----------------------------------------------------------------------------------------------------------------

  #takeOutput(queue: VirtQueue): void {
    const port = this.#ports.get(portOf(queue.index));
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      const bytes = chain.readable.bytes <= WRITE_BYTES_MAX ? chain.readable.gather() : undefined;
      if (port?.options.backend === undefined || bytes === undefined) queue.push(chain, 0);
      else port.output.push({ queue, chain, bytes });
    }
    if (port !== undefined) this.#drain(port);
  }

  /** Hands the back end what it takes; the rest waits until it is writable. */
  #drain(port: ConsolePort): void {
    const { output, options } = port;
    while (output.length > 0) {
      const { queue, chain, bytes } = output[0]!;
      const taken = options.backend!.write(bytes);
      if (taken < bytes.length) {
        output[0] = { queue, chain, bytes: bytes.subarray(taken) };
        return;
      }
      output.shift();
      queue.push(chain, 0);
      queue.publish();
    }
  }

  #inQueue(port: ConsolePort): VirtQueue | undefined {
    return this.#device?.queues[inQueueOf(port.number)];
  }

  #roomFor(port: ConsolePort): number {
    return port.guestOpen && this.#inQueue(port)?.hasAvailable === true ? 1024 : 0;
  }

  #receive(port: ConsolePort, bytes: Uint8Array): void {
    const queue = this.#inQueue(port);
    for (let at = 0; queue !== undefined && at < bytes.length; ) {
      const chain = queue.pop();
      if (chain === undefined) break; // more than there was room for: as on a line without flow control
      const part = bytes.subarray(at, at + chain.writable.bytes);
      queue.push(chain, chain.writable.fill(part) ? part.length : 0);
      at += Math.max(1, part.length);
    }
    queue?.publish();
  }

  // Control -------------------------------------------------------------------------------------------------------------

  #event(port: ConsolePort, event: CharEvent): void {
    if (event !== 'opened' && event !== 'closed') return;
    port.hostOpen = event === 'opened';
    this.#send(port.number, EVENT.PORT_OPEN, port.hostOpen ? 1 : 0);
  }

  #takeMessages(queue: VirtQueue): void {
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      const message = chain.readable.gather(MESSAGE_BYTES);
      queue.push(chain, 0);
      if (message === undefined) continue;
      const view = new DataView(message.buffer);
      this.#handle(view.getUint32(0, true), view.getUint16(4, true), view.getUint16(6, true));
    }
  }

  #handle(number: number, event: number, value: number): void {
    if (event === EVENT.DEVICE_READY) {
      if (value === 1) for (const port of this.#ports.keys()) this.#send(port, EVENT.PORT_ADD, 1);
      return;
    }
    const port = this.#ports.get(number);
    if (port === undefined) return;
    if (event === EVENT.PORT_READY && value === 1) this.#introduce(port);
    if (event === EVENT.PORT_OPEN) {
      port.guestOpen = value === 1;
      if (port.guestOpen) port.options.backend?.acceptInput();
    }
  }

  #introduce({ number, options, hostOpen }: ConsolePort): void {
    if (options.isConsole) this.#send(number, EVENT.CONSOLE_PORT, 1);
    if (options.portName !== undefined) this.#send(number, EVENT.PORT_NAME, 1, new TextEncoder().encode(options.portName));
    if (options.isConsole || hostOpen) this.#send(number, EVENT.PORT_OPEN, 1);
  }

  #send(number: number, event: number, value: number, text = new Uint8Array(0)): void {
    if (this.#device?.features.has(FEATURE.MULTIPORT) !== true || this.#messages.length === MESSAGES_MAX) return;
    const message = new Uint8Array(MESSAGE_BYTES + text.length);
    const view = new DataView(message.buffer);
    view.setUint32(0, number, true);
    view.setUint16(4, event, true);
    view.setUint16(6, value, true);
    message.set(text, MESSAGE_BYTES);
    this.#messages.push(message);
    this.#sendMessages();
  }

  #sendMessages(): void {
    const queue = this.#device?.queues[CONTROL_IN];
    if (queue === undefined) return;
    while (this.#messages.length > 0) {
      const chain = queue.pop();
      if (chain === undefined) break;
      const message = this.#messages.shift()!.subarray(0, chain.writable.bytes);
      queue.push(chain, chain.writable.fill(message) ? message.length : 0);
    }
    queue.publish();
  }
}
