// Files of the host in both back ends, on real files.
import assert from 'node:assert/strict';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ErrnoFailure } from '../../base/errno.ts';
import type { HostFiles } from '../../ports/host-file.ts';
import { pooledHostFiles, syncHostFiles } from './host-files.ts';
import { systemCalls } from './system-calls.ts';

const noCalls = systemCalls() === undefined ? 'koffi is not installed, or this is not Linux on x64 or arm64' : false;
const BLOCK = 65536;

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'nandu-files-'));
});
after(() => rmSync(folder, { recursive: true }));

const bytes = (count: number, value: number): Uint8Array => new Uint8Array(count).fill(value);
const isErrno = (errno: string, text: string) => (error: unknown) =>
  error instanceof ErrnoFailure && error.errno === errno && error.message === text;

function suite(name: string, makeFiles: () => HostFiles): void {
  describe(name, () => {
    const files = makeFiles();

    test('what was written is read again; past the end there is less', async () => {
      const path = join(folder, `${name}-rw`);
      const file = await files.open(path, { write: true, create: true });
      await file.write(1000, bytes(5000, 7));
      assert.equal(file.size(), 6000);
      const target = bytes(8000, 1);
      assert.equal(await file.read(0, target), 6000);
      assert.deepEqual([target[999], target[1000], target[5999], target[6000]], [0, 7, 7, 1]);
      assert.equal(await file.read(7000, target), 0);
      await file.flush();
      await file.truncate(10);
      assert.equal(file.size(), 10);
      await file.close();
      await file.close();
      assert.throws(() => file.size(), isErrno('EBADF', 'Bad file descriptor'));
    });

    test('large transfers come whole', async () => {
      const file = await files.open(join(folder, `${name}-large`), { write: true, create: true });
      const source = bytes(9_000_001, 0).map((_, index) => index * 7);
      await file.write(3, source);
      const target = new Uint8Array(source.length);
      assert.equal(await file.read(3, target), source.length);
      assert.ok(Buffer.from(target.buffer).equals(source));
      await file.close();
    });

    test('several buffers are one request; past the end there is less', async () => {
      const file = await files.open(join(folder, `${name}-vectors`), { write: true, create: true });
      for (const part of [100, 70_000, 900_000]) {
        const sources = [bytes(1, 1), bytes(part, 2), bytes(0, 9), bytes(7, 3)];
        const written = file.writev!(5, sources, part + 8);
        if (written === false) continue; // one buffer only
        await written;
        const targets = [bytes(3, 9), bytes(part, 9), bytes(20, 9)];
        assert.equal(await file.readv!(5, targets, part + 23), part + 8);
        const [head, middle, tail] = targets as [Uint8Array, Uint8Array, Uint8Array];
        assert.deepEqual([...head], [1, 2, 2]);
        assert.deepEqual([middle[0], middle[part - 3], middle[part - 2], middle[part - 1]], [2, 2, 3, 3]);
        assert.deepEqual([...tail.subarray(0, 6)], [3, 3, 3, 3, 3, 9]);
        await file.truncate(0);
      }
      const many = Array.from({ length: 5000 }, () => bytes(2, 4));
      assert.equal(file.writev!(0, many, 10_000), false);
      assert.equal(file.size(), 0);
      await file.close();
    });

    test('keep leaves the content of an existing file', async () => {
      const path = join(folder, `${name}-keep`);
      writeFileSync(path, 'content');
      const kept = await files.open(path, { write: true, create: true, keep: true });
      assert.equal(kept.size(), 7);
      await kept.close();
      const emptied = await files.open(path, { write: true, create: true });
      assert.equal(emptied.size(), 0);
      await emptied.close();
    });

    test('errors carry the texts of strerror', async () => {
      const absent = join(folder, 'absent');
      await assert.rejects(async () => files.open(absent, { write: false }), isErrno('ENOENT', 'No such file or directory'));
      await assert.rejects(async () => files.open(folder, { write: true }), isErrno('EISDIR', 'Is a directory'));
      await assert.rejects(async () => files.open(folder, { write: false }), isErrno('EISDIR', 'Is a directory'));
      const path = join(folder, `${name}-ro`);
      writeFileSync(path, 'x');
      const file = await files.open(path, { write: false });
      await assert.rejects(async () => file.write(0, bytes(1, 1)), isErrno('EBADF', 'Bad file descriptor'));
      await assert.rejects(async () => file.truncate(0), isErrno('EINVAL', 'Invalid argument'));
      await file.close();
    });

    test('a full disk is ENOSPC', { skip: files.kind('/dev/full') === undefined ? 'no /dev/full' : false }, async () => {
      const file = await files.open('/dev/full', { write: true });
      assert.equal(file.kind, 'character-device');
      await assert.rejects(async () => file.write(0, bytes(4096, 1)), isErrno('ENOSPC', 'No space left on device'));
      await file.close();
    });

    test('O_DIRECT takes any buffer, and whole blocks only', async (context) => {
      const path = join(folder, `${name}-direct`);
      writeFileSync(path, bytes(3 * BLOCK, 0));
      let file;
      try {
        file = await files.open(path, { write: true, direct: true });
      } catch (error) {
        assert.ok(isErrno('EINVAL', 'Invalid argument')(error));
        return context.skip('the file system has no O_DIRECT');
      }
      const { alignment } = file;
      assert.ok(alignment >= 512 && alignment <= BLOCK);
      const odd = new Uint8Array(2 * BLOCK + 3).subarray(3).fill(9);
      await file.write(BLOCK, odd);
      const target = new Uint8Array(3 * BLOCK + 1).subarray(1);
      assert.equal(await file.read(0, target), 3 * BLOCK);
      assert.deepEqual([target[BLOCK - 1], target[BLOCK], target.at(-1)], [0, 9, 9]);
      await assert.rejects(async () => file.read(1, new Uint8Array(alignment)), isErrno('EINVAL', 'Invalid argument'));
      await assert.rejects(async () => file.write(0, new Uint8Array(alignment - 1)), isErrno('EINVAL', 'Invalid argument'));
      truncateSync(path, BLOCK + 100);
      assert.equal(await file.read(0, target), BLOCK + 100);
      await file.close();
    });

    test('holes are seen, made and filled', { skip: noCalls }, async () => {
      const path = join(folder, `${name}-sparse`);
      closeSync(openSync(path, 'w'));
      truncateSync(path, 8 * BLOCK);
      const file = await files.open(path, { write: true });
      const sparse = file.sparse!;
      await file.write(2 * BLOCK, bytes(2 * BLOCK, 5));
      assert.deepEqual([sparse.seekData(0), sparse.seekHole(2 * BLOCK), sparse.seekHole(0)], [2 * BLOCK, 4 * BLOCK, 0]);
      assert.equal(sparse.seekData(4 * BLOCK), undefined);
      assert.equal(sparse.seekHole(8 * BLOCK), undefined);
      await sparse.punchHole(2 * BLOCK, BLOCK);
      assert.equal(sparse.seekData(0), 3 * BLOCK);
      const before = file.allocatedBytes()!;
      await sparse.allocate(8 * BLOCK, 4 * BLOCK);
      assert.equal(file.size(), 12 * BLOCK);
      assert.ok(file.allocatedBytes()! >= before + 4 * BLOCK);
      await assert.rejects(async () => sparse.allocate(0, 2 ** 62), ErrnoFailure);
      await file.close();
    });
  });
}

suite('sync', syncHostFiles);
suite('pooled', () => pooledHostFiles({ cachedReads: false }));
suite('cached', pooledHostFiles);

test('what is in the page cache is read at once, into any kind of memory', { skip: noCalls }, async () => {
  const path = join(folder, 'at-once');
  writeFileSync(path, bytes(BLOCK, 5));
  const file = await pooledHostFiles().open(path, { write: false });
  const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true });
  const shared = new Uint8Array(buffer, 100, 200);
  const small = new Uint8Array(16);
  assert.equal(file.read(BLOCK - 100, shared), 100);
  assert.deepEqual([shared[0], shared[99], shared[100], new Uint8Array(buffer)[99]], [5, 5, 0, 0]);
  assert.equal(file.read(0, small.subarray(4, 12)), 8);
  assert.deepEqual([...small], [0, 0, 0, 0, 5, 5, 5, 5, 5, 5, 5, 5, 0, 0, 0, 0]);
  assert.equal(file.read(BLOCK, small), 0);
  await file.close();
});

test('the synchronous back end answers at once', () => {
  const path = join(folder, 'now');
  const file = syncHostFiles().open(path, { write: true, create: true });
  assert.ok(!(file instanceof Promise));
  assert.equal(file.write(0, bytes(10, 1)), undefined);
  assert.equal(file.read(0, new Uint8Array(20)), 10);
  assert.equal(file.flush(), undefined);
  assert.equal(file.close(), undefined);
});

test('locks of two opens of one file see each other', { skip: noCalls }, () => {
  const path = join(folder, 'locked');
  const files = syncHostFiles();
  const a = files.open(path, { write: true, create: true });
  const b = files.open(path, { write: false });
  assert.ok(!(a instanceof Promise) && !(b instanceof Promise));
  assert.ok(a.locks!.lockShared(101, 1));
  assert.ok(b.locks!.lockShared(101, 1));
  assert.equal(a.locks!.wouldConflict(101, 1), true);
  assert.equal(a.locks!.wouldConflict(102, 1), false);
  b.locks!.unlock(101, 1);
  assert.equal(a.locks!.wouldConflict(101, 1), false); // its own lock is no conflict
  assert.equal(b.locks!.wouldConflict(101, 1), true);
  void a.close();
  assert.equal(b.locks!.wouldConflict(101, 1), false);
  void b.close();
});

test('kind tells what is there', () => {
  const files = syncHostFiles();
  const path = join(folder, 'kinds');
  mkdirSync(path);
  writeFileSync(join(path, 'a'), '');
  assert.equal(files.kind(join(path, 'a')), 'regular');
  assert.equal(files.kind(path), 'directory');
  assert.equal(files.kind(join(path, 'b')), undefined);
  files.remove(join(path, 'a'));
  assert.equal(files.kind(join(path, 'a')), undefined);
  assert.throws(() => files.remove(join(path, 'a')), isErrno('ENOENT', 'No such file or directory'));
  assert.throws(() => files.realPath(join(path, 'a')), isErrno('ENOENT', 'No such file or directory'));
  assert.equal(files.realPath(join(path, '..', 'kinds')), files.realPath(path));
});
