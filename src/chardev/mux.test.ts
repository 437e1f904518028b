// Tests of mux.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CharBackend, CharEvent, CharFrontEnd } from '../ports/char-backend.ts';
import { CharMux } from './mux.ts';

const text = (bytes: Uint8Array): string => new TextDecoder('latin1').decode(bytes);

class Recorder implements CharFrontEnd {
  received = '';
  room = 1000;
  readonly events: CharEvent[] = [];
  writableCount = 0;

  canReceive(): number {
    return this.room;
  }
  receive(bytes: Uint8Array): void {
    this.received += text(bytes);
  }
  event(event: CharEvent): void {
    this.events.push(event);
  }
  writable(): void {
    this.writableCount++;
  }
}

function bench() {
  let frontEnd: CharFrontEnd | undefined;
  const seen = { output: '', quits: 0, room: Infinity };
  const backend: CharBackend = {
    connect: (connected) => void (frontEnd = connected),
    write(bytes) {
      const taken = Math.min(seen.room, bytes.length);
      seen.output += text(bytes.subarray(0, taken));
      return taken;
    },
    acceptInput() {},
    async close() {},
  };
  const mux = new CharMux(backend, { quit: () => seen.quits++ });
  const ports = [mux.attach(), mux.attach()] as const;
  const recorders = [new Recorder(), new Recorder()] as const;
  for (const index of [0, 1] as const) ports[index].connect(recorders[index]);
  const type = (keys: string): void => frontEnd!.receive(new TextEncoder().encode(keys));
  return { seen, ports, console: recorders[0], monitor: recorders[1], type, outside: frontEnd! };
}

test('keys go to the front end in focus; Ctrl-A c changes it', () => {
  const { console, monitor, type } = bench();
  type('ab\x01cinfo\x01');
  type('cz');
  assert.equal(console.received, 'abz');
  assert.equal(monitor.received, 'info');
  assert.deepEqual(console.events, ['focus', 'unfocus', 'focus']);
  assert.deepEqual(monitor.events, ['focus', 'unfocus']);
});

test('Ctrl-A Ctrl-A is Ctrl-A; other escapes are swallowed', () => {
  const { console, type } = bench();
  type('\x01\x01\x01?x');
  assert.equal(console.received, '\x01x');
});

test('Ctrl-A h prints the keys, x quits, b is a break', () => {
  const { seen, console, type } = bench();
  type('\x01h');
  assert.match(seen.output, /^\n\rC-a h {4}print this help\n\rC-a x {4}exit emulator\n\r/);
  type('\x01b\x01x');
  assert.deepEqual(console.events, ['focus', 'break']);
  assert.equal(seen.quits, 1);
});

test('what the device has no room for waits, and the source is told', () => {
  const { console, ports, type, outside } = bench();
  console.room = 0;
  type('x'.repeat(4000));
  assert.equal(outside.canReceive(), 96);
  console.room = 16;
  ports[0].acceptInput();
  assert.equal(console.received.length, 4000);
});

test('only a front end whose write was cut short hears of room', () => {
  const { seen, ports, console, monitor, outside } = bench();
  seen.room = 2;
  assert.equal(ports[0].write(Uint8Array.of(1, 2, 3)), 2);
  assert.equal(ports[1].write(Uint8Array.of(1)), 1);
  outside.writable!();
  assert.deepEqual([console.writableCount, monitor.writableCount], [1, 0]);
});
