// What the command line shows of the translator, of a ROM with a loop that then ends the machine: `-d op,out_asm` and `-accel tcg,report=`.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { repositoryRoot } from '../../tools/repository.ts';

const ROM_BYTES = 65536;
/** mov cx, 2000; dec cx; jnz back; then 1 to isa-debug-exit, whose status for it is 3. */
const PROGRAM = [0xb9, 0xd0, 0x07, 0x49, 0x75, 0xfd, 0xb0, 0x01, 0xe6, 0xf4];
const STATUS = 3;
const PROGRAM_AT = 0xff00;
const RESET_VECTOR = 0xfff0;
const JUMP = [0xe9, 0x0d, 0xff];

test('the operations, the WebAssembly and the report of a run', () => {
  const folder = mkdtempSync(join(tmpdir(), 'nandu-logs-'));
  try {
    const rom = new Uint8Array(ROM_BYTES);
    rom.set(PROGRAM, PROGRAM_AT);
    rom.set(JUMP, RESET_VECTOR);
    const [romFile, report, log] = ['rom', 'report', 'log'].map((name) => join(folder, name)) as [string, string, string];
    writeFileSync(romFile, rom);
    const machine = ['-nographic', '-m', '16', '-bios', romFile, '-device', 'isa-debug-exit,iobase=0xf4,iosize=4'];
    const words = [...machine, '-accel', `tcg,promote-at=5,report=${report}`, '-d', 'op,out_asm', '-D', log];
    const command = join(repositoryRoot, 'bin', 'nandu-system-x86_64');
    const { status, stderr } = spawnSync(command, words, { encoding: 'utf8' });
    assert.deepEqual([status, stderr], [STATUS, '']);
    const logged = readFileSync(log, 'utf8');
    assert.match(logged, /^OP: physical 0xffffff00, .*\n ---- 0xff00: mov {5}cx, 0x7d0\n {2}movi/m);
    assert.match(logged, /^OUT: region0 at 0xff03, .*\n\d+ bytes\n\(module \$regions\n/m);
    assert.match(logged, /^ +;; 0xff03: dec {5}cx\n/m);
    const reported = readFileSync(report, 'utf8');
    assert.match(reported, /^regions +[1-9]/m);
    assert.match(reported, /^ {2}instructions in regions +[1-9]\d{2,} /m);
    assert.match(reported, /^exits by cause +[1-9]/m);
    assert.match(reported, /^time, ms +\d/m);
    const nowhere = join(folder, 'missing', 'report');
    const refused = spawnSync(command, [...machine, '-accel', `tcg,report=${nowhere}`], { encoding: 'utf8' });
    const reason = `nandu-system-x86_64: Could not write '${nowhere}': No such file or directory\n`;
    assert.deepEqual([refused.status, refused.stderr], [1, reason], 'before the machine runs, which would end with another status');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
