// Boots a disk image in snapshot mode, logs in on its serial console, runs a command, and prints what it wrote. The image stays as it
// is. Usage: node examples/run-command.mjs IMAGE [COMMAND] [USER] [PASSWORD]
import { Machine } from 'nandu';

const [image, command = 'uname -a', user = 'root', password = 'root'] = process.argv.slice(2);

if (image === undefined) {
  console.error('usage: node examples/run-command.mjs IMAGE [COMMAND] [USER] [PASSWORD]');
  process.exit(2);
}

export async function runCommand() {
  const machine = await Machine.create({
    ramBytes: 512 * 1024 * 1024,
    drives: [{ file: image, interface: 'virtio', snapshot: true }],
    noReboot: true,
  });
  const { console: terminal } = machine;
  machine.start();
  try {
    await terminal.waitFor('login: ', { timeoutMs: 600_000 });
    terminal.write(`${user}\n`);
    await terminal.waitFor(/[Pp]assword: |[#$] $/, { timeoutMs: 120_000 });
    if (/assword: $/.test(terminal.text)) {
      terminal.write(`${password}\n`);
      await terminal.waitFor(/[#$] $/, { timeoutMs: 120_000 });
    }
    terminal.write(`echo BEGIN; ${command}; echo END=$?\n`);
    await terminal.waitFor(/BEGIN\r?\n/, { timeoutMs: 120_000 }); // the echo of what was typed has no line end there
    const output = await terminal.waitFor(/END=\d+\r?\n/, { timeoutMs: 600_000 });
    return output.replace(/END=\d+\s*$/, '').replaceAll('\r', '');
  } finally {
    await machine.stop();
  }
}

try {
  process.stdout.write(await runCommand());
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
process.exit(0);
