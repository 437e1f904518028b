// A profile of a Linux guest: the kernel's symbols come out of its memory although it has moved itself, callers and programs have names.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProfileSession } from '../../src/cli/profile-session.ts';
import { Machine } from '../../src/platform/node/machine.ts';
import { findLinux, initrdWith, PROMPT, shellScript } from './linux-guest.ts';

for (const architecture of ['amd64', 'i386'] as const) {
  const guest = await findLinux(architecture);
  test(`a Linux kernel's code has names: ${architecture}`, { skip: guest.missing ?? false }, async () => {
    assert.ok(guest.missing === undefined);
    const { kernel } = guest;
    const initrd = initrdWith(architecture, shellScript('sha256sum /bin/busybox; uname -r'));
    const machine = await Machine.create({ kernel, initrd, append: 'console=ttyS0 panic=-1', ramBytes: 256 << 20, noReboot: true });
    const session = new ProfileSession(machine, { hertz: 997, symbols: undefined, top: 10, calls: false });
    await session.start();
    machine.start();
    await machine.console.waitFor(PROMPT, { timeoutMs: 240_000 });
    session.stop();
    await machine.stop();
    const profile = session.profile();
    const names = new Set(profile.functions.map(({ name }) => name));
    assert.ok(names.size > 100, `${names.size} functions`);
    assert.ok(profile.functions.some(({ name, total, self }) => name === 'kernel_init' && total > self));
    // Debian's 32-bit kernel has no symbols of data, by which the running task is found.
    const program = architecture === 'amd64' ? /^(sha256sum|busybox|init|exe)\b/ : /^page tables at 0x/;
    assert.ok(profile.programs.some(({ name }) => program.test(name)), profile.programs.map(({ name }) => name).join());
    const unnamed = profile.functions.find(({ name }) => name === '[no symbol]')?.self ?? 0;
    assert.ok(unnamed < profile.guestCount * 0.05, `${unnamed} of ${profile.guestCount} samples have no symbol`);
  });
}
