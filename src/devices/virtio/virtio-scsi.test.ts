// Tests of virtio-scsi.ts with a disk behind it: answers, and when the driver hears of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryDrive } from '../memory-drive.ts';
import { SbcDisk } from '../scsi/sbc-disk.ts';
import { BUFFERS, SampleBench, type SampleQueue } from './sample-driver.ts';
import { VirtioScsi } from './virtio-scsi.ts';

const REQUEST_QUEUE = 2;
const HEADER_BYTES = 51;
const ANSWER_BYTES = 108;
const DATA_BYTES = 1024;
const READ_10 = 0x28;
const SENSE_AT = 12;

function make(slow: boolean) {
  const drive = new MemoryDrive({ size: 1 << 20, slow });
  drive.bytes.forEach((_, at) => { drive.bytes[at] = at >> 9; });
  const handler = new VirtioScsi();
  const disk = new SbcDisk({ drive, identity: { vendor: 'V', product: 'P', revision: '1' } });
  disk.state.attention = false;
  handler.bus.attach(disk, { target: 0, lun: 0 });
  const bench = new SampleBench(handler);
  bench.start();
  return { drive, bench, queue: bench.queue(REQUEST_QUEUE) };
}

const placeOf = (n: number): number => BUFFERS + 0x1000 * n;
const answerOf = ({ ram }: SampleBench, n: number): Uint8Array => ram.subarray(placeOf(n) + 64, placeOf(n) + 64 + ANSWER_BYTES);
const dataOf = ({ ram }: SampleBench, n: number): Uint8Array => ram.subarray(placeOf(n) + 256, placeOf(n) + 256 + DATA_BYTES);

function addRead(queue: SampleQueue, n: number, lba: number): void {
  const { ram, view } = queue.bench;
  const at = placeOf(n);
  ram.fill(0xee, at, at + 256 + DATA_BYTES);
  ram.fill(0, at, at + HEADER_BYTES);
  ram[at] = 1; // target 0, lun 0
  ram[at + 19] = READ_10;
  view.setUint32(at + 21, lba);
  view.setUint16(at + 26, 2);
  queue.add([
    { address: at, size: HEADER_BYTES, writable: false }, { address: at + 64, size: ANSWER_BYTES, writable: true },
    { address: at + 256, size: DATA_BYTES, writable: true },
  ]);
}

for (const slow of [false, true]) {
  test(`commands of one batch, one of which fails, ${slow ? 'each shown as it ends' : 'are shown together'}`, async () => {
    const { drive, bench, queue } = make(slow);
    [3, 5000, 8].forEach((lba, n) => { addRead(queue, n, lba); });
    queue.kick();
    await drive.finishAll();
    assert.equal(queue.used().length, 3);
    assert.equal(bench.interrupts, slow ? 3 : 1);
    for (const [n, lba] of [[0, 3], [2, 8]] as const) {
      assert.deepEqual([...answerOf(bench, n)], new Array<number>(ANSWER_BYTES).fill(0));
      assert.deepEqual([dataOf(bench, n)[0], dataOf(bench, n)[512]], [lba, lba + 1]);
    }
    const failed = answerOf(bench, 1);
    assert.equal(failed[10], 2); // CHECK CONDITION
    assert.deepEqual([failed[SENSE_AT], failed[SENSE_AT + 2]! & 15, failed[SENSE_AT + 12]], [0x70, 5, 0x21]);
    assert.equal(dataOf(bench, 1)[0], 0xee);
  });
}
