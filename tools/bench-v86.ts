// v86 as a command that takes QEMU's options as far as a benchmark gives them, so that `npm run bench -- --reference` can run it beside
// nandu: node dist/tools/bench-v86.js V86 -m MEGS -kernel FILE -initrd FILE -append TEXT …; other options are ignored. V86 is a folder
// with node_modules/v86 (`npm install v86` there) and bios/seabios.bin, bios/vgabios.bin of v86's repository. The guest's serial port
// is on standard output; the command ends when a line DONE is on it. v86 is no dependency and runs 32-bit guests only.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

interface Emulator {
  add_listener(event: 'serial0-output-byte', listener: (byte: number) => void): void;
}
interface V86Package {
  readonly V86: new (options: Readonly<Record<string, unknown>>) => Emulator;
}

const MIB = 1024 * 1024;

/** The value of an option with one dash. */
function option(words: readonly string[], name: string): string | undefined {
  const index = words.indexOf(`-${name}`);
  return index < 0 ? undefined : words[index + 1];
}

function contents(path: string): { readonly buffer: ArrayBuffer } {
  const bytes = readFileSync(path);
  return { buffer: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer };
}

async function main([folder = '', ...words]: readonly string[]): Promise<void> {
  const build = join(folder, 'node_modules', 'v86', 'build');
  const [kernel, initrd] = [option(words, 'kernel'), option(words, 'initrd')];
  if (!existsSync(build) || kernel === undefined || initrd === undefined) {
    process.stderr.write('usage: bench-v86 FOLDER_WITH_V86 -m MEGS -kernel FILE -initrd FILE -append TEXT\n');
    process.exit(1);
  }
  const { V86 } = (await import(pathToFileURL(join(build, 'libv86.mjs')).href)) as V86Package;
  const emulator = new V86({
    wasm_path: join(build, 'v86.wasm'),
    memory_size: Number(option(words, 'm') ?? 128) * MIB,
    vga_memory_size: 2 * MIB,
    bios: contents(join(folder, 'bios', 'seabios.bin')),
    vga_bios: contents(join(folder, 'bios', 'vgabios.bin')),
    bzimage: contents(kernel),
    initrd: contents(initrd),
    cmdline: option(words, 'append') ?? '',
    autostart: true,
    disable_speaker: true,
    acpi: true,
  });
  let line = '';
  emulator.add_listener('serial0-output-byte', (byte) => {
    const letter = String.fromCharCode(byte);
    process.stdout.write(letter);
    line = letter === '\n' ? '' : line + letter;
    if (/^DONE\r?$/.test(line) && letter === '\r') process.exit(0);
  });
}

await main(process.argv.slice(2));
