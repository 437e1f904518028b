// A hostile driver: rings with random descriptors, loops, lengths and indices, rings that are half written while requests are in
// flight, resets at any time. Nothing may throw, no request may leave the drive, and nothing may be written to the drive that no
// header in guest memory asked for.
import { assert } from '../../base/assert.ts';
import type { Eventual } from '../../base/eventual.ts';
import { Prng } from '../../base/prng.ts';
import { MemoryDrive } from '../memory-drive.ts';
import { VIRTIO_STATUS } from './features.ts';
import { BUFFERS, QUEUE_SIZE, RAM_BYTES, RING, RING_BYTES, SampleBench, type SampleQueue } from './sample-driver.ts';
import { VirtioBlk } from './virtio-blk.ts';

const QUEUES = 2;
const SECTOR = 512;
const OUT = 1;
const STEPS = 120;

/** Looks at guest memory when something is written: some header must have asked for it. */
class WatchedDrive extends MemoryDrive {
  ram: DataView | undefined;

  override writev(offset: number, sources: readonly Uint8Array[]): Eventual<void> {
    assert(this.#isAskedFor(offset), `a write at ${offset} that nobody asked for`);
    return super.writev(offset, sources);
  }

  #isAskedFor(offset: number): boolean {
    const { ram } = this;
    if (ram === undefined) return false;
    for (let at = 0; at + 16 <= ram.byteLength; at++) {
      if (ram.getUint32(at, true) === OUT && ram.getUint32(at + 8, true) === offset / SECTOR) return true;
    }
    return false;
  }
}

const ADDRESS_OF_NOTHING = [0xffff_f000, 0x8000_0000, RAM_BYTES - 8, RAM_BYTES];

function scribbleDescriptor(random: Prng, view: DataView, at: number): void {
  const place = random.oneIn(8) ? random.below(RAM_BYTES) : BUFFERS + 0x200 * random.below(64);
  view.setUint32(at, random.oneIn(16) ? random.pick(ADDRESS_OF_NOTHING) : place, true);
  view.setUint32(at + 4, random.oneIn(30) ? random.u32() : 0, true);
  const lengths = [1, 16, 16, 512, 512, 1024, 4096, 17, 0, 32, 0xffff_ffff];
  view.setUint32(at + 8, random.pick(lengths), true);
  view.setUint16(at + 12, random.oneIn(6) ? random.below(16) : random.pick([0, 1, 1, 2, 3]), true);
  view.setUint16(at + 14, random.oneIn(20) ? random.below(65536) : random.below(QUEUE_SIZE), true);
}

function scribbleHeader(random: Prng, view: DataView): void {
  const at = BUFFERS + 0x200 * random.below(64);
  view.setUint32(at, random.pick([0, 0, 1, 1, 4, 8, 11, 13, 99]), true);
  view.setUint32(at + 8, random.oneIn(8) ? random.u32() : random.below(64), true);
  view.setUint32(at + 12, random.oneIn(30) ? random.u32() : 0, true);
}

/** A request as a driver should make it, in most of its parts. */
function addRequest(random: Prng, bench: SampleBench, queue: SampleQueue): void {
  const at = BUFFERS + 0x800 * random.below(16);
  const isRead = random.oneIn(2);
  bench.view.setUint32(at, isRead ? random.pick([0, 0, 8]) : random.pick([1, 1, 1, 4, 11, 13]), true);
  bench.view.setUint32(at + 8, random.below(random.oneIn(8) ? 80 : 60), true);
  bench.view.setUint32(at + 12, 0, true);
  const sizes = random.pick([[512], [512, 512], [16], [256, 256], [1024], []]);
  const data = sizes.map((size, index) => ({ address: at + 0x20 + 0x200 * index, size, writable: isRead }));
  const status = { address: at + 0x700, size: 1, writable: true };
  const table = bench.options.indirect === true && random.oneIn(2) ? at + 0x720 : undefined;
  queue.add([{ address: at, size: 16, writable: false }, ...data, status], table);
}

interface Session {
  readonly random: Prng;
  readonly bench: SampleBench;
  readonly drive: MemoryDrive;
  queues: SampleQueue[];
}

function restart(session: Session): void {
  session.bench.start();
  session.queues = Array.from({ length: QUEUES }, (_, index) => session.bench.queue(index));
}

/** Something that no driver does. */
function breakRule({ random, bench: { view, device } }: Session): void {
  const ring = RING + RING_BYTES * random.below(QUEUES);
  switch (random.below(5)) {
    case 0:
    case 1:
      return scribbleDescriptor(random, view, ring + 16 * random.below(QUEUE_SIZE));
    case 2: // an entry of the available ring, or the driver's event flags
      return view.setUint16(ring + 0x1004 + 2 * random.below(QUEUE_SIZE + 1), random.below(random.oneIn(8) ? 65536 : QUEUE_SIZE), true);
    case 3: // the available index, or a packed descriptor's flags
      view.setUint16(ring + 0x1002, random.oneIn(10) ? random.below(65536) : view.getUint16(ring + 0x1002, true) + random.below(4), true);
      return view.setUint16(ring + 16 * random.below(QUEUE_SIZE) + 14, random.below(8) | (random.oneIn(2) ? 0x80 : 0x8000), true);
    default:
      return random.oneIn(20) ? device.setStatus(random.below(256)) : scribbleHeader(random, view);
  }
}

function step(session: Session): void {
  const { random, bench, drive, queues } = session;
  if ((bench.device.state.status & VIRTIO_STATUS.NEEDS_RESET) !== 0 && random.oneIn(4)) restart(session);
  switch (random.below(12)) {
    case 0:
      return breakRule(session);
    case 1:
    case 2:
      return drive.finishOne();
    case 3:
      return random.oneIn(12) ? restart(session) : void random.pick(queues).used();
    case 4:
    case 5:
    case 6:
      return bench.device.notify(random.below(QUEUES + 1));
    default:
      return addRequest(random, bench, random.pick(queues));
  }
}

export async function fuzzRings(seed: number): Promise<void> {
  const random = new Prng(seed);
  const readOnly = random.oneIn(4);
  const drive = new WatchedDrive({ size: 64 * SECTOR, readOnly, slow: random.oneIn(2) });
  const options = { packed: random.oneIn(2), eventIndex: random.oneIn(2), indirect: random.oneIn(2) };
  const bench = new SampleBench(new VirtioBlk({ drive, queues: QUEUES, queueSize: QUEUE_SIZE }), options);
  drive.ram = bench.view;
  const session: Session = { random, bench, drive, queues: [] };
  restart(session);
  for (let count = 0; count < STEPS; count++) step(session);
  await drive.finishAll();
  // Whatever happened: after a reset the device is a device again.
  bench.device.setStatus(0);
  await drive.finishAll();
  assert(bench.device.status === 0, 'a reset comes to its end');
  bench.start();
  assert((bench.device.status & VIRTIO_STATUS.NEEDS_RESET) === 0, 'a device that was reset works');
}
