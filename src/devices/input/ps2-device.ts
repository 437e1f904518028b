// What the keyboard and the mouse have in common towards their controller: a serial port with a queue of bytes.

export interface Ps2Device {
  /** A byte from the controller. */
  write(value: number): void;
  /** The next byte for the controller, or -1. */
  take(): number;
  /** Called when there is something to take. */
  onData: (() => void) | undefined;
}

export const ACK = 0xfa;
export const RESEND = 0xfe;
export const SELF_TEST_PASSED = 0xaa;
