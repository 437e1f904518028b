// What the platform does for a machine's memory, as the kernel shows it.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { nodePlatform } from './node-platform.ts';
import { systemCalls } from './system-calls.ts';

/** The flags of the mapping that an address lies in (proc(5), smaps). */
function mappingFlags(address: number): string {
  let isIn = false;
  for (const line of readFileSync('/proc/self/smaps', 'latin1').split('\n')) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (range !== null) isIn = parseInt(range[1]!, 16) <= address && address < parseInt(range[2]!, 16);
    else if (isIn && line.startsWith('VmFlags:')) return line;
  }
  return '';
}

const cannot = systemCalls() === undefined || !existsSync('/sys/kernel/mm/transparent_hugepage');

test('large pages are asked for the whole memory and nothing else', { skip: cannot }, () => {
  const pages = 64;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  const first = systemCalls()!.address(bytes);
  const flags = (): string[] => [first, first + bytes.length - 1].map(mappingFlags);
  for (const line of flags()) assert.doesNotMatch(line, / hg\b/);
  nodePlatform.useLargePages!(bytes);
  for (const line of flags()) assert.match(line, / hg\b/);
  assert.doesNotMatch(mappingFlags(first + bytes.length), / hg\b/);
});
