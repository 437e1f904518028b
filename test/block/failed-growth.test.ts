// A write that fails after a part of it has made the file longer: nothing of that part shows in clusters that are used later.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrnoFailure } from '../../src/base/errno.ts';
import { BlockBackend } from '../../src/block/backend.ts';
import { BlockGraph } from '../../src/block/graph.ts';
import { OptionDict } from '../../src/block/options.ts';
import { MemoryFiles } from '../../src/block/qcow2/memory-files.ts';
import type { HostFile, HostFileOptions } from '../../src/ports/host-file.ts';
import { createBlockHost } from '../../src/platform/node/block-host.ts';

const CLUSTER = 65536;

/** A file system that is full in the middle of every write of two clusters or more, from some time on. */
class FullFiles extends MemoryFiles {
  isFull = false;

  override open(path: string, options: HostFileOptions): HostFile {
    const file = super.open(path, options);
    const write: HostFile['write'] = (offset, source) => {
      if (!this.isFull || source.length < 2 * CLUSTER) return file.write(offset, source);
      const half = file.write(offset, source.subarray(0, source.length / 2));
      assert.equal(half, undefined);
      throw new ErrnoFailure('ENOSPC');
    };
    return { ...file, write };
  }
}

test('what a failed write left behind the end of the file is not seen', async () => {
  const files = new FullFiles();
  const graph = new BlockGraph({ ...createBlockHost({ files: 'sync' }), files });
  await graph.createImage('qcow2', 'image', new Map([['size', 64 * CLUSTER]]));
  const open = (): Promise<BlockBackend> =>
    BlockBackend.open(graph, { filename: 'image', options: new OptionDict([['driver', 'qcow2']]), flags: { readOnly: false } });
  const backend = await open();
  await backend.write(0, new Uint8Array(512).fill(1)); // there is a table now
  files.isFull = true;
  await assert.rejects(async () => backend.write(8 * CLUSTER, new Uint8Array(2 * CLUSTER).fill(0xee)), { errno: 'ENOSPC' });
  await backend.flush(); // clusters that were freed may be used again
  await backend.write(20 * CLUSTER, new Uint8Array(512).fill(2));
  await backend.close();
  const again = await open(); // now it is seen how long the file really is
  const bytes = new Uint8Array(CLUSTER);
  await again.read(20 * CLUSTER, bytes);
  assert.deepEqual(bytes.subarray(512), new Uint8Array(CLUSTER - 512));
  await again.close();
});
