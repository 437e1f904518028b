// Tests of the NVMe controller: what a driver sees of queues, commands, interrupts, resets and errors.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { takeEvents } from '../../../test/traced-events.ts';
import { SystemBus } from '../../bus/address-space.ts';
import { PciBus } from '../../bus/pci-bus.ts';
import { TimerQueue } from '../../bus/timer-queue.ts';
import { MemoryDrive } from '../memory-drive.ts';
import { nvme } from './nvme.ts';

const BASE = 0xe000_0000;
const [ASQ, ACQ, SQ, CQ, LIST, DATA] = [0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0x1_0000];
const ENTRIES = 8;

function bench() {
  const bus = new SystemBus();
  const timers = new TimerQueue({ now: () => 0 });
  const ram = new Uint8Array(1 << 20);
  const view = new DataView(ram.buffer);
  const seen = { interrupt: false, messages: [] as number[] };
  const memory = {
    view: (address: number, size: number) => (address + size <= ram.length ? ram.subarray(address, address + size) : undefined),
    written: () => {},
  };
  const line = { set: (level: boolean) => { seen.interrupt = level; } };
  const pci = new PciBus({ bus, memory, pirqs: [line, line, line, line], sendMessage: (_address, data) => seen.messages.push(data) });
  const drive = new MemoryDrive({ size: 4096 * 512 });
  for (let at = 0; at < drive.bytes.length; at++) drive.bytes[at] = (at >> 9) + at;
  const parts = nvme(pci, { timers, drive, serial: 'S1', slot: 2 });
  parts.function.writeConfig(0x10, 4, BASE);
  parts.function.writeConfig(0x04, 2, 6);
  const write = (at: number, value: number): void => bus.mmio.write(BASE + at, 4, value >>> 0);
  const read = (at: number): number => bus.mmio.read(BASE + at, 4);
  write(0x24, ((ENTRIES - 1) << 16) | (ENTRIES - 1));
  write(0x28, ASQ);
  write(0x30, ACQ);
  write(0x14, 0x0046_0001);
  const tails = [0, 0];
  const heads = [0, 0];
  /** Puts a command into a queue without ringing. */
  const put = (queue: number, opcode: number, id: number, words: Readonly<Record<number, number>>, namespace = 0): void => {
    const at = (queue === 0 ? ASQ : SQ) + 64 * tails[queue]!;
    ram.fill(0, at, at + 64);
    view.setUint32(at, opcode | (id << 16), true);
    view.setUint32(at + 4, namespace, true);
    for (const [word, value] of Object.entries(words)) view.setUint32(at + 4 * Number(word), value, true);
    tails[queue] = (tails[queue]! + 1) % ENTRIES;
  };
  const ring = (queue: number): void => write(0x1000 + 8 * queue, tails[queue]!);
  /** The next completion: command and status, or undefined. */
  const phases = [1, 1];
  const completion = (queue: number): { id: number; status: number; value: number } | undefined => {
    const at = (queue === 0 ? ACQ : CQ) + 16 * heads[queue]!;
    const last = view.getUint32(at + 12, true);
    if (((last >>> 16) & 1) !== phases[queue]) return undefined;
    heads[queue] = (heads[queue]! + 1) % ENTRIES;
    if (heads[queue] === 0) phases[queue]! ^= 1;
    return { id: last & 0xffff, status: last >>> 17, value: view.getUint32(at, true) };
  };
  const acknowledge = (queue: number): void => write(0x1004 + 8 * queue, heads[queue]!);
  const admin = (opcode: number, words: Readonly<Record<number, number>>, namespace = 0): { status: number; value: number } => {
    put(0, opcode, 7, words, namespace);
    ring(0);
    const result = completion(0)!;
    acknowledge(0);
    return result;
  };
  const createPair = (): void => {
    assert.equal(admin(5, { 6: CQ, 10: ((ENTRIES - 1) << 16) | 1, 11: 3 }).status, 0);
    assert.equal(admin(1, { 6: SQ, 10: ((ENTRIES - 1) << 16) | 1, 11: 0x1_0001 }).status, 0);
  };
  return { ram, view, seen, drive, write, read, put, ring, completion, acknowledge, admin, createPair, parts, timers };
}

test('the controller identifies itself and its namespace', () => {
  const { ram, view, admin, read } = bench();
  assert.equal(read(0x1c), 1);
  assert.equal(admin(6, { 6: DATA, 10: 1 }).status, 0);
  assert.equal(String.fromCharCode(...ram.slice(DATA + 4, DATA + 7)), 'S1 ');
  assert.equal(admin(6, { 6: DATA, 10: 0 }, 1).status, 0);
  assert.deepEqual([view.getUint32(DATA, true), ram[DATA + 130]], [4096, 9]);
  assert.equal(admin(6, { 6: DATA, 10: 0 }, 2).status & 0x7ff, 0x0b);
  assert.equal(admin(9, { 10: 7, 11: 0x3_0003 }).value, 0x3f_003f);
  assert.equal(admin(0x77, {}).status & 0x7ff, 1);
});

test('a batch of reads and writes through both region pages and a list, with one message', () => {
  const { ram, view, seen, drive, put, ring, completion, acknowledge, createPair, parts } = bench();
  parts.function.writeConfig(parts.function.capability(0x11) + 2, 2, 0x8000);
  parts.msix.writeTable(0, 4, 0xfee0_0000);
  parts.msix.writeTable(8, 4, 0x42);
  parts.msix.writeTable(12, 4, 0);
  createPair();
  seen.messages.length = 0;
  ram.fill(0x66, DATA + 0x8000, DATA + 0x9000);
  for (let page = 0; page < 4; page++) view.setUint32(LIST + 8 * page, DATA + 0x1000 * (page + 1), true);
  put(1, 2, 1, { 6: DATA + 0x200, 8: LIST, 10: 16, 12: 31 }, 1);
  put(1, 2, 2, { 6: DATA + 0x6000, 8: DATA + 0x7000, 10: 100, 12: 15 }, 1);
  put(1, 1, 3, { 6: DATA + 0x8000, 10: 200, 12: 7 }, 1);
  ring(1);
  for (const id of [1, 2, 3]) assert.deepEqual(completion(1), { id, status: 0, value: 0 });
  acknowledge(1);
  assert.deepEqual(seen.messages, [0x42]);
  assert.deepEqual(ram.slice(DATA + 0x200, DATA + 0x4200), drive.bytes.slice(16 * 512, 48 * 512));
  assert.deepEqual(ram.slice(DATA + 0x6000, DATA + 0x8000), drive.bytes.slice(100 * 512, 116 * 512));
  assert.equal(drive.bytes[203 * 512], 0x66);
});

test('the pin is high while there are completions, and masks hide it', () => {
  const { seen, write, put, ring, completion, acknowledge, createPair } = bench();
  createPair();
  put(1, 0, 1, {}, 1);
  ring(1);
  assert.equal(seen.interrupt, true);
  write(0x0c, 1);
  assert.equal(seen.interrupt, false);
  write(0x10, 1);
  assert.equal(seen.interrupt, true);
  completion(1);
  acknowledge(1);
  assert.equal(seen.interrupt, false);
});

test('a full completion ring holds commands back until there is room', () => {
  const { put, ring, completion, acknowledge, createPair, drive } = bench();
  createPair();
  for (let id = 0; id < 5; id++) put(1, 0, id, {}, 1);
  ring(1);
  for (let id = 5; id < 10; id++) put(1, 0, id, {}, 1);
  ring(1);
  assert.equal(drive.flushes, 7);
  for (let id = 0; id < 7; id++) assert.equal(completion(1)!.id, id);
  assert.equal(completion(1), undefined);
  acknowledge(1);
  for (let id = 7; id < 10; id++) assert.equal(completion(1)!.id, id);
});

test('errors: beyond the end, a bad region, an unreadable block, compare', () => {
  const { drive, put, ring, completion, acknowledge, createPair, ram } = bench();
  createPair();
  drive.badOffset = 50 * 512;
  put(1, 2, 1, { 6: DATA, 10: 4096, 12: 0 }, 1);
  put(1, 1, 2, { 6: 0x7000_0000, 10: 0, 12: 0 }, 1);
  put(1, 2, 3, { 6: DATA, 10: 50, 12: 0 }, 1);
  put(1, 5, 4, { 6: DATA, 10: 8, 12: 0 }, 1);
  put(1, 2, 5, { 6: DATA + 1, 10: 8, 12: 0 }, 1);
  ram.fill(0x77, DATA, DATA + 512);
  ring(1);
  assert.deepEqual([1, 2, 3, 4, 5].map(() => completion(1)!.status & 0x7ff), [0x80, 0x04, 0x281, 0x285, 0x13]);
  acknowledge(1);
  assert.equal(drive.writes, 0);
});

test('a reset and the deletion of a queue wait for the drive', async () => {
  const { drive, put, ring, completion, acknowledge, createPair, read, write } = bench();
  createPair();
  drive.slow = true;
  put(1, 2, 1, { 6: DATA, 10: 1, 12: 0 }, 1);
  ring(1);
  put(0, 0, 9, { 10: 1 });
  ring(0);
  assert.equal(completion(0), undefined);
  await drive.finishAll();
  assert.equal(completion(1)!.id, 1);
  assert.equal(completion(0)!.id, 9);
  acknowledge(0);
  put(0, 1, 10, { 6: SQ, 10: ((ENTRIES - 1) << 16) | 1, 11: 0x1_0001 });
  ring(0);
  assert.equal(completion(0)!.status, 0);
  write(0x1008, 1); // the read again
  write(0x14, 0x0046_0000);
  assert.equal(read(0x1c), 1);
  await drive.finishAll();
  assert.equal(read(0x1c), 0);
});

test('shutdown flushes, and a wrong doorbell is an event', async () => {
  const { drive, read, write, put, ring, completion } = bench();
  put(0, 0x0c, 3, {});
  ring(0);
  assert.equal(completion(0), undefined);
  write(0x1008, 1);
  assert.deepEqual(completion(0), { id: 3, status: 0, value: 0 });
  drive.slow = true;
  write(0x14, 0x0046_4001);
  assert.equal(read(0x1c), 5);
  await drive.finishAll();
  assert.equal(read(0x1c), 9);
  assert.equal(drive.flushes, 1);
});

test('a command has one number from its doorbell to its interrupt, in the drive too', async () => {
  const { drive, put, ring, createPair } = bench();
  createPair();
  put(1, 2, 9, { 6: DATA, 10: 16, 12: 7 }, 1);
  const events = takeEvents('nvme_*');
  ring(1);
  assert.deepEqual(events.taken.map(({ name }) => name), ['nvme_doorbell', 'nvme_command', 'nvme_completion', 'nvme_interrupt']);
  const { request } = events.taken[1]!.values;
  assert.ok(Number(request) > 0);
  assert.deepEqual([events.taken[2]!.values['request'], drive.lastRequest], [request, request]);
  drive.slow = true;
  put(1, 2, 10, { 6: DATA, 10: 16, 12: 7 }, 1);
  ring(1);
  assert.equal(events.taken.length, 6);
  await drive.finishAll();
  assert.equal(events.stop()[6]!.values['request'], events.taken[5]!.values['request']);
});
