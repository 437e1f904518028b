// Tests of kernel-files.ts: firmware finds a kernel in pieces that join to the file.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FwCfg, KEY } from '../../devices/firmware/fw-cfg.ts';
import { builtinGuest } from './builtin-guest.ts';
import { giveKernelToFirmware } from './kernel-files.ts';

function read(fwCfg: FwCfg, sizeKey: number, dataKey: number): Uint8Array {
  const bytes = (key: number, count: number): Uint8Array => {
    fwCfg.select(key);
    return Uint8Array.from({ length: count }, () => fwCfg.readByte());
  };
  return bytes(dataKey, new DataView(bytes(sizeKey, 4).buffer).getUint32(0, true));
}

test('the setup code and the kernel join to the file, and the command line ends in NUL', () => {
  const kernel = builtinGuest();
  const fwCfg = new FwCfg({});
  giveKernelToFirmware(fwCfg, { kernel, initrd: Uint8Array.of(1, 2, 3), commandLine: 'quiet' });
  const parts = [...read(fwCfg, KEY.SETUP_SIZE, KEY.SETUP_DATA), ...read(fwCfg, KEY.KERNEL_SIZE, KEY.KERNEL_DATA)];
  assert.deepEqual(Uint8Array.from(parts), kernel);
  assert.deepEqual(read(fwCfg, KEY.INITRD_SIZE, KEY.INITRD_DATA), Uint8Array.of(1, 2, 3));
  assert.equal(String.fromCharCode(...read(fwCfg, KEY.CMDLINE_SIZE, KEY.CMDLINE_DATA)), 'quiet\0');
});

test('what is no bzImage is refused', () => {
  const files = { kernel: new Uint8Array(4096), initrd: new Uint8Array(0), commandLine: '' };
  assert.throws(() => giveKernelToFirmware(new FwCfg({}), files), /invalid kernel header/);
});
