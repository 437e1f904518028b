// Tests of virtio-blk.ts and of the rings under it: split and packed, with and without indirect tables and event indices.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { enableEvents, setTraceSink } from '../../trace/event.ts';
import { MemoryDrive } from '../memory-drive.ts';
import { BUFFERS, SampleBench, type SampleOptions, type SampleQueue } from './sample-driver.ts';
import { VIRTIO_STATUS } from './features.ts';
import { VirtioBlk } from './virtio-blk.ts';

const IN = 0;
const OUT = 1;
const FLUSH = 4;
const GET_ID = 8;
const DISCARD = 11;

/** One request in guest memory: header, data, status. */
class Request {
  readonly at: number;
  readonly bench: SampleBench;
  readonly dataBytes: number;

  constructor(bench: SampleBench, place: number, dataBytes = 1024) {
    this.bench = bench;
    this.at = BUFFERS + place * 0x2000;
    this.dataBytes = dataBytes;
  }

  get data(): Uint8Array {
    return this.bench.ram.subarray(this.at + 16, this.at + 16 + this.dataBytes);
  }

  get status(): number {
    return this.bench.ram[this.at + 0x1800]!;
  }

  add(queue: SampleQueue, type: number, sector: number): number {
    const { view, ram } = this.bench;
    view.setUint32(this.at, type, true);
    view.setUint32(this.at + 8, sector, true);
    ram[this.at + 0x1800] = 0xff;
    const data = { address: this.at + 16, size: this.dataBytes, writable: type === IN || type === GET_ID };
    return queue.add(
      [
        { address: this.at, size: 16, writable: false }, ...(this.dataBytes > 0 ? [data] : []),
        { address: this.at + 0x1800, size: 1, writable: true },
      ],
      this.bench.options.indirect === true ? this.at + 0x1900 : undefined,
    );
  }
}

function make(options: SampleOptions = {}, slow = false) {
  const drive = new MemoryDrive({ size: 1 << 20, slow });
  const bench = new SampleBench(new VirtioBlk({ drive, serial: 'disk-1' }), options);
  bench.start();
  return { drive, bench, queue: bench.queue() };
}

const KINDS: readonly SampleOptions[] = [
  {}, { eventIndex: true }, { indirect: true }, { packed: true }, { packed: true, indirect: true, eventIndex: true },
];

for (const options of KINDS) {
  test(`what is written is read back, many times around the ring: ${JSON.stringify(options)}`, () => {
    const { drive, bench, queue } = make(options);
    const request = new Request(bench, 0);
    for (let round = 0; round < 50; round++) {
      request.data.fill(round + 1);
      const written = request.add(queue, OUT, 2 * round);
      queue.kick();
      assert.deepEqual(queue.used(), [{ id: written, bytes: 1 }]);
      request.data.fill(0);
      const read = request.add(queue, IN, 2 * round);
      queue.kick();
      assert.deepEqual(queue.used(), [{ id: read, bytes: 1025 }]);
      assert.equal(request.status, 0);
      assert.ok(request.data.every((byte) => byte === round + 1));
    }
    assert.equal(drive.writes, 50);
    assert.equal(bench.interrupts, 100);
  });
}

describe('virtio-blk', () => {
  test('neighbours of a batch are one request and one interrupt', () => {
    const { drive, bench, queue } = make();
    const requests = [0, 1, 2].map((place) => new Request(bench, place));
    requests.forEach((request, index) => {
      request.data.fill(index + 1);
      request.add(queue, OUT, 2 * index);
    });
    queue.kick();
    assert.deepEqual([drive.writes, bench.interrupts, queue.used().length], [1, 1, 3]);
    assert.deepEqual([0, 1024, 2048].map((at) => drive.bytes[at]), [1, 2, 3]);
  });

  test('a failed request and one outside the drive are I/O errors', () => {
    const { drive, bench, queue } = make();
    drive.badOffset = 0;
    const [bad, outside] = [new Request(bench, 0), new Request(bench, 1)];
    bad.add(queue, IN, 0);
    outside.add(queue, OUT, 2047);
    queue.kick();
    assert.deepEqual([bad.status, outside.status, drive.writes], [1, 1, 0]);
  });

  test('flush, identification and discard', () => {
    const { drive, bench, queue } = make();
    drive.bytes.fill(7);
    const [flush, id, discard] = [new Request(bench, 0, 0), new Request(bench, 1, 20), new Request(bench, 2, 16)];
    flush.add(queue, FLUSH, 0);
    id.add(queue, GET_ID, 0);
    bench.view.setUint32(discard.at + 16, 8, true);
    bench.view.setUint32(discard.at + 24, 2, true);
    discard.add(queue, DISCARD, 0);
    queue.kick();
    assert.deepEqual([flush.status, id.status, discard.status, drive.flushes], [0, 0, 0, 1]);
    assert.equal(new TextDecoder().decode(id.data).replace(/\0+$/, ''), 'disk-1');
    assert.deepEqual([4095, 4096, 5119, 5120].map((at) => drive.bytes[at]), [7, 0, 0, 7]);
  });

  test('a reset while a request is in flight is over when that has ended, and nothing comes back', async () => {
    const { drive, bench, queue } = make({}, true);
    const request = new Request(bench, 0);
    request.add(queue, OUT, 0);
    queue.kick();
    bench.device.setStatus(0);
    assert.notEqual(bench.device.status, 0);
    await drive.finishAll();
    assert.equal(bench.device.status, 0);
    assert.deepEqual([queue.used(), request.status, bench.interrupts], [[], 0xff, 0]);
  });

  test('the events of a request are joined by its number, from the doorbell to the interrupt', async () => {
    const { bench, queue, drive } = make({}, true);
    const events: string[] = [];
    const former = setTraceSink(({ name }, _atNs, values) => events.push(`${name} ${String(values['request'] ?? '')}`.trim()));
    enableEvents('virt*');
    new Request(bench, 0).add(queue, IN, 0);
    queue.kick();
    await drive.finishAll();
    enableEvents('virt*', false);
    setTraceSink(former);
    const request = /\d+/.exec(events[1]!)![0];
    const named = ['virtqueue_pop', 'virtio_blk_handle_read', 'virtio_blk_submit_multireq'].map((name) => `${name} ${request}`);
    const ends = ['virtio_blk_rw_complete', 'virtio_blk_req_complete', 'virtqueue_fill'].map((name) => `${name} ${request}`);
    assert.deepEqual(events, ['virtio_queue_notify', ...named, 'virtqueue_flush', ...ends, 'virtqueue_flush', 'virtio_notify']);
  });

  test('a loop of descriptors breaks the device until it is reset', () => {
    const { bench, queue } = make();
    const request = new Request(bench, 0);
    request.add(queue, IN, 0);
    bench.view.setUint16(0x1000 + 16 * 2 + 12, 1, true); // the status descriptor goes on, with the first one
    bench.view.setUint16(0x1000 + 16 * 2 + 14, 0, true);
    queue.kick();
    assert.equal(bench.device.status & VIRTIO_STATUS.NEEDS_RESET, VIRTIO_STATUS.NEEDS_RESET);
    bench.start();
    const again = bench.queue();
    request.add(again, IN, 0);
    again.kick();
    assert.equal(request.status, 0);
  });
});
