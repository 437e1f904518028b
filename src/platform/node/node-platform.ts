// The host side of a machine on Node: files, clocks, the event loop, and waiting with better than a millisecond's
// precision. Node's timers have whole milliseconds, so the last part of a wait is slept with Atomics.wait, or by a job of the thread
// pool where the event loop must go on (short-waits.ts).
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MachineHost } from '../../vm/machine-host.ts';
import { systemCalls } from './system-calls.ts';
import { readWholeFile } from './whole-file.ts';
import { waitUntil } from './short-waits.ts';
import { hostClockNs, localTimeMs, wallClockMs } from './host-clock.ts';

const NS_PER_MS = 1e6;
/** A wait shorter than this blocks the loop; the rest of a longer one does. */
const BLOCKING_WAIT_MS_MAX = 1.5;
/** Not worth a job. */
const SHORT_WAIT_MS = 0.02;
const neverNotified = new Int32Array(new SharedArrayBuffer(4));

let randomWords = new Uint32Array(0);
let randomUsed = 0;
function randomU32(): number {
  if (randomUsed === randomWords.length) {
    randomWords = new Uint32Array(new Uint8Array(randomBytes(1024)).buffer);
    randomUsed = 0;
  }
  return randomWords[randomUsed++]!;
}

/** A place for a file that is unlinked as soon as it is open; as for QEMU, TMPDIR or /var/tmp says where. */
function temporaryPath(): string {
  return join(process.env['TMPDIR'] ?? (existsSync('/var/tmp') ? '/var/tmp' : tmpdir()), `nandu-${randomBytes(8).toString('hex')}.qcow2`);
}

function sleep(ns: number, callback: () => void, mayBlock: boolean): { cancel(): void } {
  const end = hostClockNs() + ns;
  let pending: { cancel(): void };
  const finish = (): void => {
    const leftMs = (end - hostClockNs()) / NS_PER_MS;
    if (leftMs > 0 && !mayBlock) {
      pending = waitUntil(end, callback);
      return;
    }
    if (leftMs > 0) Atomics.wait(neverNotified, 0, 0, Math.min(leftMs, BLOCKING_WAIT_MS_MAX));
    callback();
  };
  const ms = ns / NS_PER_MS;
  if (ms > BLOCKING_WAIT_MS_MAX) {
    const timeout = setTimeout(finish, Math.min(2 ** 31 - 1, Math.floor(ms - 1)));
    pending = { cancel: () => clearTimeout(timeout) };
  } else if (mayBlock || ms < SHORT_WAIT_MS) {
    const immediate = setImmediate(finish);
    pending = { cancel: () => clearImmediate(immediate) };
  } else pending = waitUntil(end, callback);
  return { cancel: () => pending.cancel() };
}

export const nodePlatform: MachineHost = {
  hostNs: hostClockNs,
  wallClock: { nowMs: wallClockMs },
  localClock: { nowMs: localTimeMs },
  // dist/src/platform/node -> dist/wasm
  readModule: async (name) => new Uint8Array(await readFile(join(import.meta.dirname, '..', '..', '..', 'wasm', name))),
  readFile: readWholeFile,
  useLargePages: (bytes) => void systemCalls()?.hugePages(bytes),
  discardMemory: (bytes) => void systemCalls()?.discardMemory(bytes),
  randomU32,
  nextTurn: (callback) => void setImmediate(callback),
  sleep,
  async driveHost({ secrets }) {
    const { createBlockHost } = await import('./block-host.ts');
    return { block: createBlockHost({ files: 'pooled', secrets }), temporaryPath };
  },
  warn: (line) => void process.stderr.write(`nandu: ${line}\n`),
};
