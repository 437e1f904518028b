// The contract between a character device (a UART, the debug console) and what it talks to (terminal, file, socket).
// Not an implementation: those are in chardev/ (pure) and platform/ (host). Both directions have back pressure.

/** What happens on a connection apart from bytes. */
export type CharEvent =
  | 'opened'
  | 'closed'
  | 'break'
  | 'focus' // a multiplexer now shows this front end
  | 'unfocus';

/** The side of the guest's device. */
export interface CharFrontEnd {
  /** How many bytes `receive` can take now. After having said 0 the device calls `acceptInput` once it has room. */
  canReceive(): number;
  /** Bytes from outside, at most `canReceive()` of them. The array is only valid during the call. */
  receive(bytes: Uint8Array): void;
  event?(event: CharEvent): void;
  /** The back end can take bytes again, after a `write` that took fewer than it was given. */
  writable?(): void;
}

/** The side of the host. */
export interface CharBackend {
  /** One front end at a time; the later one replaces the former, undefined detaches. */
  connect(frontEnd: CharFrontEnd | undefined): void;
  /** Takes bytes from the guest and says how many: fewer than given means "full", and `writable` follows. Copies what it keeps. */
  write(bytes: Uint8Array): number;
  /** The front end has room again. */
  acceptInput(): void;
  /** Sends out what is queued, then releases what the back end holds. Never rejects. */
  close(): Promise<void>;
}
