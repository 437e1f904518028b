// Writes through a virtio-blk device into an image until it is killed, and says what it was promised. Words: image, blocks, seed,
// first sequence number. Each sector names the write
// that it is from; `ack LAST` on standard output follows a flush of all writes up to LAST.
import { writeSync } from 'node:fs';
import { Prng } from '../../src/base/prng.ts';
import { BUFFERS, SampleBench, type SampleQueue } from '../../src/devices/virtio/sample-driver.ts';
import { VirtioBlk } from '../../src/devices/virtio/virtio-blk.ts';
import { createBlockHost } from '../../src/platform/node/block-host.ts';
import { MachineDrives } from '../../src/vm/drives/machine-drives.ts';
import { withDefaults } from '../../src/vm/options.ts';
import { blockOf, fillBlock, BLOCK_BYTES, SECTOR_BYTES } from './kill-record.ts';

const BATCH = 4;
const SLOT_BYTES = 0x2000;
const OUT = 1;
const FLUSH = 4;

const [image = '', blocksText = '1', seedText = '1', firstText = '1'] = process.argv.slice(2);
const blocks = Number(blocksText);
const random = new Prng(Number(seedText));

const drives = await MachineDrives.open(
  { block: createBlockHost({ files: 'pooled' }), temporaryPath: () => '' },
  withDefaults({ drives: [{ id: 'd', interface: 'none', file: image, format: 'qcow2' }] }),
);
const bench = new SampleBench(new VirtioBlk({ drive: drives.drives.get('d')! }), { eventIndex: true, features: [9] });
bench.start();
const queue = bench.queue();

function add(target: SampleQueue, slot: number, type: number, sector: number, dataBytes: number): void {
  const at = BUFFERS + slot * SLOT_BYTES;
  bench.view.setUint32(at, type, true);
  bench.view.setUint32(at + 8, sector, true);
  bench.ram[at + 8192 - 1] = 0xff;
  const data = dataBytes === 0 ? [] : [{ address: at + 16, size: dataBytes, writable: false }];
  target.add([{ address: at, size: 16, writable: false }, ...data, { address: at + 8192 - 1, size: 1, writable: true }]);
}

async function completed(count: number): Promise<void> {
  let done = 0;
  queue.kick();
  for (;;) {
    done += queue.used().length;
    if (done === count) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (let slot = 0; slot < count; slot++) {
    if (bench.ram[BUFFERS + slot * SLOT_BYTES + 8192 - 1] !== 0) throw new Error('a request failed');
  }
}

for (let sequence = Number(firstText); ; sequence += BATCH) {
  for (let slot = 0; slot < BATCH; slot++) {
    const block = blockOf(sequence + slot, blocks);
    const at = BUFFERS + slot * SLOT_BYTES + 16;
    fillBlock(bench.ram.subarray(at, at + BLOCK_BYTES), sequence + slot);
    add(queue, slot, OUT, (block * BLOCK_BYTES) / SECTOR_BYTES, BLOCK_BYTES);
  }
  await completed(BATCH);
  if (random.oneIn(3)) continue; // not everything is flushed
  add(queue, 0, FLUSH, 0, 0);
  await completed(1);
  writeSync(1, `ack ${sequence + BATCH - 1}\n`);
}
