// Tests of virtio-console.ts, virtio-rng.ts and virtio-balloon.ts on the sample driver.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CharBackend, CharFrontEnd } from '../../ports/char-backend.ts';
import { SampleBench } from './sample-driver.ts';
import { VirtioBalloon } from './virtio-balloon.ts';
import { VirtioConsole } from './virtio-console.ts';
import { VirtioRng } from './virtio-rng.ts';

const MULTIPORT = 1;
/** Behind the rings of six queues. */
const BUFFERS = 0x20000;

class Backend implements CharBackend {
  frontEnd: CharFrontEnd | undefined;
  text = '';
  room = Infinity;

  connect(frontEnd: CharFrontEnd | undefined): void {
    this.frontEnd = frontEnd;
    frontEnd?.event?.('opened');
  }

  write(bytes: Uint8Array): number {
    const taken = Math.min(this.room, bytes.length);
    this.text += new TextDecoder().decode(bytes.subarray(0, taken));
    this.room -= taken;
    return taken;
  }

  acceptInput(): void {}
  async close(): Promise<void> {}
}

function make() {
  const handler = new VirtioConsole(2);
  const backend = new Backend();
  handler.addPort({ backend, isConsole: false, portName: 'org.sample' });
  const bench = new SampleBench(handler, { features: [MULTIPORT] });
  bench.start();
  const [controlIn, controlOut, portIn, portOut] = [2, 3, 4, 5].map((index) => bench.queue(index));
  for (let slot = 0; slot < 8; slot++) controlIn!.add([{ address: BUFFERS + 64 * slot, size: 64, writable: true }]);
  controlIn!.kick();
  const say = (event: number, value: number): void => {
    bench.view.setUint32(BUFFERS + 0x1000, 1, true);
    bench.view.setUint16(BUFFERS + 0x1004, event, true);
    bench.view.setUint16(BUFFERS + 0x1006, value, true);
    controlOut!.add([{ address: BUFFERS + 0x1000, size: 8, writable: false }]);
    controlOut!.kick();
  };
  const heard = (): string[] =>
    controlIn!.used().map(({ id, bytes }) => {
      const at = BUFFERS + 64 * id;
      const name = new TextDecoder().decode(bench.ram.subarray(at + 8, at + bytes));
      return `${bench.view.getUint16(at + 4, true)}=${bench.view.getUint16(at + 6, true)}${name}`;
    });
  return { backend, bench, say, heard, portIn: portIn!, portOut: portOut! };
}

test('a port is announced by its name and as open', () => {
  const { say, heard } = make();
  say(0, 1);
  assert.deepEqual(heard(), ['1=1']);
  say(3, 1);
  assert.deepEqual(heard(), ['7=1org.sample', '6=1']);
});

test('output waits for a slow back end, input for the guest to open the port', () => {
  const { backend, bench, say, portIn, portOut } = make();
  say(0, 1);
  say(3, 1);
  bench.ram.set(new TextEncoder().encode('hello'), BUFFERS + 0x2000);
  backend.room = 2;
  portOut.add([{ address: BUFFERS + 0x2000, size: 5, writable: false }]);
  portOut.kick();
  assert.deepEqual([backend.text, portOut.used().length], ['he', 0]);
  backend.room = Infinity;
  backend.frontEnd?.writable?.();
  assert.deepEqual([backend.text, portOut.used().length], ['hello', 1]);
  portIn.add([{ address: BUFFERS + 0x3000, size: 16, writable: true }]);
  assert.equal(backend.frontEnd?.canReceive(), 0);
  say(6, 1);
  assert.equal(backend.frontEnd?.canReceive(), 1024);
  backend.frontEnd?.receive(new TextEncoder().encode('answer'));
  assert.deepEqual(portIn.used().map(({ bytes }) => bytes), [6]);
  assert.equal(new TextDecoder().decode(bench.ram.subarray(BUFFERS + 0x3000, BUFFERS + 0x3006)), 'answer');
});

test('the entropy device fills what it is offered', () => {
  const bench = new SampleBench(new VirtioRng((target) => target.fill(5)));
  bench.device.state.queues[0]!.size = 8;
  bench.start();
  const queue = bench.queue();
  queue.add([{ address: BUFFERS, size: 100, writable: true }]);
  queue.kick();
  assert.deepEqual(queue.used().map(({ bytes }) => bytes), [100]);
  assert(bench.ram.subarray(BUFFERS, BUFFERS + 100).every((byte) => byte === 5));
});

test('the balloon gives back runs of pages, free pages that are reported, and takes statistics', () => {
  const discarded: string[] = [];
  const discard = (address: number, size: number): void => { discarded.push(`${address.toString(16)}+${size.toString(16)}`); };
  const balloon = new VirtioBalloon({ ramBytes: 1 << 24, reporting: true, discard });
  const bench = new SampleBench(balloon, { features: [1, 5] });
  bench.start();
  const [inflate, , statistics, reporting] = [0, 1, 2, 3].map((index) => bench.queue(index));
  [7, 9, 8, 0x10000].forEach((page, index) => bench.view.setUint32(BUFFERS + 4 * index, page, true));
  inflate!.add([{ address: BUFFERS, size: 16, writable: false }]);
  inflate!.kick();
  reporting!.add([{ address: 0x3_0800, size: 0x3000, writable: true }]);
  reporting!.kick();
  assert.deepEqual(discarded, ['7000+3000', '31000+2000']);
  bench.view.setUint16(BUFFERS, 4, true);
  bench.view.setBigUint64(BUFFERS + 2, 12345n, true);
  statistics!.add([{ address: BUFFERS, size: 10, writable: false }]);
  statistics!.kick();
  assert.deepEqual([balloon.statistics.get('stat-free-memory'), statistics!.used().length], [12345n, 0]);
  balloon.askForStatistics();
  assert.equal(statistics!.used().length, 1);
  balloon.setTarget(1 << 23);
  assert.equal(bench.device.readConfig(0, 4), 2048);
});
