// What a machine needs of its host beside clocks and character back ends: the built modules, files, randomness, and a
// turn of the event loop. Implemented in platform/.
import type { WallClock } from './clock.ts';

export interface MachinePlatform {
  /** Monotonic host time in nanoseconds. */
  hostNs(): number;
  readonly wallClock: WallClock;
  /** The date as the host's local time shows it. */
  readonly localClock: WallClock;
  /** Bytes of dist/wasm/NAME. */
  readModule(name: string): Promise<Uint8Array<ArrayBuffer>>;
  readFile(path: string): Promise<Uint8Array>;
  /** Told of a machine's whole memory before anything is in it: large pages of the host are good for it. */
  useLargePages?(bytes: Uint8Array): void;
  /** Gives the pages of an array back to the host, whole pages that nobody needs: they read as zeroes or as before. */
  discardMemory?(bytes: Uint8Array): void;
  randomU32(): number;
  /** Calls back after one turn of the event loop. */
  nextTurn(callback: () => void): void;
  /** Calls back after about `ns`, unless `cancel` is called on the result. A short wait, or its end, blocks the loop if that may be. */
  sleep(ns: number, callback: () => void, mayBlock: boolean): { cancel(): void };
}
