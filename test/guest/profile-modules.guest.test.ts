// What a profile says of a Linux guest's modules, one of which is loaded while it runs: functions and their addresses against what the
// guest itself says of them, and callers against the calls that the code has.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { profileHost } from '../../src/cli/profile-session.ts';
import { Machine } from '../../src/platform/node/machine.ts';
import { addressText, parseAddress } from '../../src/profile/address.ts';
import { GuestMemory } from '../../src/profile/guest-memory.ts';
import type { Sampler } from '../../src/profile/sampler.ts';
import { codeName } from '../../src/profile/symbols.ts';
import { MachineSampling } from '../../src/vm/machine-profile.ts';
import { findDiskLinux, PROMPT } from './linux-guest.ts';

const TIMEOUT = { timeoutMs: 240_000 };
const MKE2FS = '/sbin/mke2fs';
const WORK = [
  'insmod /modules/*-ext4.ko', 'mkdir /mnt', 'mount -t ext4 /dev/vda /mnt', 'i=0',
  'while [ $i -lt 60 ]; do dd if=/bin/busybox of=/mnt/f$i bs=64k conv=fsync 2>/dev/null; i=$((i+1)); done',
  'grep " [tTwW] .*\\[" /proc/kallsyms', 'echo E""ND',
].join('; ');
/** Functions that call something else as their last act are not on the stack. */
const RIGHT_CALLS_MIN = 0.9;
const CALLS_MIN = 100;

interface Profiled {
  readonly sampler: Sampler;
  readonly memory: GuestMemory;
  readonly modulesBefore: readonly string[];
  readonly text: string;
}

async function profiled(kernel: string, initrd: string): Promise<Profiled> {
  const folder = mkdtempSync(join(tmpdir(), 'nandu-modules-'));
  const file = join(folder, 'disk');
  assert.equal(spawnSync(MKE2FS, ['-q', '-t', 'ext4', file, '65536']).status, 0);
  const machine = await Machine.create({
    kernel, initrd, append: 'console=ttyS0 panic=-1', ramBytes: 256 << 20, noReboot: true,
    drives: [{ interface: 'virtio', file, format: 'raw' }],
  });
  try {
    machine.start();
    await machine.console.waitFor(PROMPT, TIMEOUT);
    const sampling = await MachineSampling.start(machine, profileHost, { hertz: 997, symbols: undefined });
    const { sampler } = sampling;
    while (sampler.kernel.look());
    sampler.kernel.modules.refresh();
    const modulesBefore = sampler.kernel.modules.all.map(({ name }) => name);
    machine.console.write(`${WORK}\n`);
    const text = await machine.console.waitFor('END', TIMEOUT);
    sampling.stop();
    const { vcpu, memory } = machine;
    return { sampler, memory: new GuestMemory(vcpu.u32, vcpu.area, memory.ramBytes), modulesBefore, text };
  } finally {
    await machine.stop();
    rmSync(folder, { recursive: true });
  }
}

/** Names of functions, as profiles have them, by address, out of /proc/kallsyms. */
function functionsOf(kallsyms: string): Map<number, string[]> {
  const functions = new Map<number, string[]>();
  for (const [, digits, name, module] of kallsyms.matchAll(/^([0-9a-f]{16}) [tTwW] (\S+)\s+\[(\w+)\]\r?$/gm)) {
    const address = parseAddress(digits!)!;
    functions.set(address, [...(functions.get(address) ?? []), `${name} [${module}]`]);
  }
  return functions;
}

/** Direct calls of one function of modules by another that samples have on their stacks, and those whose code has that call. */
function calls({ sampler: { samples, kernel }, memory }: Profiled): { all: number; right: number } {
  const { parents, addresses } = samples.stacks;
  memory.begin(kernel.tables);
  const nameOf = (address: number): string | undefined =>
    kernel.symbols!.indexOf(address) < 0 ? kernel.modules.nameOf(address) : undefined;
  let [all, right] = [0, 0];
  for (const leaf of samples.nodes.subarray(0, samples.count)) {
    for (let node = leaf; parents[node]! !== 0; node = parents[node]!) {
      const back = addresses[parents[node]!]!;
      if (nameOf(back) === undefined || memory.u8(back - 5) !== 0xe8) continue;
      const called = nameOf(back + memory.i32(back - 4));
      const found = nameOf(node === leaf ? addresses[node]! : addresses[node]! - 1);
      if (called === undefined || found === undefined) continue;
      all++;
      if (called === found) right++;
    }
  }
  return { all, right };
}

const guest = await findDiskLinux('rmmod ext4; setsid cttyhack sh');
test('functions of modules have the names that the guest says, and their callers', {
  skip: guest.missing ?? (!existsSync(MKE2FS) && 'no e2fsprogs'),
}, async (t) => {
  assert.ok(guest.missing === undefined);
  const profile = await profiled(guest.kernel, guest.initrd);
  const { sampler: { kernel }, modulesBefore, text } = profile;
  const { modules } = kernel;
  const functions = functionsOf(text);
  assert.ok(modulesBefore.includes('jbd2') && !modulesBefore.includes('ext4'));
  assert.ok(functions.size > 2000, `${functions.size} functions`);

  await t.test('names', () => {
    for (const [address, names] of functions) {
      for (const place of [address, address + 1]) {
        const found = codeName(kernel, place, false);
        assert.ok(names.includes(found), `${addressText(address)}: ${found}, not ${names.join(' or ')}`);
      }
    }
  });

  await t.test('nothing that the guest does not know', () => {
    for (const { name, structure: { pieces } } of modules.all) {
      const table = pieces.map(({ start }) => modules.tableAt(start)).find((one) => one !== undefined);
      assert.ok(table !== undefined, name);
      for (let index = 0; index < table.count; index++) {
        const address = table.source.addressAt(index);
        assert.ok(functions.has(address), `${name}: ${addressText(address)}`);
      }
    }
  });

  await t.test('callers', () => {
    const { all, right } = calls(profile);
    assert.ok(all > CALLS_MIN && right / all > RIGHT_CALLS_MIN, `of ${all} calls ${right} are in the code`);
    t.diagnostic(`of ${all} calls ${right} are in the code`);
  });
});
