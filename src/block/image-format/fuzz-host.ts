// The host of a fuzzed block graph: files in memory, a fixed secret, a clock that stands still, warnings to nobody.
import type { HostFiles } from '../../ports/host-file.ts';
import type { BlockHost } from '../host.ts';

export type HostParts = Pick<BlockHost, 'compression' | 'cryptography'>;

export const fuzzHost = (parts: HostParts, files: HostFiles): BlockHost => ({
  ...parts,
  files,
  secret: () => new TextEncoder().encode('secret'),
  nowNs: () => 0,
  dateMs: () => 0,
  sleep: () => Promise.resolve(),
  warn: () => {},
  print: () => {},
});
