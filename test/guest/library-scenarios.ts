// The library's machine with Linux in it: a test starts this program as a process of its own, so that a guest that hangs
// cannot hang the tests. Prints what it found as one line of JSON. Words: kernel, initrd.
import { setTimeout as delay } from 'node:timers/promises';
import { Machine } from '../../src/platform/node/machine.ts';
import { PROMPT } from './linux-guest.ts';

const BOOT_MS_MAX = 120_000;
const SLEEP_S = 10;
const IDLE_MS = 5000;

/** Saves every device at several moments of a boot, restores and saves again, and boots on with what was restored. */
async function checkStates(machine: Machine): Promise<unknown> {
  const { board } = machine;
  const moments: { at: string; sizeBytes: number; same: boolean }[] = [];
  for (const at of ['Linux version', 'Memory:', 'clocksource', 'Run /init', PROMPT]) {
    await machine.console.waitFor(at, { timeoutMs: BOOT_MS_MAX });
    machine.pause();
    await delay(5); // the slice that was running has ended
    const first = board.devices.save();
    board.devices.restore(first);
    const second = board.devices.save();
    moments.push({ at, sizeBytes: first.length, same: Buffer.compare(first, second) === 0 });
    machine.resume();
  }
  return moments;
}

/** Seconds that a `sleep` of the guest takes, on the guest's clock and on the host's. */
async function measureSleep({ console: terminal }: Machine): Promise<{ guestSeconds: number; hostSeconds: number }> {
  terminal.write(`cut -d' ' -f1 /proc/uptime; echo from; sleep ${SLEEP_S}; echo to; cut -d' ' -f1 /proc/uptime\n`);
  await terminal.waitFor(/^from\r?\n/m);
  const start = performance.now();
  await terminal.waitFor(/^to\r?\n/m);
  const hostSeconds = (performance.now() - start) / 1000;
  await terminal.waitFor(PROMPT);
  const [from, to] = [...terminal.text.matchAll(/^(\d+\.\d+)\r?$/gm)].map(([, seconds]) => Number(seconds));
  return { guestSeconds: to! - from!, hostSeconds };
}

/** The part of a core that a guest at its prompt takes. */
async function measureIdle(): Promise<number> {
  await delay(1000); // what the shell's end of command leaves to do
  const before = process.cpuUsage();
  const start = performance.now();
  await delay(IDLE_MS);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / (performance.now() - start);
}

const [kernel, initrd] = process.argv.slice(2);
if (kernel !== undefined && initrd !== undefined) {
  const append = 'console=ttyS0 panic=-1';
  const machine = await Machine.create({ kernel, initrd, append, ramBytes: 256 * 1024 * 1024, noReboot: true });
  machine.start();
  const moments = await checkStates(machine);
  const sleep = await measureSleep(machine);
  const idleShare = await measureIdle();
  machine.console.write('exit\n');
  process.stdout.write(`${JSON.stringify({ moments, ...sleep, idleShare, exit: await machine.exited })}\n`);
  process.exit(0);
}
