// AES-NI, PCLMULQDQ and the SHA extensions (SDM volume 2): all are helpers of assembly/crypto.ts.
import type { BlockBuilder } from '../builder.ts';
import { instruction, row } from '../row.ts';
import { SSE, sseSource } from './packed.ts';

for (const [name, opcode] of [['aesenc', 'DC'], ['aesenclast', 'DD'], ['aesdec', 'DE'], ['aesdeclast', 'DF']] as const)
  instruction(name, [row(`66 0F 38 ${opcode} /r`, ['Vx', 'Wx'], SSE)],
    (b) => b.helper(name, b.registerSlot(0), b.registerSlot(0), sseSource(b, 1)), { feature: 'aes' });
instruction('aesimc', [row('66 0F 38 DB /r', ['Vx', 'Wx'], SSE)],
  (b) => b.helper('aesimc', b.registerSlot(0), sseSource(b, 1)), { feature: 'aes' });
instruction('aeskeygenassist', [row('66 0F 3A DF /r', ['Vx', 'Wx', 'Ib'], SSE)], (b) => {
  b.helper('aeskeygenassist', b.registerSlot(0), sseSource(b, 1), undefined, b.immediate(2));
}, { feature: 'aes' });
instruction('pclmulqdq', [row('66 0F 3A 44 /r', ['Vx', 'Wx', 'Ib'], SSE)], (b) => {
  b.helper('pclmulqdq', b.registerSlot(0), b.registerSlot(0), sseSource(b, 1), b.immediate(2));
}, { feature: 'pclmulqdq' });

for (const [name, opcode] of [
  ['sha1nexte', 'C8'], ['sha1msg1', 'C9'], ['sha1msg2', 'CA'],
  ['sha256rnds2', 'CB'], ['sha256msg1', 'CC'], ['sha256msg2', 'CD'],
] as const)
  instruction(name, [row(`NP 0F 38 ${opcode} /r`, ['Vx', 'Wx'], SSE)],
    (b) => b.helper(name, b.registerSlot(0), b.registerSlot(0), sseSource(b, 1)), { feature: 'sha-ni' });
instruction('sha1rnds4', [row('NP 0F 3A CC /r', ['Vx', 'Wx', 'Ib'], SSE)], (b) => {
  b.helper('sha1rnds4', b.registerSlot(0), b.registerSlot(0), sseSource(b, 1), b.immediate(2));
}, { feature: 'sha-ni' });
