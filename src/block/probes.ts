// How each format is recognised, gathered from the formats' own probe.ts: 0 is no, 100 is certain.
import { probe as bochs } from './bochs/probe.ts';
import { probe as cloop } from './cloop/probe.ts';
import { probe as dmg } from './dmg/probe.ts';
import { probe as luks } from './luks/probe.ts';
import { probe as parallels } from './parallels/probe.ts';
import { probe as qcow } from './qcow/probe.ts';
import { probe as qcow2 } from './qcow2/probe.ts';
import { probe as qed } from './qed/probe.ts';
import { probe as vdi } from './vdi/probe.ts';
import { probe as vhdx } from './vhdx/probe.ts';
import { probe as vmdk } from './vmdk/probe.ts';
import { probe as vpc } from './vpc/probe.ts';

export type Probe = (head: Uint8Array, filename: string) => number;

export const FORMAT_PROBES: readonly { readonly name: string; readonly probe: Probe }[] = [
  { name: 'qcow2', probe: qcow2 },
  { name: 'qcow', probe: qcow },
  { name: 'vmdk', probe: vmdk },
  { name: 'vdi', probe: vdi },
  { name: 'vhdx', probe: vhdx },
  { name: 'vpc', probe: vpc },
  { name: 'luks', probe: luks },
  { name: 'qed', probe: qed },
  { name: 'parallels', probe: parallels },
  { name: 'dmg', probe: dmg },
  { name: 'cloop', probe: cloop },
  { name: 'bochs', probe: bochs },
];
