// Tests of detect.ts and rom.ts, and a short run of the boot image fuzzer.
import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { test } from 'node:test';
import { Failure } from '../../base/failure.ts';
import { fuzzBootImages } from './boot-images.fuzz.ts';
import { builtinGuest } from './builtin-guest.ts';
import { detectKernel, loadKernel } from './detect.ts';
import { firmwareWrites, pcChipsetWrites, q35ChipsetWrites } from './power-on.ts';
import { resetVectorState } from './boot-state.ts';
import { loadRom } from './rom.ts';
import { elf32Multiboot, elf64Pvh, flatMultiboot } from './sample-images.ts';
import { testMachine } from './test-machine.ts';

test('a kernel is known by its content', () => {
  assert.equal(detectKernel(builtinGuest(), 'k'), 'linux');
  assert.equal(detectKernel(flatMultiboot(), 'k'), 'multiboot');
  assert.equal(detectKernel(elf32Multiboot(), 'k'), 'multiboot');
  assert.equal(detectKernel(elf64Pvh(), 'k'), 'pvh');
});

test('what is not a kernel is named', () => {
  const arm64 = new Uint8Array(1000);
  arm64.set([0x41, 0x52, 0x4d, 0x64], 0x38);
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(0), `invalid kernel header: 'k' is empty`],
    [new Uint8Array(5000), 'invalid kernel header'],
    [gzipSync('vmlinux'), `invalid kernel header: 'k' is a gzip-compressed file, not an x86 kernel`],
    [arm64, `invalid kernel header: 'k' is an arm64 kernel, not an x86 kernel`],
  ];
  for (const [file, message] of cases) {
    assert.throws(() => detectKernel(file, 'k'), (error) => error instanceof Failure && error.message === message);
  }
});

test('an ELF image for another processor is refused', () => {
  const file = elf64Pvh();
  file[18] = 183;
  const { write, input } = testMachine();
  assert.throws(() => loadKernel(write, input(file)), /Error while loading elf kernel \(machine 183 is not x86\)/);
});

test('a ROM ends at 4 GiB and its tail at 1 MiB', () => {
  const file = Uint8Array.from({ length: 256 * 1024 }, (_, n) => n >> 16);
  const { regions } = loadRom(file, 'rom');
  const state = resetVectorState();
  assert.deepEqual(regions.map(({ physical, bytes }) => [physical, bytes.length, bytes[0]]), [
    [0xfffc0000, 0x40000, 0],
    [0xe0000, 0x20000, 2],
  ]);
  assert.equal(state.segments.cs.base + state.rip, 0xfffffff0);
  for (const size of [0, 1000, 17 << 20]) assert.throws(() => loadRom(new Uint8Array(size), 'x'), /^Failure: could not load PC BIOS 'x'$/);
});

test('firmware writes fit their sizes', () => {
  for (const { space, address, sizeBytes, value } of [...firmwareWrites(pcChipsetWrites), ...firmwareWrites(q35ChipsetWrites)]) {
    assert.ok(value >= 0 && value < 2 ** (8 * sizeBytes));
    assert.ok(space === 'memory' || address < 0x10000);
  }
});

test('hostile boot images are loaded or refused, nothing else', () => {
  const { loaded, refused } = fuzzBootImages(1, 3000);
  assert.ok(loaded > 0 && refused > 0);
});
